# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""95% intervals of rates and means."""

from collections.abc import Sequence
from math import sqrt


Z = 1.96  # quantile of the normal distribution


def wilson_interval(hits: int, number: int) -> tuple[float, float]:
    """Wilson's interval of a rate. It has a width even if all answers are wrong, or all right."""
    if not 0 <= hits <= number or number == 0:
        raise ValueError(f"`hits` must be from 0 to `number`, and `number` at least 1, but got {hits} and {number}.")
    rate, weight = hits / number, Z * Z / number
    middle = (rate + weight / 2) / (1 + weight)
    half = Z * sqrt(rate * (1 - rate) / number + weight / (4 * number)) / (1 + weight)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The interval of a mean by the normal distribution. The interval of a single value has no width."""
    if not values:
        raise ValueError("`values` must have at least one number, but it is empty.")
    number = len(values)
    mean = sum(values) / number
    variance = sum((value - mean) ** 2 for value in values) / max(number - 1, 1)
    half = Z * sqrt(variance / number)
    return mean - half, mean + half
