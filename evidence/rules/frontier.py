# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Quality against forward passes: paired differences, and the area under the frontier."""

from collections.abc import Callable

import numpy as np

from reporting.statistics import bootstrap


FEWEST = 1 / 64  # forward passes for a token where the area begins; it ends at 1


def quality(result: dict) -> np.ndarray:
    """The quality of each answer in percent; their mean is that of the result."""
    return 100.0 * (np.array(list(result["hits"]), dtype=float) + result.get("expected", 0.0))


def passes_per_token(result: dict) -> float:
    return result["forward_passes"] / result["tokens"]


def compare(result: dict, plain: dict) -> dict:
    """
    The quality of a result, its paired difference from the plain rule in points, each with its interval, and how many times
    fewer forward passes and seconds it took.
    """
    one, other = quality(result), quality(plain)
    if len(one) != len(other):
        raise ValueError(f"`result` must have the {len(other)} questions of `plain`, but got {len(one)}.")
    return {
        "quality": rounded(bootstrap(one)),
        "difference": rounded(bootstrap(one - other)),
        "passes_per_token": round(passes_per_token(result), 4),
        "fewer_passes": round(plain["forward_passes"] / result["forward_passes"], 3),
        "fewer_seconds": round(plain["cpu_seconds"] / max(result["cpu_seconds"], 0.01), 3),
    }


def area(results: list[dict]) -> dict[str, float]:
    """
    The area under the frontier of some results on the same questions, with its interval: the mean, over the logarithm of the
    forward passes for a token from 1/64 to 1, of the best quality that some result reaches with at most so many. 100 is
    full quality at 1/64; the plain rule alone has 0, because it needs one pass for each token.
    """
    return rounded(bootstrap(*map(quality, results), statistic=area_of([passes_per_token(one) for one in results])))


def area_of(passes: list[float]) -> Callable[..., np.ndarray]:
    """The area as a function of the qualities of results with these forward passes for a token."""
    order = np.argsort(passes)
    ends = np.clip(np.log2(np.append(np.array(passes)[order], 1.0)), np.log2(FEWEST), 0.0)
    widths = np.diff(ends) / -np.log2(FEWEST)

    def statistic(*qualities: np.ndarray, axis: int = -1) -> np.ndarray:
        means = np.stack([qualities[index].mean(axis=axis) for index in order])
        best = np.maximum.accumulate(means, axis=0)
        return np.tensordot(widths, best, axes=1)

    return statistic


def rounded(row: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) + 0.0 for name, value in row.items()}
