# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada tokenize`: makes a corpus of tokens out of text, for pre-training."""

import argparse
import re
import sys
import time
from pathlib import Path

from .errors import CommandError, warn
from .terminal import note, quiet_libraries


DESCRIPTION = """Tokenise text for pre-training, with a tokenizer that exists or with one that is trained on the text.

A SOURCE is a .txt, .jsonl or .parquet file, a folder with such files at any depth, a folder of `save_to_disk`, or a dataset of
the Hub, which is streamed. A .txt file is one document, unless --separator says what stands between its documents.

The folder is written in shards. After Ctrl-C, or if the machine stops, the same command goes on, and the files are the same
as without the interruption. They do not depend on --num-processes.
"""
EXAMPLES = """examples:
  a folder of books, and a tokenizer of their own:
    llada tokenize books --output data/tokens --train-tokenizer 16000
  text files with a document in each line, and the tokenizer of a checkpoint:
    llada tokenize lines.txt --separator '\\n' --output data/tokens --tokenizer checkpoints/llada-poet
  JSONL with the text in another field, and 500 documents held out:
    llada tokenize crawl/*.jsonl --text-field content --validation 500 --output data/tokens --tokenizer data/tokenizer
  a dataset of the Hub, without downloading it first:
    llada tokenize HuggingFaceFW/fineweb-edu --config-name sample-10BT --output data/tokens --train-tokenizer 32000

then, in Python:
    train = modeling_llada.training.TokenShards("data/tokens").splits["train"]
"""
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
MANY_UNKNOWN = 0.001  # the share of unknown tokens that is worth a warning
SECONDS_A_LINE = 30  # in a log


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "tokenize", help="tokenise text for pre-training", description=DESCRIPTION, epilog=EXAMPLES
    )
    parser.set_defaults(run=run)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="file, folder, or dataset of the Hub")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write, or to go on with")
    tokenizer = parser.add_mutually_exclusive_group(required=True)
    tokenizer.add_argument(
        "--tokenizer", metavar="PATH_OR_ID", help="tokenizer with a mask token, BOS and EOS: a folder or a Hub id"
    )
    tokenizer.add_argument(
        "--train-tokenizer", type=int, metavar="N", help="train a byte-level BPE tokenizer of N tokens on the text"
    )
    text = parser.add_argument_group("text")
    text.add_argument(
        "--text-field", default="text", metavar="NAME", help="field with the text, in JSONL and tables (%(default)s)"
    )
    text.add_argument(
        "--separator",
        metavar="TEXT",
        help=r"what stands between documents in a .txt file: \n for a document a line, \n\n for empty lines, or a text",
    )
    text.add_argument("--split", default="train", metavar="NAME", help="split of a dataset (%(default)s)")
    text.add_argument("--config-name", metavar="NAME", help="configuration of a dataset of the Hub")
    text.add_argument(
        "--validation",
        type=float,
        default=0.01,
        metavar="N",
        help="share of the documents that are held out, or from 1 on their number (%(default)s)",
    )
    text.add_argument(
        "--skip-bad", action="store_true", help="leave out documents that cannot be read, and count them"
    )
    work = parser.add_argument_group("work")
    work.add_argument(
        "--num-processes", type=int, metavar="N", help="processes (default: the processors; fewer for little text)"
    )
    work.add_argument(
        "--shard-size", default="100MB", metavar="SIZE", help="size at which a file of tokens ends (%(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Tokenises as the command line asks, and reports the result."""
    quiet_libraries()
    from modeling_llada.training import tokenize_corpus
    from modeling_llada.training.tokenizing.corpus import is_finished

    options = {name: value for name, value in vars(args).items() if name not in ("run", "shard_size", "separator")}
    finished = is_finished(args.output)
    try:
        with ProgressLine() as progress:
            shards = tokenize_corpus(
                **options,
                shard_size=size_of(args.shard_size),
                separator=unescaped(args.separator),
                on_progress=progress,
            )
    except KeyboardInterrupt:
        note(f"interrupted: the same command goes on with {args.output}")
        raise
    if finished:
        sys.stdout.write(f"{args.output} is finished: there is nothing to do\n")
    report(args.output, shards)


def report(folder: Path, shards) -> None:
    """Says what is in the folder, and warns about what was found on the way."""
    manifest = shards.manifest
    lines = [f"{folder}: {manifest['bytes']:,} bytes of text, a vocabulary of {manifest['vocab_size']:,} tokens"]
    for name, split in shards.splits.items():
        lines.append(f"  {name}: {split.num_tokens:,} tokens, {split.num_documents:,} documents")
    for reason, found in manifest["left_out"].items():
        more = ", ..." if found["documents"] > len(found["first"]) else ""
        lines.append(f"  left out, {reason}: {found['documents']:,} ({', '.join(found['first'][:3])}{more})")
    sys.stdout.write("\n".join(lines) + "\n")
    settings = manifest["settings"]
    wanted = settings["train_tokenizer"]
    if wanted and wanted > manifest["vocab_size"]:
        warn(
            f"the text has words for {manifest['vocab_size']:,} tokens only, fewer than `--train-tokenizer {wanted}`."
        )
    if "validation" not in shards.splits and settings["validation"]:
        warn("no document was held out, since there are few. Give their number with `--validation N`.")
    if manifest.get("special_text"):
        warn(
            f"{manifest['special_text']:,} documents have the text of a special token, such as <|endoftext|>. It was encoded as "
            "other text. If it stands between documents, give it as `--separator`."
        )
    if settings["separator"] and manifest["documents"] <= sum(one["files"] for one in settings["sources"]):
        warn(f"the separator {settings['separator']!r} divides no file, so that each is one document.")
    share = manifest.get("unknown", 0) / manifest["tokens"]
    if share > MANY_UNKNOWN:
        warn(f"{share:.1%} of the tokens are unknown to the tokenizer, which was made for other text.")


class ProgressLine:
    """Shows the progress in one line of at most 80 columns: in a terminal always the same, in a log now and then a new one."""

    def __enter__(self) -> "ProgressLine":
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.status = self.console.status("reading") if self.console.is_terminal else None
        self.began = self.written = time.monotonic()
        self.first = None
        if self.status:
            self.status.start()
        return self

    def __call__(self, progress) -> None:
        now = time.monotonic()
        if self.first is None and progress.tokens:
            self.began, self.first = now, progress
        if self.status:
            self.status.update(self.line(progress, now))
        elif now - self.written > SECONDS_A_LINE:
            self.written = now
            note(self.line(progress, now))

    def line(self, progress, now: float) -> str:
        """The stage, the share of the text, the tokens, their rate in this run, and the time that is left."""
        parts = [progress.stage]
        if progress.share is not None:
            parts.append(f"{progress.share:.0%}")
        seconds = now - self.began
        if self.first and seconds:
            parts.append(f"{progress.tokens:,} tokens")
            parts.append(f"{(progress.tokens - self.first.tokens) / seconds:,.0f} tokens/s")
            if progress.share is not None and progress.share > self.first.share:
                left = seconds * (1 - progress.share) / (progress.share - self.first.share)
                parts.append(f"{left // 3600:.0f}:{left // 60 % 60:02.0f}:{left % 60:02.0f} left")
        return "  ".join(parts)[:76]

    def __exit__(self, *error) -> None:
        if self.status:
            self.status.stop()


def size_of(text: str) -> int:
    """The bytes of a size such as 100MB."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(KB|MB|GB)?", text.strip(), re.I)
    if not match:
        raise CommandError(f"`--shard-size` must be a size such as 100MB or 1GB, but got {text!r}.")
    return int(float(match[1]) * UNITS.get((match[2] or "").upper(), 1))


def unescaped(separator: str | None) -> str | None:
    """The separator with line breaks and tabs for \\n and \\t, which shells do not write."""
    return separator and separator.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")
