# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Exact match and its paired comparison with a baseline, over the same prompts."""

from dataclasses import dataclass

import numpy as np

from evidence.quality.settings import Setting
from reporting.statistics import bootstrap


def statistics_of(result: dict, baseline: dict) -> dict[str, list[float]]:
    """
    Exact match of a result, and its difference from the baseline: a value and the ends of its interval, in percent. Their `hits`
    are strings with 1 for each prompt that was answered exactly and 0 for the others.
    """
    hits, others = (100.0 * np.array(list(one["hits"]), dtype=float) for one in (result, baseline))
    if len(hits) != len(others):
        raise ValueError(f"`result` must have the {len(others)} prompts of `baseline`, but got {len(hits)}.")
    rows = {"exact_match": bootstrap(hits), "difference": bootstrap(hits - others)}
    return {name: [round(value, 4) for value in row.values()] for name, row in rows.items()}


@dataclass(frozen=True)
class Comparison:
    """The difference of exact match from a baseline in points, with its interval, and how many times fewer passes it took."""

    difference: float
    low: float
    high: float
    speedup: float

    @classmethod
    def of(cls, setting: Setting, values: dict) -> "Comparison | None":
        """The setting against its baseline, from the file of results; `None` if one of them was not run."""
        if setting.key not in values["statistics"]:
            return None
        passes = [values["results"][one.key]["forward_passes"] for one in (setting.baseline, setting)]
        return cls(*values["statistics"][setting.key]["difference"], speedup=passes[0] / passes[1])

    @property
    def is_equal(self) -> bool:
        """Whether the interval contains 0."""
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        """The difference with its interval, bold if the interval contains 0."""
        text = f"{points(self.difference)} [{points(self.low)}, {points(self.high)}]"
        return f"**{text}**" if self.is_equal else text


def points(value: float) -> str:
    """A difference with its sign, unless it is rounded to 0."""
    return f"{value:+.1f}" if abs(value) >= 0.05 else "0.0"


def exact_match(result: dict) -> float:
    """Exact match in percent."""
    return 100.0 * result["hits"].count("1") / len(result["hits"])
