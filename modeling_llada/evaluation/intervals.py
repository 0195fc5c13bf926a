# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How sure a rate or a mean is: 95% intervals."""

from collections.abc import Sequence
from math import sqrt


def wilson_interval(hits: int, number: int, z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a rate by Wilson's score, which is no point where all answers are wrong, or all right.

    Args:
        hits (`int`): How often it was right.
        number (`int`): How often it was asked, at least once.
        z (`float`, *optional*, defaults to 1.96): The quantile of the normal distribution.

    Example:

    ```python
    >>> tuple(round(bound, 3) for bound in wilson_interval(0, 100))
    (0.0, 0.037)
    ```
    """
    if not 0 <= hits <= number or number == 0:
        raise ValueError(f"`hits` must be from 0 to `number`, and `number` at least 1; got {hits} and {number}.")
    rate, weight = hits / number, z * z / number
    middle = (rate + weight / 2) / (1 + weight)
    half = z * sqrt(rate * (1 - rate) / number + weight / (4 * number)) / (1 + weight)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def mean_interval(values: Sequence[float], z: float = 1.96) -> tuple[float, float]:
    """The 95% interval of a mean by the normal distribution; a single value has no width.

    Args:
        values (`Sequence[float]`): At least one number.
        z (`float`, *optional*, defaults to 1.96): The quantile of the normal distribution.

    Example:

    ```python
    >>> tuple(round(bound, 2) for bound in mean_interval([1, 2, 3]))
    (0.87, 3.13)
    ```
    """
    if not values:
        raise ValueError("`values` must have at least one number, but it is empty.")
    number = len(values)
    mean = sum(values) / number
    variance = sum((value - mean) ** 2 for value in values) / max(number - 1, 1)
    half = z * sqrt(variance / number)
    return mean - half, mean + half
