# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The noise of an estimate of the likelihood: which tokens of a text each sample masks, independent or coupled."""

import torch

from .diffusion_llada import random_ranks, sample_counts


GROUP_SIZE = 8  # Antithetic samples that share the tokens evenly. Larger groups gained nothing.


def draw_noise_of_blocks(
    scored: torch.BoolTensor,
    blocks: torch.LongTensor,
    num_samples: int,
    antithetic: bool,
    generator: torch.Generator | None,
) -> torch.FloatTensor:
    """
    The weight `L / l` of each masked token in all samples of one row, and 0 elsewhere: `(num_samples, length)`. Each of its
    `blocks`, `(length,)`, has an `l` and an `L` of its own.
    """
    weights = torch.zeros(num_samples, len(scored), device=scored.device)
    for block in blocks[scored].unique():
        mask, weight = draw_noise(scored & (blocks == block), num_samples, antithetic, generator)
        weights += mask * weight[:, None]
    return weights


def draw_noise(
    scored: torch.BoolTensor, num_samples: int, antithetic: bool, generator: torch.Generator | None
) -> tuple[torch.BoolTensor, torch.FloatTensor]:
    """
    The masks of all samples of one row, `(num_samples, length)`, and their weights `L / l`.

    The noise is drawn only for the scored tokens, so it does not depend on the padding.
    """
    length = int(scored.sum())
    # The noise of a CPU generator is the same on every device.
    device = scored.device if generator is None else generator.device
    if antithetic:
        mask = antithetic_masks(length, num_samples, generator, device)
    else:
        counts = sample_counts(torch.full((num_samples,), length, device=device), generator=generator)
        maskable = torch.ones(num_samples, length, dtype=torch.bool, device=device)
        mask = random_ranks(maskable, generator=generator) < counts[:, None]
    mask = mask.to(scored.device)
    return scored.new_zeros(num_samples, len(scored)).masked_scatter(scored, mask), length / mask.sum(-1)


def antithetic_masks(
    length: int, num_samples: int, generator: torch.Generator | None, device: torch.device
) -> torch.BoolTensor:
    """
    Coupled masks, `(num_samples, length)`. Each is uniform among the masks with its `l`; pairs of `l` and `L + 1 - l` are
    neighbours.

    The smaller `l` are spread evenly over the lower half of `1 .. L`. Each has a mirror image in the upper half, which
    cancels errors that are linear in `l`. In a group of similar `l`, the tokens that were masked least often so far are
    masked first, with ties in random order. No token is preferred, so every mask keeps its distribution and the estimate
    its expectation, but easy and hard tokens take turns. With two samples the masks are complementary.
    """
    strata = torch.arange(num_samples // 2, device=device)
    smaller = ((strata + torch.rand(1, generator=generator, device=device)) / num_samples * length).long() + 1
    counts = torch.cat([smaller, (length + 1 - smaller).flip(0)])  # increasing
    masks = []
    for group in counts.tensor_split(-(-num_samples // GROUP_SIZE)):
        times_masked = torch.zeros(length, device=device)
        for count in group:
            ties = torch.rand(length, generator=generator, device=device)
            masks.append((times_masked + ties).argsort().argsort() < count)
            times_masked += masks[-1]
    masks = torch.stack(masks)
    return torch.stack([masks, masks.flip(0)], dim=1)[: num_samples // 2].flatten(0, 1)


__all__ = ["draw_noise", "draw_noise_of_blocks"]
