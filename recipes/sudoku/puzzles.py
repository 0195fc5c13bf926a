# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Puzzles to train on, and held-out puzzles that no symmetry can turn into one of them.

The held-out puzzles are drawn first. Training then leaves out every grid of their classes (`grids.class_keys`), so that no
symmetric image of a held-out solution is ever trained on. 4x4 grids have two classes, of 192 and 96 grids, and the second is
held out. About a quarter of the 6x6 classes is held out. 9x9 grids have five billion classes.

The held-out 4x4 and 9x9 puzzles are those of reasoning-gym with its default settings. It has no 6x6 puzzles, so these are made here.
"""

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np

from modeling_llada.writing import write_atomically
from recipes.sudoku.grids import SHAPES, Shape, class_keys
from recipes.sudoku.solver import Solver, make_puzzle


HELD_OUT_CLASSES = {4: 0.5, 6: 0.25, 9: 1.0}  # share of the classes that held-out puzzles may come from
NUM_TRAINED = {4: 1000, 6: 5000, 9: 5000}
SPLITS = ("train", "validation", "test")
CHUNK = 500  # puzzles that are checked together


@dataclass
class Puzzles:
    """Puzzles of one shape with their solutions, each `(number, size, size)`. An empty cell is 0."""

    shape: Shape
    puzzles: np.ndarray
    solutions: np.ndarray

    def __len__(self) -> int:
        return len(self.puzzles)

    def __getitem__(self, part: slice | np.ndarray) -> "Puzzles":
        return Puzzles(self.shape, self.puzzles[part], self.solutions[part])


def own_puzzles(shape: Shape, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields puzzles of our own generator with their solutions, without end."""
    solver, random = Solver(shape), Random(f"{shape.name} {seed}")
    while True:
        yield make_puzzle(solver, random)


def gym_puzzles(shape: Shape, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields puzzles of reasoning-gym with its default settings and their solutions, without end."""
    dataset = gym_dataset(shape, seed)
    for index in range(len(dataset)):
        metadata = dataset[index]["metadata"]
        yield np.array(metadata["puzzle"], np.int8), np.array(metadata["solution"], np.int8)


def gym_dataset(shape: Shape, seed: int):
    """The dataset of reasoning-gym for a shape."""
    try:
        from reasoning_gym.games.mini_sudoku import MiniSudokuConfig, MiniSudokuDataset
        from reasoning_gym.games.sudoku import SudokuConfig, SudokuDataset
    except ImportError as error:
        raise ValueError("held-out puzzles come from reasoning-gym: `pip install -e '.[puzzles]'`.") from error
    kinds = {4: (MiniSudokuDataset, MiniSudokuConfig), 9: (SudokuDataset, SudokuConfig)}
    if shape.size not in kinds:
        raise ValueError(f"reasoning-gym has no {shape.name} Sudoku, only those of {sorted(kinds)}.")
    dataset, config = kinds[shape.size]
    return dataset(config(seed=seed, size=10**9))


def draw_held_out(shape: Shape, number: int, seed: int) -> Puzzles:
    """Draws distinct puzzles of the classes that may be held out."""
    source = own_puzzles(shape, seed) if shape.size == 6 else gym_puzzles(shape, seed)
    found, seen = [], set()
    while len(found) < number:
        puzzle, solution = next(source)
        if puzzle.tobytes() in seen or not may_be_held_out(class_keys(solution[None], shape)[0], shape):
            continue
        seen.add(puzzle.tobytes())
        found.append((puzzle, solution))
    return Puzzles(shape, *(np.stack(part) for part in zip(*found, strict=True)))


def may_be_held_out(key: tuple, shape: Shape) -> bool:
    """Whether puzzles of a class may be held out of training."""
    return zlib.crc32(repr(key).encode()) / 2**32 < HELD_OUT_CLASSES[shape.size]


def draw_train(shape: Shape, number: int, seed: int, held_out: Puzzles, progress=lambda done: None) -> Puzzles:
    """Draws puzzles of other classes than those of the held-out puzzles."""
    classes = set(class_keys(held_out.solutions, shape))
    source, found = own_puzzles(shape, seed), []
    while len(found) < number:
        drawn = list(islice(source, CHUNK))
        keys = class_keys(np.stack([solution for _, solution in drawn]), shape)
        found += [pair for pair, key in zip(drawn, keys, strict=True) if key not in classes]
        progress(len(found))
    return Puzzles(shape, *(np.stack(part) for part in zip(*found[:number], strict=True)))


def save(path: Path, splits: dict[str, dict[int, Puzzles]]) -> None:
    """Writes all splits into one compressed file."""
    arrays = {}
    for split, by_size in splits.items():
        for size, part in by_size.items():
            arrays[f"{split}_{size}_puzzles"] = part.puzzles
            arrays[f"{split}_{size}_solutions"] = part.solutions
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())


def load(path: Path, split: str, sizes: list[int]) -> dict[int, Puzzles]:
    """Reads the puzzles of a split, by size."""
    check_file(path)
    with np.load(path) as arrays:
        missing = [size for size in sizes if f"{split}_{size}_puzzles" not in arrays]
        if missing:
            raise ValueError(
                f"{path} has no puzzles of size {missing[0]} in its split {split!r}. Make it again with `python -m recipes.sudoku "
                f"{'hard' if split == 'hard' else 'prepare'}`."
            )
        return {
            size: Puzzles(SHAPES[size], arrays[f"{split}_{size}_puzzles"], arrays[f"{split}_{size}_solutions"])
            for size in sizes
        }


def load_all(path: Path) -> dict[str, dict[int, Puzzles]]:
    """Reads all splits of a file, as [`save`] takes them."""
    check_file(path)
    with np.load(path) as arrays:
        sizes = {split: [size for size in SHAPES if f"{split}_{size}_puzzles" in arrays] for split in SPLITS}
    return {split: load(path, split, of_split) for split, of_split in sizes.items()}


def check_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError(
            f"`puzzles` must name a file, but there is no {path}. Make it with `python -m recipes.sudoku prepare`."
        )
