# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Hierarchical decoding (dInfer, https://arxiv.org/abs/2510.08666): the best mask of each gap, so that gaps are split.

    llada bench-rule examples/rules/hierarchy.py

A gap is a run of masks without a committed token between them. Masks far apart depend on each other less than neighbours do.
"""

import torch


SETTINGS = [{"high": 0.92, "low": low} for low in (0.4, 0.62, 0.8)]


def rule(
    confidence: torch.FloatTensor, mask: torch.BoolTensor, budget: torch.LongTensor, high: float, low: float
) -> torch.BoolTensor:
    """Commits every mask above `high`, and the most confident one of each gap if it is above `low`."""
    gap = (~mask).cumsum(-1)  # the number of the gap that a mask is in
    best = torch.full((len(mask), mask.shape[1] + 1), -torch.inf).scatter_reduce(1, gap, confidence, "amax")
    is_best = confidence == best.gather(1, gap)
    return mask & ((confidence > high) | (is_best & (confidence > low)))
