# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The held-out loss of a mask predictor: eq. 6 of the paper on noise that is the same at every evaluation."""

from collections.abc import Callable, Iterable

import torch
from transformers import PreTrainedModel

from ...models.diffusion_llada import random_ranks, sample_counts
from ...seeds import indexed_generator


def fixed_noise(num_rows: int, width: int, sample: int, seed: int) -> tuple[torch.BoolTensor, torch.Tensor]:
    """
    The mask of every row for one noise sample, and the weight L / l of its masked tokens.

    In each row exactly l tokens are masked, chosen without replacement; l is uniform in 1 .. L and evenly spread over the
    rows. The noise is drawn on the CPU, so that it is the same on every device. The results are `(num_rows, width)` and
    `(num_rows,)`.
    """
    generator = indexed_generator(seed, sample)
    num_masked = sample_counts(torch.full((num_rows,), width), generator)
    ranks = random_ranks(torch.ones(num_rows, width, dtype=torch.bool), generator)
    return ranks < num_masked[:, None], width / num_masked


@torch.no_grad()
def row_bounds(
    model: PreTrainedModel,
    input_ids: torch.LongTensor,
    noise: Iterable[tuple[torch.BoolTensor, torch.Tensor]],
    batch_size: int,
    attention_of: Callable[[torch.LongTensor], torch.Tensor] | None = None,
    block_length: int | None = None,
) -> torch.DoubleTensor:
    """
    Estimates the bound on the negative log-likelihood of each row, in nats, from the [`fixed_noise`] of each sample.
    `attention_of` makes the attention mask of rows, if they have one. Models of blocks have blocks of `block_length`, by default
    that of their `generation_config`. Their bound is also the mean over these masks of whole rows.
    """
    attention_of = attention_of or (lambda rows: None)
    bounds = []
    for mask, weights in noise:
        batches = zip(input_ids.split(batch_size), mask.to(input_ids.device).split(batch_size), strict=True)
        options = {} if block_length is None else {"block_length": block_length}
        log_probs = torch.cat(
            [model.masked_log_probs(rows, masked, attention_of(rows), **options) for rows, masked in batches]
        )
        bounds.append(-log_probs.cpu().double() * weights.cpu())
    return torch.stack(bounds).mean(0)


def held_out_bounds(
    model: PreTrainedModel,
    input_ids: torch.LongTensor,
    num_samples: int,
    batch_size: int,
    seed: int = 0,
    own: torch.LongTensor | None = None,
    attention_of: Callable[[torch.LongTensor], torch.Tensor] | None = None,
    block_length: int | None = None,
) -> torch.DoubleTensor:
    """
    Estimates the bound on the negative log-likelihood of each row, in nats per token, on noise that only the seed changes.

    With `own`, the numbers of some rows, only theirs are computed: on the same noise as with all others.
    """
    num_rows, width = input_ids.shape
    own = torch.arange(num_rows) if own is None else own
    drawn = (fixed_noise(num_rows, width, sample, seed) for sample in range(num_samples))
    noise = ((mask[own], weights[own]) for mask, weights in drawn)
    rows = input_ids[own.to(input_ids.device)]
    return row_bounds(model, rows, noise, batch_size, attention_of, block_length) / width


def held_out_loss(
    model: PreTrainedModel, input_ids: torch.LongTensor, num_samples: int, batch_size: int, seed: int = 0
) -> float:
    """The mean of [`held_out_bounds`] over the rows."""
    return held_out_bounds(model, input_ids, num_samples, batch_size, seed).mean().item()
