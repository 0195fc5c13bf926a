# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Boards as text, with a head that names the size and a line for each row, and their tokenizer.

    4x4
    1__4
    _41_
    2_43
    43_1

An empty cell is `[MASK]` if the board itself is the canvas, and `_` in a question.
"""

import numpy as np
from transformers import PreTrainedTokenizerFast

from recipes import symbols
from recipes.sudoku.grids import SHAPES, Shape
from recipes.symbols import MASK, SPECIAL_TOKENS


BLANK = "_"
TOKENS = (*SPECIAL_TOKENS, "\n", BLANK, *(shape.name for shape in SHAPES.values()), *"123456789")
IDS = {token: index for index, token in enumerate(TOKENS)}
FIRST_DIGIT = IDS["1"]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each digit, line break and size."""
    return symbols.build_tokenizer(TOKENS, r"\dx\d", max_length=256)


def board_text(grid: np.ndarray, empty: str = MASK) -> str:
    """A board as text."""
    lines = ["".join(str(digit) if digit else empty for digit in row) + "\n" for row in grid.tolist()]
    return f"{SHAPES[len(grid)].name}\n" + "".join(lines)


def parse_board(text: str, shape: Shape) -> np.ndarray | None:
    """The grid of a board as text, with 0 for anything but a digit of the shape; `None` if the board has another shape."""
    lines = text.replace(MASK, BLANK).strip().split("\n")
    if lines[0] == shape.name:
        lines = lines[1:]
    if len(lines) != shape.size or any(len(line) != shape.size for line in lines):
        return None
    return np.array([[_digit(character, shape) for character in line] for line in lines], np.int8)


def _digit(character: str, shape: Shape) -> int:
    return int(character) if character in "123456789"[: shape.size] else 0


def template(shape: Shape) -> np.ndarray:
    """The token ids of a board with -1 for its cells."""
    line = [-1] * shape.size + [IDS["\n"]]
    return np.array([IDS[shape.name], IDS["\n"], *(line * shape.size)], np.int64)


def boards_to_ids(grids: np.ndarray, shape: Shape, empty: str = MASK) -> np.ndarray:
    """Boards as the token ids that the tokenizer makes of their text, `(number, width)`."""
    cells = np.where(grids > 0, grids.astype(np.int64) + FIRST_DIGIT - 1, IDS[empty])
    ids = np.tile(template(shape), (len(grids), 1))
    ids[:, template(shape) < 0] = cells.reshape(len(grids), -1)
    return ids


def ids_to_grids(ids: np.ndarray, shape: Shape) -> np.ndarray:
    """The grids of boards as token ids, with 0 for a token that is no digit, `(number, size, size)`."""
    cells = ids[:, template(shape) < 0] - FIRST_DIGIT + 1
    cells = np.where((cells >= 1) & (cells <= shape.size), cells, 0)
    return cells.reshape(-1, shape.size, shape.size).astype(np.int8)
