# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The colours of paper and ink, light and dark."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours of the drawing as red, green and blue."""

    card: tuple[int, int, int]
    line: tuple[int, int, int]
    ink: tuple[int, int, int]
    quiet: tuple[int, int, int]
    mask: tuple[int, int, int]
    active: tuple[int, int, int]
    seal: tuple[int, int, int]


LIGHT = Palette(
    card=(255, 253, 249),
    line=(230, 225, 214),
    ink=(31, 35, 40),
    quiet=(111, 106, 95),
    mask=(233, 229, 220),
    active=(246, 223, 174),
    seal=(168, 50, 30),
)
DARK = Palette(
    card=(22, 27, 34),
    line=(48, 54, 61),
    ink=(230, 237, 243),
    quiet=(154, 164, 175),
    mask=(45, 51, 59),
    active=(75, 63, 31),
    seal=(240, 128, 106),
)
