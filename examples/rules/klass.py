# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""KLASS (https://arxiv.org/abs/2511.05664): commit what is likely, and what the last steps no longer changed.

    llada bench-rule examples/rules/klass.py

The predictions of a mask are stable if their Kullback-Leibler divergence from those of the step before was small twice.
"""

import torch


SETTINGS = [{"threshold": 0.6, "bound": 0.015}, {"threshold": 0.6, "bound": 0.1}, {"threshold": 0.9, "bound": 0.01}]


class rule:
    """Commits the masks of at least this confidence whose predictions were stable in the last two steps."""

    def __init__(self, threshold: float, bound: float):
        self.threshold, self.bound = threshold, bound
        self.mask = self.log_probs = self.stable = None  # of the step before

    def watch(self, tokens: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Sees the scores of the masks of a step, before the rule is asked, and leaves them as they are."""
        self.scores = scores
        return scores

    def __call__(
        self, confidence: torch.FloatTensor, mask: torch.BoolTensor, budget: torch.LongTensor
    ) -> torch.BoolTensor:
        log_probs = torch.zeros(*mask.shape, self.scores.shape[-1]).masked_scatter(
            mask[..., None], self.scores.log_softmax(-1).clamp(min=-1e4)
        )
        if self.mask is None or mask.shape != self.mask.shape or (mask & ~self.mask).any():  # a new block
            self.stable = torch.zeros_like(mask, dtype=torch.long)
        else:
            divergence = (log_probs.exp() * (log_probs - self.log_probs)).sum(-1)
            self.stable = torch.where(divergence < self.bound, self.stable + 1, 0)
        self.mask, self.log_probs = mask.clone(), log_probs
        return mask & (confidence > self.threshold) & (self.stable >= 2)
