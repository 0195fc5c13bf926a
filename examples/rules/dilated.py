# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Dilated unmasking (DUS, https://arxiv.org/abs/2506.19037): tokens far apart first, and then those between them.

    llada bench-rule examples/rules/dilated.py

Tokens depend most on their neighbours, so those of one step should not be neighbours. The distance between them is divided by
`base` from step to step: a block of n tokens takes about log(n) steps, and what the model predicts plays no part.
"""

import torch


SETTINGS = [{"base": base} for base in (2, 3, 4)]


def rule(
    confidence: torch.FloatTensor, mask: torch.BoolTensor, budget: torch.LongTensor, base: int
) -> torch.BoolTensor:
    """Commits the masks at multiples of the largest power of `base` at which some are left."""
    positions, distance = torch.arange(mask.shape[1]), 1
    commit = mask
    while distance < mask.shape[1]:
        coarser = mask & (positions % distance == 0)
        commit = torch.where(coarser.any(-1, keepdim=True), coarser, commit)
        distance *= base
    return commit
