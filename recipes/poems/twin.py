# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Compares a pre-training run with that of its autoregressive twin, and writes one JSON file.

    python -m recipes.poems.twin --corpus data/poems.safetensors.xz --twin runs/twin

Both are measured on the same windows of 128 tokens of the held-out poems: LLaDA by the bound of eq. 6, the twin by its exact
likelihood, with a BOS token before each window. The 95% intervals are a bootstrap over the windows. The curves are from the logs
of the two runs, which used fewer noise samples.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import AutoModel, AutoModelForCausalLM

import modeling_llada  # noqa: F401  registers the classes
from modeling_llada.training.pretraining.corpus import Corpus
from modeling_llada.training.pretraining.held_out_loss import fixed_noise, row_bounds
from modeling_llada.training.pretraining.twin import next_token_losses
from modeling_llada.training.scripts import run_script
from recipes.poems.evaluate import WIDTH, held_out_windows
from reporting.results import save
from reporting.statistics import bootstrap


ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    started = time.monotonic()
    logs = {name: read_log(folder) for name, folder in (("llada", args.llada), ("twin", args.twin))}
    windows = held_out_windows(Corpus.load(args.corpus))[: args.limit]
    models = {"llada": model_folder(args.llada), "twin": model_folder(args.twin)}
    losses = {"llada": bound(models["llada"], windows, args), "twin": exact(models["twin"], windows, args)}
    result = {
        "settings": {
            "windows": len(windows),
            "width": WIDTH,
            "noise_samples": args.noise_samples,
            "seed": args.seed,
            "tokens_per_step": args.tokens_per_step,
        },
        "held_out": {name: interval(values, args.seed) for name, values in losses.items()},
        "difference": interval(losses["twin"] - losses["llada"], args.seed),
        "curves": {name: curve(log) for name, log in logs.items()},
        "train_seconds": {name: train_seconds(log, args.tokens_per_step) for name, log in logs.items()},
        "device": args.device,
        "seconds": round(time.monotonic() - started),
    }
    save(args.json, result)
    print(json.dumps({name: result[name] for name in ("held_out", "difference")}, indent=1))


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--llada", type=Path, default=ROOT / "checkpoints/llada-poet", help="checkpoint, or output folder")
    add("--twin", type=Path, required=True, help="output folder of examples/pretrain.py --twin")
    add("--corpus", required=True, help="tokenised corpus, see examples/pretrain.py --tokenize-only")
    add("--noise-samples", type=int, default=16, help="noise samples of each window, for the bound (%(default)s)")
    add("--batch-size", type=int, default=32, help="windows of a forward pass (%(default)s)")
    add("--tokens-per-step", type=int, default=98_304, help="tokens of a step in both runs (%(default)s)")
    add("--limit", type=int, help="measure on the first N windows")
    add("--device", default="cpu", help="where to run, for instance cuda (%(default)s)")
    add("--seed", type=int, default=0, help="seed of noise and bootstrap (%(default)s)")
    add("--json", type=Path, default=ROOT / "evidence/results/twin.json", help="where to write the result")
    args = parser.parse_args(arguments)
    for name in ("noise_samples", "batch_size", "limit", "tokens_per_step"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"`--{name.replace('_', '-')}` must be positive, but got {value}")
    return args


def model_folder(folder: Path) -> Path:
    """The folder of the weights, which is `final` in the output of a run."""
    return folder / "final" if (folder / "final").is_dir() else folder


def read_log(folder: Path) -> list[dict]:
    """Reads the log of a run."""
    path = folder / "training_log.json"
    if not path.is_file():
        raise ValueError(f"There is no {path}, which examples/pretrain.py leaves with a model.")
    return json.loads(path.read_text(encoding="utf-8"))


def bound(folder: Path, windows: torch.LongTensor, args: argparse.Namespace) -> torch.Tensor:
    """Nats per token of each window, by eq. 6, on the noise of `held_out_loss`."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).to(args.device).eval()
    samples = tqdm(range(args.noise_samples), desc="LLaDA, noise samples")
    noise = (fixed_noise(*windows.shape, sample, args.seed) for sample in samples)
    return row_bounds(model, windows.to(args.device), noise, args.batch_size) / WIDTH


def exact(folder: Path, windows: torch.LongTensor, args: argparse.Namespace) -> torch.Tensor:
    """Nats per token of each window, read from left to right."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(args.device).eval()
    return next_token_losses(model, windows.to(args.device), args.batch_size).mean(1).cpu().double()


def interval(values: torch.Tensor, seed: int) -> dict[str, float]:
    """The mean over the windows, with its 95% interval."""
    return {name: round(value, 4) for name, value in bootstrap(values, seed=seed).items()}


def curve(log: list[dict]) -> list[dict]:
    """The loss by step on held-out poems, and on famous poems, which are in the training data."""
    steps: dict[int, dict] = {}
    for entry in log:
        for split in ("test", "famous"):
            if f"eval_{split}_loss" in entry:
                row = steps.setdefault(entry["step"], {"step": entry["step"]})
                row[split] = round(entry[f"eval_{split}_loss"], 4)
    return list(steps.values())


def train_seconds(log: list[dict], tokens_per_step: int) -> int:
    """The seconds of all steps, from the logged speeds."""
    seconds, before = 0.0, 0
    for entry in log:
        if "tokens_per_second" in entry:
            seconds += (entry["step"] - before) * tokens_per_step / entry["tokens_per_second"]
            before = entry["step"]
    return round(seconds)


if __name__ == "__main__":
    run_script(main)
