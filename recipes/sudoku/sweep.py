# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Solved puzzles against forward passes for all ways of decoding. The run can be resumed after each setting."""

from pathlib import Path

import torch

from recipes.sudoku.grids import SHAPES, Shape
from recipes.sudoku.puzzles import load
from recipes.sudoku.results import describe, device_name, load_model, timed
from recipes.sudoku.solving import fill
from reporting.results import load as load_results
from reporting.results import save


RANKINGS = ("low_confidence", "margin", "entropy", "random")
TOKENS_A_STEP = (1, 2, 4, 8)
PARALLEL_RULES = {
    "confidence_threshold": (0.5, 0.7, 0.9, 0.95, 0.99),
    "confidence_factor": (0.25, 0.5, 1.0, 2.0),
    "entropy_bound": (0.05, 0.1, 0.5, 1.0),
}


def settings_of(shape: Shape, mean_empty: float) -> dict[str, dict]:
    """The options of `generate` by the name of the setting. The mean number of empty cells gives the number of steps."""
    settings = {}
    for ranking in RANKINGS:
        for tokens in TOKENS_A_STEP:
            label = "one token a step" if tokens == 1 else f"{tokens} tokens a step"
            steps = {} if tokens == 1 else {"steps": round(mean_empty / tokens)}
            settings[f"{ranking}, {label}"] = {"remasking": ranking, **steps}
        settings[f"{ranking}, one step"] = {"remasking": ranking, "steps": 1}
    for rule, values in PARALLEL_RULES.items():
        settings |= {f"{rule} {value:g}": {rule: value} for value in values}
    for ranking in ("margin", "random"):
        settings[f"{ranking}, confidence_threshold 0.9"] = {"remasking": ranking, "confidence_threshold": 0.9}
    line = shape.size + 1  # a row and its line break
    blocks = {"row by row": line, "band by band": line * shape.box_height, "left to right": 1}
    for name, block in blocks.items():
        settings[f"{name}, one token a step"] = {"remasking": Blocks(block)}
        settings[f"{name}, confidence_threshold 0.9"] = {"remasking": Blocks(block, threshold=0.9)}
        if block > 1:
            settings[f"{name}, one step each"] = {"remasking": Blocks(block, threshold=0.0)}
    del settings["left to right, confidence_threshold 0.9"]
    return settings


class Blocks:
    """
    Remasking that fills the board in blocks of `length` positions; the two positions of the head belong to the first block.
    `block_length` of `generate` only splits new tokens, and here the masks are inside the prompt.

    With a threshold, all masks of the block with this confidence are committed, and always the most confident one.
    """

    def __init__(self, length: int, threshold: float | None = None):
        self.length, self.threshold = length, threshold

    def __call__(self, confidence: torch.Tensor, mask: torch.Tensor, budget: torch.Tensor) -> torch.Tensor:
        block = (torch.arange(mask.shape[1], device=mask.device) - 2).clamp(min=0) // self.length
        first = block.expand_as(mask).masked_fill(~mask, mask.shape[1]).amin(1, keepdim=True)
        inside = mask & (block == first)
        surest = confidence.masked_fill(~inside, -torch.inf).argmax(1, keepdim=True)
        commit = torch.zeros_like(mask).scatter_(1, surest, True) & inside
        return commit if self.threshold is None else commit | (inside & (confidence >= self.threshold))


def sweep(
    model: Path, puzzles: Path, sizes: list[int], limit: int, seed: int, device: str | None, output: Path
) -> None:
    """Runs the settings that are missing in the file."""
    parts = {size: part[:limit] for size, part in load(puzzles, "test", sizes).items()}
    settings = {"model": "/".join(model.parts[-3:]), "limit": limit, "seed": seed}  # no full path
    values = load_results(output, settings, results={})
    solver = load_model(model, device)
    for size, part in parts.items():
        results = values["results"].setdefault(f"{size}x{size}", {})
        for name, options in settings_of(SHAPES[size], float((part.puzzles == 0).sum((1, 2)).mean())).items():
            if name not in results:
                result = timed(part, lambda part=part, options=options: fill(solver, part, seed=seed, **options))
                results[name] = result | {"device": device_name(device)}
                save(output, values)
                print(f"{size}x{size} {name:44} {describe(results[name])}", flush=True)
    print(f"{output} has all settings")
