# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Paired comparison of two settings over the same prompts."""

from dataclasses import dataclass
from functools import lru_cache

import torch


NUM_RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """How a setting compares with its baseline.

    Args:
        difference (`float`): Of exact match, in points of a hundred.
        low, high (`float`): Its interval.
        speedup (`float`): Forward passes of the baseline over those of the setting.
    """

    difference: float
    low: float
    high: float
    speedup: float

    @property
    def is_equal(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high


def compare(result: dict, baseline: dict, seed: int = 0) -> Comparison:
    """The difference of exact match with its 95% interval by the percentile bootstrap over the prompts.

    Args:
        result (`dict`): `hits`, a string with 1 for each prompt that was answered exactly and 0 for the others, and
            `forward_passes`, their mean over the prompts.
        baseline (`dict`): The same, over the same prompts.
        seed (`int`, *optional*, defaults to 0): Of the resampling.

    Raises:
        `ValueError`: if the two do not have the same number of prompts.

    Example:

    ```python
    >>> compare({"hits": "1011", "forward_passes": 2.0}, {"hits": "1111", "forward_passes": 6.0}).difference
    -25.0
    ```
    """
    if len(result["hits"]) != len(baseline["hits"]):
        raise ValueError(
            f"`result` must be over the {len(baseline['hits'])} prompts of the baseline, but got {len(result['hits'])}."
        )
    differences = torch.tensor([int(a) - int(b) for a, b in zip(result["hits"], baseline["hits"], strict=True)])
    low, high = bootstrap_interval(100.0 * differences.double(), seed)
    return Comparison(
        difference=100.0 * differences.double().mean().item(),
        low=low,
        high=high,
        speedup=baseline["forward_passes"] / result["forward_passes"],
    )


def bootstrap_interval(values: torch.Tensor, seed: int = 0) -> tuple[float, float]:
    """The 95% interval of the mean of values, `(n,)`."""
    means = resamples(len(values), seed) @ values.double() / len(values)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.double)).tolist()
    return low, high


@lru_cache(maxsize=4)
def resamples(number: int, seed: int) -> torch.Tensor:
    """How often each of some prompts is in each resample, `(num_resamples, number)`."""
    drawn = torch.randint(number, (NUM_RESAMPLES, number), generator=torch.Generator().manual_seed(seed))
    counts = torch.zeros(NUM_RESAMPLES, number, dtype=torch.double)
    return counts.scatter_add_(1, drawn, torch.ones_like(counts))


def statistics_of(result: dict, baseline: dict) -> dict:
    """What docs/evidence.md shows of a result: exact match, and its difference from the baseline, with their 95% intervals.

    Args:
        result, baseline (`dict`): As for [`compare`].

    Returns:
        `dict`: `exact_match` and `difference`, each a value, and the ends of its interval, in points of a hundred.
    """
    hits = torch.tensor([100.0 * int(hit) for hit in result["hits"]], dtype=torch.double)
    comparison = compare(result, baseline)
    rows = {
        "exact_match": (exact_match(result), *bootstrap_interval(hits)),
        "difference": (comparison.difference, comparison.low, comparison.high),
    }
    return {name: [round(value, 2) for value in row] for name, row in rows.items()}


def exact_match(result: dict) -> float:
    """In points of a hundred."""
    return 100.0 * result["hits"].count("1") / len(result["hits"])
