# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Prophet (https://arxiv.org/abs/2508.19982): one token a step until the model knows the answer, and then all of the rest.

    llada bench-rule examples/rules/prophet.py

It knows the answer when the logit of the best token is far above that of the second one, on average over the masks. Less is asked
the more of the block is committed.
"""

import torch


SETTINGS = [{"scale": scale} for scale in (0.5, 1.0, 1.5)]
GAPS = (7.5, 5.0, 2.5)  # in the first third of a block, the second and the last


class rule:
    """Commits the whole block when the mean gap of its masks reaches `scale` times the published one."""

    def __init__(self, scale: float):
        self.scale = scale
        self.num_masks = None  # of each row, at the beginning of the block

    def watch(self, tokens: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Sees the scores of the masks of a step, before the rule is asked, and leaves them as they are."""
        best, second = scores.topk(2, dim=-1).values.unbind(-1)
        self.gaps = best - second
        return scores

    def __call__(
        self, confidence: torch.FloatTensor, mask: torch.BoolTensor, budget: torch.LongTensor
    ) -> torch.BoolTensor:
        left = mask.sum(-1)
        if self.num_masks is None or (left > self.left).any():  # a new block
            self.num_masks = left
        self.left = left
        third = (3 * (self.num_masks - left) // self.num_masks.clamp(min=1)).clamp(max=2)
        gap = torch.zeros(mask.shape).masked_scatter(mask, self.gaps).sum(-1) / left.clamp(min=1)
        return mask & (gap >= self.scale * torch.tensor(GAPS)[third])[:, None]
