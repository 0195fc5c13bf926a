# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The colours of the drawings.

The colours of confidences can be told apart by colour-blind readers and are dark enough for white text.
"""

from dataclasses import dataclass


Color = tuple[int, int, int]  # red, green and blue

CONFIDENCE_COLORS = ((196, 86, 18), (158, 97, 126), (24, 110, 200))  # at 0, 0.5 and 1


@dataclass(frozen=True)
class Palette:
    """The colours of paper and ink."""

    card: Color
    ink: Color
    quiet: Color
    mask: Color
    active: Color
    seal: Color


LIGHT = Palette(
    card=(255, 253, 249),
    ink=(31, 35, 40),
    quiet=(111, 106, 95),
    mask=(233, 229, 220),
    active=(246, 223, 174),
    seal=(168, 50, 30),
)
DARK = Palette(
    card=(22, 27, 34),
    ink=(230, 237, 243),
    quiet=(154, 164, 175),
    mask=(45, 51, 59),
    active=(75, 63, 31),
    seal=(240, 128, 106),
)


def confidence_color(confidence: float | None) -> str:
    """The colour of a confidence from 0 (orange) to 1 (blue), for SVG and terminals.

    Example:

    ```python
    >>> confidence_color(1.0)
    '#186ec8'
    ```
    """
    return "#{:02x}{:02x}{:02x}".format(*mix_confidence(confidence))


def mix_confidence(confidence: float | None) -> Color:
    """Red, green and blue of a confidence. `None` and NaN, the confidence of given tokens, count as 1."""
    if confidence is None or confidence != confidence:
        confidence = 1.0
    position = min(max(confidence, 0.0), 1.0) * (len(CONFIDENCE_COLORS) - 1)
    index = min(int(position), len(CONFIDENCE_COLORS) - 2)
    return mix(*CONFIDENCE_COLORS[index : index + 2], position - index)


def mix(low: Color, high: Color, share: float) -> Color:
    """The colour between two others; `share` is the part of the second one."""
    return tuple(round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
