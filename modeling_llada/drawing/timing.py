# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The pace of an animation, and the pictures that it shows."""

from dataclasses import dataclass

from .cells import Picture


@dataclass(frozen=True)
class Timing:
    """How long pictures stay, in milliseconds: the canvas of masks, each denoising step, and the result."""

    start: int = 900
    step: int = 150
    end: int = 3000


def drop_repeats(pictures: list[Picture]) -> list[Picture]:
    """The pictures without those that look like the one before them."""
    kept = pictures[:1]
    for picture in pictures[1:]:
        if picture.cells != kept[-1].cells:
            kept.append(picture)
    return kept


def thin_out(items: list, count: int) -> list:
    """At most `count` items at even distances, including the first and the last."""
    if len(items) <= count:
        return items
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]
