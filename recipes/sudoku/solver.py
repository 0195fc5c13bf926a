# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Solves puzzles of any shape, and makes puzzles with one solution."""

from random import Random

import numpy as np

from recipes.sudoku.bitboards import Bitboards
from recipes.sudoku.grids import Shape, units_of


class Solver:
    """Depth-first search that fills the cell with the fewest candidates first."""

    def __init__(self, shape: Shape):
        self.shape = shape
        self.everything = (1 << shape.size) - 1
        self.units = units_of(shape)
        self.has_another = Bitboards(shape).has_another

    def solutions(self, cells: list[int], random: Random | None = None):
        """Yields all solutions of a puzzle, a list of n * n digits with 0 for an empty cell; in random order with `random`."""
        n = self.shape.size
        cells = list(cells)
        rows, columns, boxes = [0] * n, [0] * n, [0] * n
        for (row, column, box), digit in zip(self.units, cells, strict=True):
            if digit:
                bit = 1 << digit - 1
                if (rows[row] | columns[column] | boxes[box]) & bit:
                    return
                rows[row] |= bit
                columns[column] |= bit
                boxes[box] |= bit
        empty = [cell for cell, digit in enumerate(cells) if not digit]
        yield from self._search(cells, empty, rows, columns, boxes, random)

    def _search(self, cells, empty, rows, columns, boxes, random):
        if not empty:
            yield cells.copy()
            return
        best, fewest, candidates = 0, 99, 0
        for place, cell in enumerate(empty):
            row, column, box = self.units[cell]
            free = self.everything & ~(rows[row] | columns[column] | boxes[box])
            number = free.bit_count()
            if number < fewest:
                best, fewest, candidates = place, number, free
                if number <= 1:
                    break
        cell = empty[best]
        rest = empty[:best] + empty[best + 1 :]
        row, column, box = self.units[cell]
        bits = [1 << i for i in range(self.shape.size) if candidates >> i & 1]
        if random is not None:
            random.shuffle(bits)
        for bit in bits:
            cells[cell] = bit.bit_length()
            rows[row] |= bit
            columns[column] |= bit
            boxes[box] |= bit
            yield from self._search(cells, rest, rows, columns, boxes, random)
            rows[row] ^= bit
            columns[column] ^= bit
            boxes[box] ^= bit
        cells[cell] = 0

    def count(self, cells: list[int], limit: int = 2) -> int:
        """The number of solutions, at most `limit`."""
        number = 0
        for _ in self.solutions(cells):
            number += 1
            if number >= limit:
                break
        return number


def random_grid(solver: Solver, random: Random) -> list[int]:
    """A solved grid. Every grid is possible, but the distribution is not exactly uniform."""
    return next(solver.solutions([0] * solver.shape.size**2, random))


def dig(solver: Solver, filled: list[int], num_empty: int, random: Random) -> list[int]:
    """Empties up to `num_empty` cells of a grid or a puzzle in random order while the solution stays unique."""
    puzzle, emptied = list(filled), 0
    cells = [cell for cell, digit in enumerate(filled) if digit]
    random.shuffle(cells)
    for cell in cells:
        if emptied == num_empty:
            break
        digit, puzzle[cell] = puzzle[cell], 0
        if solver.has_another(puzzle, cell, digit):
            puzzle[cell] = digit
        else:
            emptied += 1
    return puzzle


def make_puzzle(solver: Solver, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """A puzzle with one solution, which is a random grid, and that solution, each `(size, size)`."""
    shape = solver.shape
    solution = random_grid(solver, random)
    puzzle = dig(solver, solution, random.randint(shape.min_empty, shape.max_empty), random)
    square = (shape.size, shape.size)
    return np.array(puzzle, np.int8).reshape(square), np.array(solution, np.int8).reshape(square)
