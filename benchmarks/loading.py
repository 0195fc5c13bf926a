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
import time
from pathlib import Path


SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 512},
    "1b": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "vocab_size": 126464},
    "8b": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 32, "vocab_size": 126464},
}
CHUNK = 1 << 24  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="size of the model (%(default)s)")
    parser.add_argument("--device", default="cpu", help="where to load it to (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, required=True, help="folder of the checkpoint, which is written if it is missing"
    )
    parser.add_argument("--shard", default="4GB", help="size of a shard (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result there")
    parser.add_argument("--load-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load_only:
        sys.stdout.write(json.dumps(load(args.folder, args.device)) + "\n")
        return
    if not (args.folder / "config.json").exists():
        write_checkpoint(args.folder, args.shape, args.device, args.shard)
    result = {"shape": args.shape, "device": device_name(args.device), **measure(args.folder, args.device)}
    for name, value in result.items():
        print(f"{name:24} {value:.2f}" if isinstance(value, float) else f"{name:24} {value}")
    if args.json:
        from modeling_llada.writing import write_atomically

        write_atomically(args.json, json.dumps(result, indent=1) + "\n")


def write_checkpoint(folder: Path, shape: str, device: str, shard: str) -> None:
    """Writes random bfloat16 weights in the official layout."""
    import torch

    from modeling_llada import LLaDAConfig, LLaDAForMaskedLM

    heads = SHAPES[shape]["hidden_size"] // (128 if shape != "tiny" else 16)
    config = LLaDAConfig(
        **SHAPES[shape],
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        mask_token_id=SHAPES[shape]["vocab_size"] - 128,
        eos_token_id=1,
        pad_token_id=1,
    )
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = LLaDAForMaskedLM(config)
    model.save_pretrained(folder, max_shard_size=shard)


def measure(folder: Path, device: str) -> dict:
    """Reads the files and loads them, both from the disk and not from memory."""
    shards = sorted(folder.glob("*.safetensors"))
    size = sum(path.stat().st_size for path in shards)
    forget(shards)
    read_seconds = read(shards)
    forget(shards)
    command = [sys.executable, __file__, "--folder", str(folder), "--device", device, "--load-only"]
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
    import threading

    import torch

    from modeling_llada import LLaDAForMaskedLM

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


def device_name(device: str) -> str:
    """The name of the device."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


if __name__ == "__main__":
    main()
