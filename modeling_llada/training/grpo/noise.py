# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The noise that answers are scored on, for each estimate of their likelihood.

An answer is a canvas, whose last token that counts is its first EOS. What is masked and what is weighed are functions of a
generator, and so of the seed of the row.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from ...models.likelihood_noise_llada import draw_noise


# Masks and weights, `(samples, length)` each.
Noise = tuple[torch.BoolTensor, torch.FloatTensor]


class WrittenRow(NamedTuple):
    """What is known of a row, `(length,)` each."""

    prompt: torch.BoolTensor  # its tokens, without padding and masks
    canvas: torch.BoolTensor  # what was masked when the answer was written
    answer: torch.BoolTensor  # the part of the canvas that counts
    steps: torch.LongTensor | None = None  # of the canvas, that committed each token; -1 for none


def bound_noise(row: WrittenRow, num_samples: int, generator: torch.Generator) -> Noise:
    """
    ESPO (https://huggingface.co/papers/2512.03759) with antithetic masks: the evidence bound of the canvas, by eq. 6. Weights are
    up to the length of the canvas, so it is for ratios of sequences and not of tokens.

    Args:
        row ([`WrittenRow`]):
            The row.
        num_samples (`int`):
            Noise samples, an even number.
        generator (`torch.Generator`):
            The source of the randomness.
    """
    masks, weights = draw_noise(row.canvas, num_samples, True, generator)
    return masks, masks * weights[:, None]


def one_step_noise(row: WrittenRow, num_samples: int, generator: torch.Generator) -> Noise:
    """
    diffu-GRPO of d1 (https://huggingface.co/papers/2504.12216): each token given nothing of the canvas, and the prompt but for
    15% of its tokens. Arguments as for [`bound_noise`].
    """
    drawn = torch.rand(num_samples, int(row.prompt.sum()), generator=generator) < 0.15
    hidden = row.prompt.new_zeros(num_samples, len(row.prompt)).masked_scatter(row.prompt, drawn)
    return row.canvas | hidden, row.answer.float().expand(num_samples, -1)


def coupled_noise(row: WrittenRow, num_samples: int, generator: torch.Generator) -> Noise:
    """
    coupled-GRPO of DiffuCoder (https://huggingface.co/papers/2506.20639): pairs of a mask, at a rate between 0.2 and 0.8, and its
    complement. Each token is scored once in a pair, without a weight: DiffuCoder weighs it by the inverse rate and adds the score
    given nothing, so that its ratios are not those of probabilities. Arguments as for [`bound_noise`].
    """
    num_pairs = num_samples // 2
    rates = 0.2 + 0.6 * torch.rand(num_pairs, 1, generator=generator)
    drawn = torch.rand(num_pairs, int(row.canvas.sum()), generator=generator) < rates
    chosen = row.canvas.new_zeros(num_pairs, len(row.canvas)).masked_scatter(row.canvas, drawn)
    masks = torch.stack([chosen, ~chosen & row.canvas], dim=1).flatten(0, 1)
    return masks, 2.0 * (masks & row.answer)  # twice, because the mean is taken over both of a pair


def trace_noise(row: WrittenRow, num_samples: int, generator: torch.Generator) -> Noise:
    """
    TraceRL (https://huggingface.co/papers/2509.06949): the order in which the answer was written is replayed, in as many groups of
    consecutive steps as there are samples. The tokens of a group are scored given what was committed before it. Nothing is drawn.
    Arguments as for [`bound_noise`].
    """
    num_steps = row.steps[row.canvas].max().item() + 1
    bounds = torch.linspace(0, num_steps, num_samples + 1).round().long()[:, None]
    is_later = row.steps >= bounds[:-1]
    masks = row.canvas & (is_later | (row.steps < 0))
    scored = row.answer & is_later & (row.steps < bounds[1:])
    return masks, num_samples * scored.float()  # because the mean is taken over the groups


LIKELIHOODS: dict[str, Callable[..., Noise]] = {
    "elbo": bound_noise,
    "one_step": one_step_noise,
    "coupled": coupled_noise,
    "trace": trace_noise,
}
