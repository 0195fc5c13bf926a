# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Makes the file of 9x9 puzzles of the whole range of given digits: those to train on, and held-out ones by their number."""

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from modeling_llada.seeds import named_random
from recipes.sudoku.grids import SHAPES, class_keys
from recipes.sudoku.hard import make_hard
from recipes.sudoku.puzzles import SPLITS, Puzzles, load_all, save
from recipes.sudoku.solver import Solver, dig, random_grid


SHAPE = SHAPES[9]
HARD = "hard"  # the split of the held-out puzzles, the same number for each number of given digits
NUM_VALIDATION = 10  # for each of these numbers


def prepare_hard(
    output: Path,
    puzzles: Path | None,
    fewest: int,
    most: int,
    number: int,
    num_trained: int,
    processes: int,
    seed: int,
) -> None:
    """
    Writes `number` held-out puzzles for each number of given digits from `fewest` to `most`, and `num_trained` puzzles to
    train on, from which no digit can be left out. Training reveals any of their cells, so it sees all numbers of digits. With
    `puzzles`, a file of `prepare`, they are added to its puzzles.
    """
    if not 20 <= fewest <= most <= SHAPE.size**2:
        raise ValueError(
            f"`--fewest` and `--most` must be 20 at least, 81 at most, and in this order, but got {fewest} and {most}."
        )
    splits = load_all(puzzles) if puzzles else {split: {} for split in SPLITS}
    counts = [clues for clues in range(fewest, most + 1) for _ in range(number + NUM_VALIDATION)]
    with ProcessPoolExecutor(processes) as pool:
        held_out = together(
            said(pool.map(partial(held_out_one, seed), range(len(counts)), counts, chunksize=4), "held out")
        )
        trained = together(said(pool.map(partial(trained_one, seed), range(num_trained), chunksize=64), "to train on"))
    is_validation = np.arange(len(counts)) % (number + NUM_VALIDATION) >= number
    closed = set(class_keys(held_out.solutions, SHAPE))
    for split in ("validation", "test"):
        if SHAPE.size in splits[split]:
            closed |= set(class_keys(splits[split][SHAPE.size].solutions, SHAPE))
    is_open = np.array([key not in closed for key in class_keys(trained.solutions, SHAPE)], bool)
    add(splits["train"], trained[is_open])
    add(splits["validation"], held_out[is_validation])
    splits[HARD] = {SHAPE.size: held_out[~is_validation]}
    save(output, splits)
    print(f"wrote {output}: {output.stat().st_size / 1e6:.2f} MB")


def held_out_one(seed: int, index: int, clues: int) -> tuple[np.ndarray, np.ndarray]:
    """A puzzle with so many given digits."""
    return make_hard(Solver(SHAPE), clues, named_random(HARD, seed, index))


def trained_one(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """A puzzle from which no digit can be left out."""
    solver, random = Solver(SHAPE), named_random("hard, to train on", seed, index)
    solution = random_grid(solver, random)
    puzzle = dig(solver, solution, len(solution), random)
    return tuple(np.array(cells, np.int8).reshape(SHAPE.size, SHAPE.size) for cells in (puzzle, solution))


def together(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Puzzles:
    return Puzzles(SHAPE, *(np.stack(part) for part in zip(*pairs, strict=True)))


def add(by_size: dict[int, Puzzles], more: Puzzles) -> None:
    """Adds puzzles to those of their size."""
    old = by_size.get(SHAPE.size, more[:0])
    pairs = ((old.puzzles, more.puzzles), (old.solutions, more.solutions))
    by_size[SHAPE.size] = Puzzles(SHAPE, *map(np.concatenate, pairs))


def said(pairs, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The puzzles, which are counted and timed while they come."""
    started, found = time.monotonic(), []
    for pair in pairs:
        found.append(pair)
        if len(found) % 100 == 0:
            print(f"\r{name}: {len(found):,}", end="", flush=True)
    print(f"\r{name}: {len(found):,} puzzles in {time.monotonic() - started:.0f} s", flush=True)
    return found
