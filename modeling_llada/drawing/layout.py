# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Where each token stands in a picture. The result decides, so that nothing moves while tokens are committed."""

import re
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len

from ..streaming.frames import BROKEN
from .cells import Cell, Picture


UNIT, GAP, CELL_HEIGHT = 14, 4, 34  # in pixels; a Han character is two units wide
NOT_DRAWN = ("pad", "image")
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # control characters


@dataclass(frozen=True)
class Place:
    """The box of one token: its position on the canvas, what the result writes into it, and where it is drawn."""

    position: int
    label: str
    x: int
    y: int
    width: int


@dataclass(frozen=True)
class Layout:
    """The places of all tokens that are drawn, and the size of the whole."""

    places: list[Place]
    width: int
    height: int


def lay_out(result: Picture, max_width: int, start: int = 0) -> Layout:
    """
    Arranges the tokens of the result from position `start` on in lines of at most `max_width` half Han characters. The tokens
    of a word touch, and a line breaks inside a word only if it is longer than a line. Pads are left out, an image has one
    box, and a token of line breaks alone gets none.
    """
    places, x, y, used, right = [], 0, 0, 0.0, 0
    cells = enumerate(result.cells[start:], start)
    visible = [(position, cell) for position, cell in cells if cell.state not in NOT_DRAWN]
    for _, word in groupby(visible, lambda one: one if one[1].word is None else one[1].word):
        boxes = [(position, *box_of(cell)) for position, cell in word]
        units = sum(width for _, _, width in boxes) / UNIT
        for index, (position, label, width) in enumerate(boxes):
            needed = units if index == 0 and units <= max_width else width / UNIT
            if used and used + needed > max_width:
                x, y, used = 0, y + CELL_HEIGHT + GAP, 0.0
            if label.strip("\n") or not label:
                places.append(Place(position, label, x, y, width))
            x, used = x + width, used + width / UNIT
            right = max(right, x)
        x += GAP
        if label.endswith("\n"):
            x, y, used = 0, y + CELL_HEIGHT + GAP, 0.0
    return Layout(places, right, y + CELL_HEIGHT)


def box_of(cell: Cell) -> tuple[str, int]:
    """What is drawn in the box of a token, and the width of the box."""
    label = printable(cell.label)
    if cell.word is None:
        return label, max(cell_len(label), 2) * UNIT
    label = label.strip(" ")
    return label, round(sum(letter_width(letter) for letter in label)) + 2


def letter_width(letter: str) -> float:
    """About the width of a letter in the serif fonts of the drawings, in pixels."""
    if letter in "fijlt.,:;'’!|()[]":
        return 8
    if letter in "mwMW@%":
        return 20
    return 15 if letter.isupper() else 12.5


def lay_out_animation(pictures: list[Picture], columns: int | None) -> Layout:
    """The layout of an animation with `columns` Han characters in a line (by default 24)."""
    if not pictures:
        raise ValueError("`pictures` is empty. Draw them after the first denoising step.")
    return lay_out(pictures[-1], 2 * (columns or 24))


def printable(label: str) -> str:
    """The label without control characters."""
    return NO_XML.sub(BROKEN, label)
