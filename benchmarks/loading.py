# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How long a checkpoint takes from the disk to the device, and how much host memory that needs.

It writes a checkpoint of random weights in the official layout, in shards, unless `--folder` already has one. Then it loads the
checkpoint in a separate process, and compares the time with plain reading of the same files.

    python -m benchmarks.loading --shape 8b --device cuda --folder llada-8b --json loading.json

The expectation for an H100 machine, written down before the first run: as fast as the files can be read, within a factor of 1.5,
and a peak of host memory at most one shard above the size of the model. The measured values are in results/loading.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from benchmarks.shapes import config_of, random_model
from modeling_llada import LLaDAForMaskedLM
from reporting.results import describe_machine, save


CHUNK = 1 << 24  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shape", choices=("tiny", "1b", "8b"), default="tiny", help="shape of the model (%(default)s)")
    add("--device", default="cpu", help="where to load it to (%(default)s)")
    add("--folder", type=Path, required=True, help="folder of the checkpoint, which is written if it is missing")
    add("--shard", default="4GB", help="size of a shard (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="also write the result there")
    add("--load-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load_only:
        print(json.dumps(load(args.folder, args.device)))
        return
    if not (args.folder / "config.json").exists():
        model = random_model(config_of(args.shape), args.device, torch.bfloat16)
        model.save_pretrained(args.folder, max_shard_size=args.shard)
        del model
    device = describe_machine(args.device)["name"]
    result = {"shape": args.shape, "device": device, **measure(args.folder, args.device)}
    for name, value in result.items():
        print(f"{name:24} {value:.2f}" if isinstance(value, float) else f"{name:24} {value}")
    if args.json:
        save(args.json, result)


def measure(folder: Path, device: str) -> dict:
    """Reads the files and loads them, both from the disk and not from memory."""
    shards = sorted(folder.glob("*.safetensors"))
    size = sum(path.stat().st_size for path in shards)
    forget(shards)
    read_seconds = read(shards)
    forget(shards)
    command = [sys.executable, "-m", "benchmarks.loading", "--folder", str(folder), "--device", device, "--load-only"]
    loaded = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    gib = 2**30
    return {
        "model (GiB)": size / gib,
        "largest shard (GiB)": max(path.stat().st_size for path in shards) / gib,
        "reading (s)": read_seconds,
        "reading (GiB/s)": size / gib / read_seconds,
        "loading (s)": loaded["seconds"],
        "loading / reading": loaded["seconds"] / read_seconds,
        "peak host memory (GiB)": loaded["peak_bytes"] / gib,
        "of it anonymous (GiB)": loaded["peak_anonymous_bytes"] / gib,
    }


def load(folder: Path, device: str) -> dict:
    """Loads the checkpoint in this process. Imports are not counted."""
    torch.empty(1, device=device)  # the context of the device
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    anonymous, done = [anonymous_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            anonymous.append(anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    model = LLaDAForMaskedLM.from_pretrained(folder, dtype="auto", device_map=device)
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak_bytes": peak - before, "peak_anonymous_bytes": max(anonymous) - anonymous[0]}


def anonymous_bytes() -> int:
    """Memory of this process that is not mapped from files. The system frees mapped memory when it is needed elsewhere."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def forget(paths: list[Path]) -> None:
    """Asks the system to drop the files from memory, so that they are read from the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read(paths: list[Path]) -> float:
    """Seconds to read the files once."""
    start = time.perf_counter()
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.read(CHUNK):
                pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
