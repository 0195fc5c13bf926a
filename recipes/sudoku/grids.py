# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Sudoku grids: the rules, and keys that differ for grids that no symmetry turns into each other.

A grid is an array of the digits 1 to n; 0 is an empty cell. The symmetries of the rules are: exchange digits, exchange
bands of boxes or rows within a band, the same for stacks and columns, and transpose where boxes are square.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Shape:
    """The shape of a Sudoku: its digits, its boxes, and how many empty cells a puzzle has."""

    size: int
    box_height: int
    box_width: int
    min_empty: int
    max_empty: int

    @property
    def name(self) -> str:
        return f"{self.size}x{self.size}"

    @property
    def is_square(self) -> bool:
        """Whether boxes are square, so that a transposed grid is a grid."""
        return self.box_height == self.box_width


# The empty cells of 4x4 and 9x9 are the defaults of reasoning-gym, which has no 6x6.
SHAPES = {4: Shape(4, 2, 2, 8, 12), 6: Shape(6, 2, 3, 14, 24), 9: Shape(9, 3, 3, 30, 50)}


def units_of(shape: Shape) -> list[tuple[int, int, int]]:
    """The numbers of the row, the column and the box of each cell."""
    n, height, width = shape.size, shape.box_height, shape.box_width
    return [(cell // n, cell % n, cell // n // height * (n // width) + cell % n // width) for cell in range(n * n)]


def boxes_of(grid: np.ndarray, shape: Shape) -> np.ndarray:
    """The cells of each box as a row, `(..., size, size)`."""
    n, height, width = shape.size, shape.box_height, shape.box_width
    split = grid.reshape(*grid.shape[:-2], n // height, height, n // width, width)
    return np.swapaxes(split, -3, -2).reshape(*grid.shape[:-2], n, n)


def is_solved(grid: np.ndarray, shape: Shape) -> np.ndarray:
    """Whether each row, column and box of a grid has each digit once, `(...)`."""
    digits = np.arange(1, shape.size + 1)
    units = np.concatenate([grid, np.swapaxes(grid, -1, -2), boxes_of(grid, shape)], axis=-2)
    return (np.sort(units, axis=-1) == digits).all((-1, -2))


def solves(grid: np.ndarray, puzzle: np.ndarray, shape: Shape) -> np.ndarray:
    """Whether each grid is solved and keeps the given digits of its puzzle."""
    return is_solved(grid, shape) & ((grid == puzzle) | (puzzle == 0)).all((-1, -2))


def class_keys(grids: np.ndarray, shape: Shape) -> list[tuple]:
    """
    A key for each solved grid, which is the same for all its symmetric images. Grids with different keys are essentially
    different.

    Two rows define a permutation of the digits: each digit of one row goes to the digit below it in the other. Neither other
    digits nor another order of the columns change the lengths of its cycles. The key has these lengths for all pairs of rows, by
    band, and for all pairs of columns.
    """
    rows = _pair_keys(grids, shape.box_height)
    columns = _pair_keys(np.swapaxes(grids, 1, 2), shape.box_width)
    pairs = zip(rows, columns, strict=True)
    return [tuple(sorted(pair)) if shape.is_square else pair for pair in pairs]


def _pair_keys(grids: np.ndarray, band: int) -> list[tuple]:
    """The cycle lengths of all pairs of rows, independent of the order of rows and bands."""
    n = grids.shape[-1]
    pairs = list(combinations(range(n), 2))
    first, second = np.array(pairs).T
    types = _cycle_types(grids[:, first], grids[:, second])
    within = [[i for i, (a, b) in enumerate(pairs) if a // band == b // band == k] for k in range(n // band)]
    across = [i for i, (a, b) in enumerate(pairs) if a // band != b // band]
    return [
        (tuple(sorted(tuple(sorted(row[band].tolist())) for band in within)), tuple(sorted(row[across].tolist())))
        for row in types
    ]


def _cycle_types(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cycle lengths of the permutation from one row to another, encoded as one number, `(..., size)` to `(...)`."""
    n = first.shape[-1]
    step = np.zeros(first.shape, dtype=np.int64)
    np.put_along_axis(step, first.astype(np.int64) - 1, second.astype(np.int64) - 1, axis=-1)
    start = np.broadcast_to(np.arange(n), step.shape)
    place, lengths = start, np.zeros(step.shape, dtype=np.int64)
    for length in range(1, n + 1):
        place = np.take_along_axis(step, place, axis=-1)
        lengths[(place == start) & (lengths == 0)] = length
    return (10**lengths).sum(axis=-1)
