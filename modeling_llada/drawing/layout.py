# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Where each token stands in a picture. The result decides, so that nothing moves while tokens are committed."""

import re
from dataclasses import dataclass

from rich.cells import cell_len

from ..streaming.frames import BROKEN
from .cells import Picture


UNIT, GAP, CELL_HEIGHT = 14, 4, 34  # in pixels; a Han character is two units wide
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


def lay_out(result: Picture, max_width: int) -> Layout:
    """
    Arranges the tokens of the result in lines of at most `max_width` half Han characters. Pads are left out, and a
    token of line breaks alone gets no box.
    """
    places, x, y, used, right = [], 0, 0, 0, 0
    for position, cell in enumerate(result.cells):
        if cell.state == "pad":
            continue
        label = printable(cell.label)
        units = max(cell_len(label), 2)
        if used and used + units > max_width:
            x, y, used = 0, y + CELL_HEIGHT + GAP, 0
        if label.strip("\n") or not label:
            places.append(Place(position, label, x, y, units * UNIT))
        x, used = x + units * UNIT + GAP, used + units
        right = max(right, x)
        if label.endswith("\n"):
            x, y, used = 0, y + CELL_HEIGHT + GAP, 0
    return Layout(places, right - GAP, y + CELL_HEIGHT)


def lay_out_animation(pictures: list[Picture], columns: int | None) -> Layout:
    """The layout of an animation with `columns` Han characters in a line (by default 24)."""
    if not pictures:
        raise ValueError("`pictures` is empty. Draw them after the first denoising step.")
    return lay_out(pictures[-1], 2 * (columns or 24))


def printable(label: str) -> str:
    """The label without control characters."""
    return NO_XML.sub(BROKEN, label)
