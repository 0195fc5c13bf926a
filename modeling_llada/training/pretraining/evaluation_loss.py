# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Held-out loss of a mask predictor on fixed noise."""

from collections.abc import Callable, Iterable

import torch
from torch.nn import functional as F

from ...models.diffusion_llada import random_ranks, sample_counts


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
def token_losses(
    logits_of: Callable, input_ids: torch.LongTensor, labels: torch.LongTensor, batch_size: int
) -> torch.FloatTensor:
    """
    The cross-entropy of each token in nats, a batch of logits at a time.

    Args:
        logits_of (`Callable[[torch.LongTensor], torch.Tensor]`):
            The model: rows to logits of shape `(rows, width, vocab_size)`.
        input_ids (`torch.LongTensor` of shape `(num_rows, width)`):
            What the model reads, on its device.
        labels (`torch.LongTensor` of shape `(num_rows, width)`):
            The tokens to predict.
        batch_size (`int`):
            Rows of a forward pass.

    Returns:
        `torch.FloatTensor` of shape `(num_rows, width)`.
    """
    losses = []
    for rows, answers in zip(input_ids.split(batch_size), labels.split(batch_size), strict=True):
        logits = logits_of(rows).float().flatten(0, 1)
        losses.append(F.cross_entropy(logits, answers.flatten(), reduction="none").view_as(answers))
    return torch.cat(losses)


def row_bounds(
    logits_of: Callable,
    input_ids: torch.LongTensor,
    mask_token_id: int,
    noise: Iterable[tuple[torch.BoolTensor, torch.Tensor]],
    batch_size: int,
) -> torch.DoubleTensor:
    """
    Estimates the bound on the negative log-likelihood of each row in nats (eq. 6 of the paper).

    Args:
        logits_of (`Callable[[torch.LongTensor], torch.Tensor]`):
            The mask predictor: noisy rows to logits of shape `(rows, width, vocab_size)`.
        input_ids (`torch.LongTensor` of shape `(num_rows, width)`):
            The rows, on the device of the mask predictor.
        mask_token_id (`int`):
            Id of the mask token.
        noise (`Iterable[tuple(torch.BoolTensor, torch.Tensor)]`):
            For each sample what is masked, `(num_rows, width)`, and the weights L / l, `(num_rows,)`: see [`fixed_noise`].
        batch_size (`int`):
            Rows of a forward pass.

    Returns:
        `torch.DoubleTensor` of shape `(num_rows,)`, on the CPU.
    """
    bounds = []
    for mask, weights in noise:
        mask = mask.to(input_ids.device)
        losses = token_losses(logits_of, input_ids.masked_fill(mask, mask_token_id), input_ids, batch_size)
        bounds.append((losses * mask).sum(1).cpu().double() * weights.cpu())
    return torch.stack(bounds).mean(0)


def held_out_loss(
    logits_of: Callable,
    input_ids: torch.LongTensor,
    mask_token_id: int,
    num_samples: int,
    batch_size: int,
    seed: int = 0,
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
    noise = (fixed_noise(num_rows, width, sample, seed) for sample in range(num_samples))
    return row_bounds(logits_of, input_ids, mask_token_id, noise, batch_size).mean().item() / width
