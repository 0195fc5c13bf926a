# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Counts the held-out puzzles that the models of a run solve, with 95% intervals."""

import json
import platform
import time
from pathlib import Path

import torch
from transformers import AutoModel, LlamaForCausalLM

import modeling_llada  # noqa: F401  registers the classes
from modeling_llada.evaluation.intervals import wilson_interval
from recipes.sudoku.puzzles import Puzzles, load
from recipes.sudoku.solving import Solutions, answer, fill, write
from reporting.results import save


def evaluate(run: Path, puzzles: Path | None, output: Path, limit: int | None, device: str | None) -> None:
    """Solves the test split with all models of a run, at most `limit` puzzles of each size, and writes the results."""
    results = {}
    for name in ("llada", "llada-answer", "twin"):
        folder = run / name
        if not (folder / "final").is_dir():
            continue
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        source = puzzles or Path(record["recipe"]["puzzles"])
        parts = load(source, "test", [int(size) for size in record["recipe"]["shares"]])
        model = load_model(folder / "final", device)
        curve = json.loads((folder / "training_log.json").read_text(encoding="utf-8"))
        results[name] = record | {
            "curve": [_rounded(entry) for entry in curve if "train_runtime" not in entry],
            "sizes": {},
        }
        for size, part in parts.items():
            part = part[:limit] if limit else part
            results[name]["sizes"][f"{size}x{size}"] = cells = measure(name, model, part)
            for label, value in cells.items():
                print(f"{name:13} {size}x{size} {label:34} {describe(value)}", flush=True)
            save(output, {"device": device_name(device), "models": results})
    if not results:
        raise ValueError(f"`--run` must name the folder of a run, but {run} has no llada/final and no twin/final.")
    print(f"wrote {output}")


def load_model(folder: Path, device: str | None):
    """Loads a model of a run in float32: a LLaDA or a twin."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"`--model` must name the folder of a model, but there is no {folder / 'config.json'}.")
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    classes = LlamaForCausalLM if kind == "llama" else AutoModel
    return classes.from_pretrained(folder, dtype=torch.float32).eval().to(device or best_device())


def best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name(device: str | None) -> str:
    is_cuda = (device or best_device()).startswith("cuda")
    return torch.cuda.get_device_name() if is_cuda else f"{platform.machine()} CPU"


def measure(name: str, model, puzzles: Puzzles) -> dict[str, dict]:
    """The results of a model by the way of decoding."""
    if name == "twin":
        return {"left to right": timed(puzzles, lambda: write(model, puzzles))}
    solve = fill if name == "llada" else answer
    ways = {
        "one token a step": {},
        "confidence threshold 0.9": {"confidence_threshold": 0.9},
        "all tokens in one step": {"steps": 1},
    }
    return {
        label: timed(puzzles, lambda options=options: solve(model, puzzles, **options))
        for label, options in ways.items()
    }


def timed(puzzles: Puzzles, solve) -> dict:
    """Solves puzzles, and returns the result with its seconds."""
    started = time.monotonic()
    solutions = solve()
    return result_of(solutions, puzzles) | {"seconds": round(time.monotonic() - started, 1)}


def result_of(solutions: Solutions, puzzles: Puzzles) -> dict:
    """The share of solved puzzles with its interval, and the means of right cells and forward passes."""
    solved = solutions.solved(puzzles)
    hits = int(solved.sum())
    return {
        "puzzles": len(puzzles),
        "solved": round(hits / len(puzzles), 4),
        "interval": [round(bound, 4) for bound in wilson_interval(hits, len(puzzles))],
        "right_cells": round(solutions.right_cells(puzzles), 4),
        "forward_passes": round(float(solutions.forward_passes.mean()), 2),
        "empty_cells": round(float((puzzles.puzzles == 0).sum((1, 2)).mean()), 2),
    }


def describe(result: dict) -> str:
    low, high = result["interval"]
    return (
        f"solved {result['solved']:.1%} ({low:.1%} to {high:.1%}), cells {result['right_cells']:.1%}, "
        f"{result['forward_passes']:.1f} forward passes, {result['seconds']:.0f} s"
    )


def _rounded(entry: dict) -> dict:
    return {key: round(value, 5) if isinstance(value, float) else value for key, value in entry.items()}
