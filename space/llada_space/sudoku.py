# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Sudoku puzzles: read from text, checked, and picked from a file that `python -m recipes.sudoku space` wrote."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from modeling_llada.prompt_fields import MASK


PUZZLES = json.loads((Path(__file__).parent / "puzzles.json").read_text(encoding="utf-8"))  # by size and difficulty
BLANKS = ".0_"
MAX_GUESSES = 5_000  # about a second; a search that takes more is given up


@dataclass(frozen=True)
class Shape:
    """The shape of a puzzle: its digits, and the rows and columns of a box."""

    size: int
    box_height: int
    box_width: int

    @property
    def name(self) -> str:
        return f"{self.size}x{self.size}"

    @cached_property
    def units(self) -> dict[str, list[int]]:
        """The cells of each row, column and box, by its name."""
        size, height, width = self.size, self.box_height, self.box_width
        units: dict[str, list[int]] = {}
        for cell in range(size * size):
            row, column = divmod(cell, size)
            box = row // height * (size // width) + column // width
            for name, number in (("row", row), ("column", column), ("box", box)):
                units.setdefault(f"{name} {number + 1}", []).append(cell)
        return units

    @cached_property
    def peers(self) -> list[set[int]]:
        """For each cell the other cells of its row, column and box."""
        return [
            {other for unit in self.units.values() if cell in unit for other in unit} - {cell}
            for cell in range(self.size * self.size)
        ]


SHAPES = {shape.size: shape for shape in (Shape(4, 2, 2), Shape(6, 2, 3), Shape(9, 3, 3))}


def read_puzzle(text: str) -> tuple[Shape, list[int]]:
    """The shape and the digits of a puzzle, row by row, 0 for an empty cell. Raises a `ValueError` if it is no puzzle."""
    lines = ["".join(line.split()).replace("|", "") for line in text.replace(MASK, ".").splitlines()]
    lines = [line for line in lines if line and line not in {shape.name for shape in SHAPES.values()}]
    if len(lines) not in SHAPES:
        raise ValueError(f"a puzzle has 4, 6 or 9 rows, one in a line, but this one has {len(lines)}.")
    shape = SHAPES[len(lines)]
    for number, line in enumerate(lines, 1):
        if len(line) != shape.size:
            raise ValueError(
                f"row {number} has {len(line)} cells, but a row of a {shape.name} puzzle has {shape.size}."
            )
        for character in line:
            if character not in BLANKS and character not in "123456789"[: shape.size]:
                raise ValueError(
                    f"row {number} has {character!r}: write digits from 1 to {shape.size}, and a dot for an empty cell."
                )
    digits = [0 if character in BLANKS else int(character) for line in lines for character in line]
    check_puzzle(shape, digits)
    return shape, digits


def check_puzzle(shape: Shape, digits: list[int]) -> None:
    """Raises a `ValueError` unless a puzzle has exactly one solution."""
    for name, unit in shape.units.items():
        given = [digits[cell] for cell in unit if digits[cell]]
        if twice := [digit for digit in given if given.count(digit) > 1]:
            raise ValueError(f"{name} has the digit {twice[0]} twice.")
    if all(digits):
        raise ValueError("this puzzle has no empty cell: there is nothing to solve.")
    number = count_solutions(shape, digits)
    if number == 0:
        raise ValueError("this puzzle has no solution.")
    if number > 1:
        raise ValueError("this puzzle has more than one solution: give more digits.")


def count_solutions(shape: Shape, digits: list[int], limit: int = 2) -> int:
    """The number of solutions, at most `limit`. A search that takes too long counts one."""
    digits, guesses = list(digits), 0

    def search() -> int:
        nonlocal guesses
        guesses += 1
        if guesses > MAX_GUESSES:
            return 0
        free = {}
        for cell, digit in enumerate(digits):
            if not digit:
                free[cell] = set(range(1, shape.size + 1)) - {digits[peer] for peer in shape.peers[cell]}
        if not free:
            return 1
        cell, found = min(free, key=lambda cell: len(free[cell])), 0
        for digit in free[cell]:
            digits[cell] = digit
            found += search()
            if found >= limit:
                break
        digits[cell] = 0
        return found

    found = search()
    return max(found, 1) if guesses > MAX_GUESSES else found


def board_text(shape: Shape, digits: list[int]) -> str:
    """A board as the solver reads it."""
    cells = [str(digit) if digit else MASK for digit in digits]
    rows = ["".join(cells[start : start + shape.size]) for start in range(0, len(cells), shape.size)]
    return "".join(f"{line}\n" for line in (shape.name, *rows))


def board_positions(shape: Shape) -> list[int]:
    """The positions of the cells on the canvas: a token for the size, and a line break behind it and each row."""
    return [2 + row * (shape.size + 1) + column for row in range(shape.size) for column in range(shape.size)]


def count_conflicts(shape: Shape, texts: list[str]) -> int:
    """The number of cells whose digit another cell of its row, column or box has too."""
    return sum(any(text and text == texts[peer] for peer in shape.peers[cell]) for cell, text in enumerate(texts))
