# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The pace of moving pictures, and which pictures they show."""

from dataclasses import dataclass

from ..streaming.frames import BROKEN
from .cells import Cell, Picture
from .svg import NO_XML


@dataclass(frozen=True)
class Timing:
    """How long pictures stand, in milliseconds: the canvas of masks, each step, and the result."""

    start: int = 900
    step: int = 150
    end: int = 3000


def clean(cell: Cell) -> str:
    """What is written into a cell, without control characters."""
    return NO_XML.sub(BROKEN, cell.label)


def one_line(text: str) -> str:
    """The text without line breaks, which Pillow cannot centre: there are tokens of spaces around one."""
    return text.replace("\r", "").replace("\n", "")


def drop_repeats(pictures: list[Picture]) -> list[Picture]:
    """The pictures without those that look like the one before them."""
    kept = pictures[:1]
    for picture in pictures[1:]:
        if picture.cells != kept[-1].cells:
            kept.append(picture)
    return kept


def spread(pictures: list[Picture], count: int) -> list[Picture]:
    """At most so many pictures, evenly spread, the first and the last among them."""
    if len(pictures) <= count:
        return pictures
    return [pictures[round(index * (len(pictures) - 1) / (count - 1))] for index in range(count)]
