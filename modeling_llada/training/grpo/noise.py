# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The noise that answers are scored on, for each estimate of their likelihood.

An answer is a canvas, whose last token that counts is its first EOS. What is masked and what is weighed are functions of a
generator, and so of the seed of the row.
"""

from collections.abc import Callable

import torch

from ...models.likelihood_noise_llada import draw_noise


# Masks and weights, `(samples, length)` each.
Noise = tuple[torch.BoolTensor, torch.FloatTensor]


def bound_noise(
    prompt: torch.BoolTensor,
    canvas: torch.BoolTensor,
    answer: torch.BoolTensor,
    num_samples: int,
    generator: torch.Generator,
) -> Noise:
    """
    ESPO (https://huggingface.co/papers/2512.03759) with antithetic masks: the evidence bound of the canvas, by eq. 6. Weights are
    up to the length of the canvas, so it is for ratios of sequences and not of tokens.

    Args:
        prompt (`torch.BoolTensor` of shape `(length,)`):
            The tokens of the prompt, without padding.
        canvas (`torch.BoolTensor` of shape `(length,)`):
            What was masked when the answer was written.
        answer (`torch.BoolTensor` of shape `(length,)`):
            The part of the canvas up to the first EOS.
        num_samples (`int`):
            Noise samples, an even number.
        generator (`torch.Generator`):
            The source of the randomness.
    """
    masks, weights = draw_noise(canvas, num_samples, num_samples > 1, generator)
    return masks, masks * weights[:, None]


def one_step_noise(
    prompt: torch.BoolTensor,
    canvas: torch.BoolTensor,
    answer: torch.BoolTensor,
    num_samples: int,
    generator: torch.Generator,
) -> Noise:
    """
    diffu-GRPO of d1 (https://huggingface.co/papers/2504.12216): each token given nothing of the canvas, and the prompt but for
    15% of its tokens. Arguments as for [`bound_noise`].
    """
    drawn = torch.rand(num_samples, int(prompt.sum()), generator=generator) < 0.15
    hidden = prompt.new_zeros(num_samples, len(prompt)).masked_scatter(prompt, drawn)
    return canvas | hidden, answer.float().expand(num_samples, -1)


def coupled_noise(
    prompt: torch.BoolTensor,
    canvas: torch.BoolTensor,
    answer: torch.BoolTensor,
    num_samples: int,
    generator: torch.Generator,
) -> Noise:
    """
    coupled-GRPO of DiffuCoder (https://huggingface.co/papers/2506.20639): pairs of a mask, at a rate between 0.2 and 0.8, and its
    complement. Each token is scored once in a pair, without a weight: DiffuCoder weighs it by the inverse rate and adds the score
    given nothing, so that its ratios are not those of probabilities. Arguments as for [`bound_noise`].
    """
    num_pairs = num_samples // 2
    rates = 0.2 + 0.6 * torch.rand(num_pairs, 1, generator=generator)
    drawn = torch.rand(num_pairs, int(canvas.sum()), generator=generator) < rates
    chosen = canvas.new_zeros(num_pairs, len(canvas)).masked_scatter(canvas, drawn)
    masks = torch.stack([chosen, ~chosen & canvas], dim=1).flatten(0, 1)
    return masks, 2.0 * (masks & answer)  # twice, because the mean is taken over both of a pair


LIKELIHOODS: dict[str, Callable[..., Noise]] = {
    "elbo": bound_noise,
    "one_step": one_step_noise,
    "coupled": coupled_noise,
}
