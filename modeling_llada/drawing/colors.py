# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The colours of confidences, which differ for colour-blind readers too and carry white text."""

import math


CONFIDENCE_COLORS = ((196, 86, 18), (158, 97, 126), (24, 110, 200))  # at 0, 0.5 and 1


def confidence_color(confidence: float) -> str:
    """The colour of a confidence in [0, 1], from orange over mauve to blue.

    Example:

    ```python
    >>> confidence_color(1.0)
    '#186ec8'
    ```
    """
    return "#{:02x}{:02x}{:02x}".format(*mix_confidence(confidence))


def mix_confidence(confidence: float) -> tuple[int, int, int]:
    """Red, green and blue of a confidence; NaN counts as 1, as it belongs to a token that was given."""
    if math.isnan(confidence):
        confidence = 1.0
    position = min(max(confidence, 0.0), 1.0) * (len(CONFIDENCE_COLORS) - 1)
    index = min(int(position), len(CONFIDENCE_COLORS) - 2)
    return mix(*CONFIDENCE_COLORS[index : index + 2], position - index)


def mix(low: tuple[int, int, int], high: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """The colour between two others; `share` is that of the second."""
    return tuple(round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
