# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How fast `llada tokenize` is, and how much memory all of its processes take.

The text is English that a machine has anyway: documentation of the system and of Python packages, and docstrings. Its paragraphs
are drawn with repetition into documents of about 4 kB, in JSONL files, until the size is reached.

    python -m benchmarks.tokenizing --folder FOLDER --gigabytes 2 --processes 2 --json tokenizing.json

The expectation for two processors, written down before the first run: the tokenizer is the limit, at 3 MB/s of text for each
processor. With 4.3 bytes of text a token that is 1.4 M tokens a second for both, and 6 minutes for 2 GB. Memory: 600 MB for the
libraries, once, and 150 MB for each worker, so 0.9 GB, the same for 0.2 GB of text and for 2 GB. The measured values are in
results/tokenizing.json.

The first run also trains the tokenizer, which the others take. The same command goes on with the runs that `--json` lacks.
Memory is the sum of the proportional set sizes (PSS) of the command and its descendants, once a second. Other programs slow a
run down, but hardly change its processor time.
"""

import argparse
import contextlib
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from reporting.results import command_of, describe_machine, find_versions, load, save


PLACES = ("/usr/share/doc", "/usr/share/perl", sys.prefix, sys.base_prefix)
TEXT_ENDINGS = (".md", ".rst", ".txt", ".pod")
DOCSTRING = re.compile(r'"""(.+?)"""', re.S)
POOL_BYTES = 150_000_000
DOCUMENT_BYTES = 4_000
FILE_BYTES = 100_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "--folder",
        type=Path,
        required=True,
        help="folder for the text, which is written if it is missing, and the tokens",
    )
    add("--gigabytes", type=float, default=0.02, help="size of the text (%(default)s)")
    add("--vocabulary", type=int, default=16_000, help="tokens of the tokenizer (%(default)s)")
    add("--processes", type=int, default=2, help="worker processes (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="the result, and what is done of it so far")
    args = parser.parse_args()
    machine = describe_machine("cpu")
    settings = {name: getattr(args, name) for name in ("gigabytes", "vocabulary", "processes")}
    settings |= {"cpu": machine["cpu"], "cores": machine["cores"], "versions": find_versions("tokenizers")}
    result = load(args.json, settings, command=command_of("benchmarks.tokenizing", sys.argv[1:]), runs={})
    if not (args.folder / "text").is_dir():
        result["text"] = write_text(args.folder / "text", int(args.gigabytes * 1e9))
    first, tokenizer = "text/00000.jsonl", ["--tokenizer", "trained/tokenizer"]
    runs = {
        "the first file, and training of the tokenizer": (
            first,
            "trained",
            ["--train-tokenizer", str(args.vocabulary)],
        ),
        "the first file": (first, "first", tokenizer),
        "all files": ("text", "all", tokenizer),
    }
    for name, (source, output, options) in runs.items():
        if name not in result["runs"]:
            result["runs"][name] = measure(
                args.folder, source, output, [*options, "--num-processes", str(args.processes)]
            )
            print(name, json.dumps(result["runs"][name], indent=1), flush=True)
            if args.json:
                save(args.json, result)


def write_text(folder: Path, num_bytes: int) -> dict:
    """Writes documents until the size is reached, and says how much text was not repeated."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    pool = find_paragraphs()
    total = documents = 0
    while total < num_bytes:
        size = 0
        with open(folder / f"{total // FILE_BYTES:05d}.jsonl", "w", encoding="utf-8") as file:
            while size < FILE_BYTES and total + size < num_bytes:
                document = ""
                while len(document) < DOCUMENT_BYTES:
                    document += rng.choice(pool) + "\n\n"
                size += file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
                documents += 1
        total += size
    return {"bytes of text before repetition": sum(map(len, pool)), "documents": documents}


def find_paragraphs() -> list[str]:
    """Paragraphs of English text of this machine."""
    pool, size = set(), 0
    for text in texts():
        for paragraph in re.split(r"\n\s*\n", text):
            if 80 < len(paragraph) < 4_000 and paragraph not in pool:
                pool.add(paragraph)
                size += len(paragraph)
        if size > POOL_BYTES:
            break
    return sorted(pool)


def texts() -> Iterator[str]:
    for place in PLACES:
        for path in sorted(Path(place).rglob("*")):
            if path.suffix in (*TEXT_ENDINGS, ".py") and path.is_file():
                text = path.read_text(encoding="utf-8", errors="ignore")
                yield "\n\n".join(DOCSTRING.findall(text)) if path.suffix == ".py" else text


def measure(folder: Path, source: str, output: str, options: list[str]) -> dict:
    """Runs the command once."""
    shutil.rmtree(folder / output, ignore_errors=True)
    command = [sys.executable, "-m", "llada_cli", "tokenize", source, "--output", output, *options]
    start, peak, before = time.perf_counter(), 0, processor_seconds()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(1)
    if process.returncode:
        raise SystemExit(f"the command failed with exit code {process.returncode}")
    seconds = time.perf_counter() - start
    busy = processor_seconds() - before
    manifest = json.loads((folder / output / "manifest.json").read_text(encoding="utf-8"))
    return {
        "bytes of text": manifest["bytes"],
        "tokens": manifest["tokens"],
        "seconds": round(seconds, 1),
        "tokens a second": round(manifest["tokens"] / seconds),
        "bytes a second": round(manifest["bytes"] / seconds),
        "processor seconds": round(busy, 1),
        "tokens a processor second": round(manifest["tokens"] / busy),
        "peak memory (MB)": round(peak / 1e6),
    }


def processor_seconds() -> float:
    """The time that programs which this one has started, and which have ended, spent on processors."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_of(pid: int) -> int:
    """Memory of a process and its descendants. What several of them share counts once."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):  # one has just ended
        main = psutil.Process(pid)
        for process in [main, *main.children(recursive=True)]:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


if __name__ == "__main__":
    main()
