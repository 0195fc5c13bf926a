# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
Puzzles with few given digits, which are the hard ones: those of books have 17 to 26.

A grid is emptied in random order while the solution stays unique. That ends with 22 to 26 digits, none of which can be left out. From
there a local search goes on: a given digit is exchanged for another one, and what can then be left out is left out. So a puzzle of few
digits costs more, the fewer they are.
"""

from random import Random

import numpy as np

from recipes.sudoku.solver import Solver, dig, random_grid


EXCHANGES = 400  # that are tried before the next grid
FRUITLESS = 3  # digits above the wanted number, from which the search does not get there


def make_hard(solver: Solver, clues: int, random: Random) -> tuple[np.ndarray, np.ndarray]:
    """A puzzle with so many given digits and one solution, and that solution, each `(size, size)`."""
    size = solver.shape.size
    while True:
        solution = random_grid(solver, random)
        puzzle = dig(solver, solution, size**2 - clues, random)
        if clues < number_given(puzzle) <= clues + FRUITLESS:
            puzzle = search_lower(solver, puzzle, solution, clues, random)
        if number_given(puzzle) == clues:
            return tuple(np.array(cells, np.int8).reshape(size, size) for cells in (puzzle, solution))


def search_lower(solver: Solver, puzzle: list[int], solution: list[int], clues: int, random: Random) -> list[int]:
    """Exchanges given digits until only `clues` are left, or until that was tried often enough."""
    for _ in range(EXCHANGES):
        given = [cell for cell, digit in enumerate(puzzle) if digit]
        empty = [cell for cell, digit in enumerate(puzzle) if not digit]
        trial, taken, put = list(puzzle), random.choice(given), random.choice(empty)
        trial[taken], trial[put] = 0, solution[put]
        if solver.has_another(trial, taken, solution[taken]):
            continue
        puzzle = dig(solver, trial, number_given(trial) - clues, random)
        if number_given(puzzle) == clues:
            break
    return puzzle


def number_given(puzzle: list[int]) -> int:
    return sum(map(bool, puzzle))
