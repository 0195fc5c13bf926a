# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Makes the file of puzzles: those to train on, and held-out puzzles for curves and for results."""

import time
from functools import partial
from pathlib import Path

from recipes.sudoku.grids import SHAPES, class_keys
from recipes.sudoku.puzzles import NUM_TRAINED, SPLITS, draw_held_out, draw_train, save


NUM_VALIDATION = 200


def prepare(output: Path, sizes: list[int], num_held_out: int, num_trained: int | None, seed: int) -> None:
    """Writes the puzzles of all splits into one file: `num_held_out` to test on, 200 for the curves, and those to train on."""
    splits = {split: {} for split in SPLITS}
    for size in sizes:
        shape, started = SHAPES[size], time.monotonic()
        held_out = draw_held_out(shape, num_held_out + NUM_VALIDATION, seed + 1)
        number = num_trained or NUM_TRAINED[size]
        train = draw_train(shape, number, seed, held_out, progress=partial(_say, shape.name, number))
        splits["test"][size] = held_out[:num_held_out]
        splits["validation"][size] = held_out[num_held_out:]
        splits["train"][size] = train
        classes = [len(set(class_keys(part.solutions, shape))) for part in (train, held_out)]
        print(
            f"\r{shape.name}: {len(train):,} puzzles of {classes[0]:,} classes to train on, {len(held_out):,} of "
            f"{classes[1]:,} others held out, {time.monotonic() - started:.0f} s",
            flush=True,
        )
    save(output, splits)
    print(f"wrote {output}: {output.stat().st_size / 1e6:.2f} MB")


def _say(name: str, number: int, done: int) -> None:
    print(f"\r{name}: {min(done, number):,} of {number:,}", end="", flush=True)
