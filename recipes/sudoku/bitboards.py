# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
Whether a puzzle has another solution, fast enough to empty a grid as far as it goes.

The candidates are a board of bits for each digit: an integer with a bit for each cell where the digit may still be. A few operations
on these integers find all cells with one candidate at once. What is forced is filled in, and the search branches on a cell with two
candidates where there is one.
"""

from collections.abc import Sequence

from recipes.sudoku.grids import Shape, units_of


class Bitboards:
    """The rules of a shape on boards of bits."""

    def __init__(self, shape: Shape):
        cells = range(shape.size**2)
        homes = units_of(shape)  # the row, column and box of each cell
        groups = [
            [sum(1 << cell for cell in cells if homes[cell][kind] == one) for one in range(shape.size)]
            for kind in range(3)
        ]
        self.size, self.everywhere = shape.size, (1 << len(cells)) - 1
        self.units = [unit for kind in groups for unit in kind]
        # All other cells that see a cell, taken away by an "and".
        self.unseen = [
            ~((groups[0][row] | groups[1][column] | groups[2][box]) & ~(1 << cell))
            for cell, (row, column, box) in enumerate(homes)
        ]

    def has_another(self, puzzle: Sequence[int], cell: int, digit: int) -> bool:
        """Whether a puzzle, with 0 for an empty cell, has a solution without this digit in this empty cell."""
        boards, own = [self.everywhere] * self.size, [0] * self.size
        for place, value in enumerate(puzzle):
            if value:
                boards[value - 1] &= self.unseen[place]
                own[value - 1] |= 1 << place
        given = sum(own)
        # What is given is a candidate of no other digit.
        boards = [board & (~given | mine) for board, mine in zip(boards, own, strict=True)]
        boards[digit - 1] &= ~(1 << cell)
        return self._search(boards, given)

    def _search(self, boards: list[int], filled: int) -> bool:
        """Whether there is a solution. Changes the boards."""
        while True:
            once = twice = thrice = 0  # cells with at least one, two and three candidates
            for board in boards:
                thrice |= twice & board
                twice |= once & board
                once |= board
            if once != self.everywhere:
                return False
            single = once & ~twice & ~filled
            if single:
                for digit, board in enumerate(boards):
                    found = single & board
                    while found:
                        bit = found & -found
                        boards[digit] &= self.unseen[bit.bit_length() - 1]
                        found ^= bit
                filled |= single
                continue
            if filled == self.everywhere:
                return True
            forced = self._forced(boards, filled)
            if forced is None:
                return False
            if not forced:
                break
            for bit, digit in forced.items():
                boards[:] = [board if other == digit else board & ~bit for other, board in enumerate(boards)]
        open_cells = twice & ~thrice or twice
        bit = open_cells & -open_cells
        for digit in range(self.size):
            if boards[digit] & bit:
                trial = [board if other == digit else board & ~bit for other, board in enumerate(boards)]
                if self._search(trial, filled):
                    return True
        return False

    def _forced(self, boards: list[int], filled: int) -> dict[int, int] | None:
        """Cells, as bits, that are the only place of a digit in a row, column or box. `None` if a digit has no place in one."""
        forced = {}
        for digit, board in enumerate(boards):
            if board & ~filled:
                for unit in self.units:
                    places = board & unit
                    if not places:
                        return None
                    is_only = not places & places - 1 and not places & filled
                    if is_only and forced.setdefault(places, digit) != digit:
                        return None
        return forced
