# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The colours of confidences."""

import math


CONFIDENCE_COLORS = ((209, 73, 91), (226, 149, 52), (38, 140, 128))  # at 0, 0.5 and 1


def confidence_color(confidence: float) -> str:
    """The colour of a confidence in [0, 1], from red over amber to teal.

    Example:

    ```python
    >>> confidence_color(1.0)
    '#268c80'
    ```
    """
    if math.isnan(confidence):
        confidence = 1.0
    position = min(max(confidence, 0.0), 1.0) * (len(CONFIDENCE_COLORS) - 1)
    index = min(int(position), len(CONFIDENCE_COLORS) - 2)
    low, high = CONFIDENCE_COLORS[index : index + 2]
    mixed = (round(a + (b - a) * (position - index)) for a, b in zip(low, high, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)
