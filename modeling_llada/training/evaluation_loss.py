# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Held-out loss of a mask predictor on fixed noise."""

import torch
from torch.nn import functional as F

from ..diffusion_llada import random_ranks, sample_counts


def fixed_noise(num_rows: int, width: int, sample: int, seed: int) -> tuple[torch.BoolTensor, torch.Tensor]:
    """
    The mask of every row for one noise sample, and the weight L / l of its masked tokens (eq. 6 of the paper).

    Each row gets exactly l masked tokens, chosen without replacement; l is uniform in 1 .. L and spread evenly over the
    rows. Drawn on the CPU, so that a seed means the same noise on every device.

    Args:
        num_rows (`int`), width (`int`):
            Shape of the rows.
        sample (`int`):
            Index of the noise sample.
        seed (`int`):
            Fixes all samples.

    Returns:
        `tuple(torch.BoolTensor, torch.FloatTensor)` of the shapes `(num_rows, width)` and `(num_rows,)`.
    """
    generator = torch.Generator().manual_seed(1_000_003 * seed + sample)
    num_masked = sample_counts(torch.full((num_rows,), width), generator)
    ranks = random_ranks(torch.ones(num_rows, width, dtype=torch.bool), generator)
    return ranks < num_masked[:, None], width / num_masked


@torch.no_grad()
def held_out_loss(
    logits_of, input_ids: torch.LongTensor, mask_token_id: int, num_samples: int, batch_size: int, seed: int = 0
) -> float:
    """
    Estimates the bound on the negative log-likelihood of rows, in nats per token.

    The noise is a function of `seed` alone: the same at every evaluation, whatever the batch size.

    Args:
        logits_of (`Callable[[torch.LongTensor], torch.Tensor]`):
            The mask predictor: noisy rows to logits of shape `(rows, width, vocab_size)`.
        input_ids (`torch.LongTensor` of shape `(num_rows, width)`):
            The rows, on the device of the mask predictor.
        mask_token_id (`int`):
            Id of the mask token.
        num_samples (`int`):
            Noise samples for each row.
        batch_size (`int`):
            Rows of a forward pass.
        seed (`int`, *optional*, defaults to 0):
            Fixes the noise.

    Returns:
        `float`: the mean over all tokens.
    """
    num_rows, width = input_ids.shape
    total = torch.zeros((), dtype=torch.double, device="cpu" if input_ids.device.type == "mps" else input_ids.device)
    for sample in range(num_samples):
        masks, weights = (noise.to(input_ids.device) for noise in fixed_noise(num_rows, width, sample, seed))
        for start in range(0, num_rows, batch_size):
            rows, mask = input_ids[start : start + batch_size], masks[start : start + batch_size]
            logits = logits_of(rows.masked_fill(mask, mask_token_id)).float()
            losses = F.cross_entropy(logits.flatten(0, 1), rows.flatten(), reduction="none").view_as(rows)
            total += (losses * mask * weights[start : start + batch_size, None]).sum().to(total.device)
    return (total / (num_samples * input_ids.numel())).item()
