# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The puzzles that the Space offers: of our own generator, and of the classes that were held out of training."""

import json
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.sudoku.grids import SHAPES, Shape, class_keys
from recipes.sudoku.puzzles import may_be_held_out, own_puzzles


DIFFICULTIES = ("easy", "medium", "hard")  # thirds of the range of empty cells


def write_puzzles(output: Path, number: int, seed: int) -> None:
    """Writes a file with `number` puzzles of each size and difficulty, each as text."""
    puzzles = {shape.name: draw(shape, number, seed) for shape in SHAPES.values()}
    write_atomically(output, json.dumps(puzzles, indent=1) + "\n")


def draw(shape: Shape, number: int, seed: int) -> dict[str, list[str]]:
    """Distinct puzzles by their difficulty, with the same number of each."""
    found = {name: [] for name in DIFFICULTIES}
    for puzzle, solution in own_puzzles(shape, seed):
        third = 3 * (int((puzzle == 0).sum()) - shape.min_empty) // (shape.max_empty + 1 - shape.min_empty)
        chosen = found[DIFFICULTIES[max(third, 0)]]
        text = "\n".join("".join(str(digit) if digit else "." for digit in row) for row in puzzle.tolist())
        is_new = len(chosen) < number and text not in chosen
        if is_new and may_be_held_out(class_keys(solution[None], shape)[0], shape):
            chosen.append(text)
        if all(len(part) == number for part in found.values()):
            return found
