# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""95% intervals by the percentile bootstrap."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def bootstrap(*samples: ArrayLike, statistic: Callable = np.mean, seed: int = 0) -> dict[str, float]:
    """
    A statistic of samples of one length, such as the two sides of a ratio, which are resampled together 10,000 times. The
    statistic is computed along `axis`. Returns it as `mean`, and the ends of its interval as `low` and `high`.
    """
    arrays = [np.asarray(sample, dtype=float) for sample in samples]
    value = low = high = float(statistic(*arrays, axis=-1))
    if len(arrays[0]) > 1:
        interval = stats.bootstrap(
            arrays,
            statistic,
            n_resamples=10_000,
            batch=1_000,
            vectorized=True,
            paired=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return {"mean": value, "low": low, "high": high}
