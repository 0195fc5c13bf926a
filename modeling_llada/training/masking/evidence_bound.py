# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The evidence bound of a response as a function of the weights of a model and of given noise, with gradients.

It is what takes the place of the log-likelihood of a response wherever models learn from scores of it. With K noise samples,
in each of which some tokens of the response y are masked, and with a weight w for each masked token,

    B(theta) = 1/K sum_k sum_i w_k^i 1[y_k^i = M] log p_theta(y^i | x, y_k)

With the noise of eq. 6 of https://huggingface.co/papers/2502.09992, where l of the L tokens are masked, l is uniform in 1 .. L and
w = L/l, this is an unbiased estimate of a lower bound on log p(y | x). Noise is drawn once and given to several models, whose
bounds then have errors that cancel in their difference.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from ...models.likelihood_noise_llada import draw_noise_of_blocks


class BoundTerms(NamedTuple):
    """
    The terms of the bounds of some rows.

    Args:
        terms (`torch.FloatTensor` of shape `(rows, samples, length)`):
            The weighted log-probabilities, 0 where nothing is weighed.
        correct (`torch.BoolTensor` of shape `(num_positions,)`):
            Whether the token at each position is the most likely one, `False` where there is none.
        entropies (`torch.FloatTensor` of shape `(rows,)`, *optional*):
            The mean entropy of the predictions in each row, in nats, if it was asked for.
    """

    terms: torch.FloatTensor
    correct: torch.BoolTensor
    entropies: torch.FloatTensor | None = None

    @property
    def samples(self) -> torch.FloatTensor:
        """What each noise sample says, `(rows, samples)`."""
        return self.terms.sum(-1)

    @property
    def tokens(self) -> torch.FloatTensor:
        """The term of each token, `(rows, length)`: its mean over the noise samples."""
        return self.terms.mean(1)

    @property
    def bounds(self) -> torch.FloatTensor:
        """The estimates, `(rows,)`."""
        return self.tokens.sum(-1)


def draw_weights(
    scored: torch.BoolTensor,
    num_samples: int,
    antithetic: bool,
    generators: Sequence[torch.Generator],
    block_length: int | None = None,
) -> torch.FloatTensor:
    """
    Draws the noise of eq. 6 for each row from a generator of its own, so that it depends neither on the other rows nor on the
    padding.

    Args:
        scored (`torch.BoolTensor` of shape `(rows, length)`):
            The tokens of the responses.
        num_samples (`int`):
            Noise samples for each row; an even number if they are `antithetic`.
        antithetic (`bool`):
            Whether the samples of a row are coupled, for a smaller error at the same cost; see
            [`~LLaDAForMaskedLM.log_likelihood`].
        generators (`Sequence[torch.Generator]`):
            The source of the randomness of each row.
        block_length (`int`, *optional*):
            For a model of blocks, their length, counted from the beginning of the row. Each block has an `l` of its own.

    Returns:
        `torch.FloatTensor` of shape `(rows, samples, length)`: the weight `L / l` of masked tokens, and 0 elsewhere.
    """
    blocks = torch.arange(scored.shape[1]) // (block_length or scored.shape[1])
    rows = zip(scored, generators, strict=True)
    return torch.stack([draw_noise_of_blocks(row, blocks, num_samples, antithetic, drawn) for row, drawn in rows])


def bound_terms(
    model: nn.Module,
    input_ids: torch.LongTensor,
    attention_mask: torch.Tensor,
    weights: torch.FloatTensor,
    positions: torch.LongTensor,
    mask_token_id: int,
    masks: torch.BoolTensor | None = None,
    chunk_size: int = 1024,
    block_length: int | None = None,
    with_entropies: bool = False,
) -> BoundTerms:
    """
    Computes the terms of the bound in one forward pass of all noise samples. Gradients flow to the weights of the model.

    Args:
        model (`nn.Module`):
            The mask predictor, or a wrapper of it. It returns the losses of masked tokens.
        input_ids (`torch.LongTensor` of shape `(rows, length)`):
            The rows without noise.
        attention_mask (`torch.Tensor` of shape `(rows, length)`):
            0 for padding.
        weights (`torch.FloatTensor` of shape `(rows, samples, length)`):
            The weights of masked tokens, and 0 elsewhere.
        positions (`torch.LongTensor` of shape `(num_positions,)`):
            Where weights are not 0, in all of them flattened, filled up with -1.
        mask_token_id (`int`):
            The mask token.
        masks (`torch.BoolTensor` of shape `(rows, samples, length)`, *optional*):
            The masked tokens. By default those with weights; others are hidden from the model without being scored.
        chunk_size (`int`, *optional*, defaults to 1024):
            Tokens whose logits are in memory at a time.
        block_length (`int`, *optional*):
            For a model of blocks, their length.
        with_entropies (`bool`, *optional*, defaults to `False`):
            Whether the result has `entropies`.

    Returns:
        [`BoundTerms`], in float32.

    Example:

    ```python
    >>> import torch
    >>> from modeling_llada.training.masking.evidence_bound import bound_terms, draw_weights

    >>> scored = torch.arange(12).expand(2, 12) >= 5  # prompts of five tokens
    >>> weights = draw_weights(scored, 4, True, [torch.Generator().manual_seed(row) for row in range(2)])
    >>> positions = weights.flatten().nonzero().flatten()
    >>> ids = torch.randint(10, 6000, (2, 12))
    >>> scores = bound_terms(model, ids, torch.ones_like(ids), weights, positions, model.config.mask_token_id)
    >>> scores.bounds.shape
    torch.Size([2])
    ```
    """
    masks = weights > 0 if masks is None else masks
    num_samples = weights.shape[1]
    clean = input_ids.repeat_interleave(num_samples, 0)
    outputs = model(
        input_ids=clean.masked_fill(masks.flatten(0, 1), mask_token_id),
        attention_mask=attention_mask.repeat_interleave(num_samples, 0),
        labels=clean,
        masked_positions=positions,
        loss_chunk_size=chunk_size,
        **({} if block_length is None else {"clean_ids": clean, "block_length": block_length}),
        **({"loss_entropies": True} if with_entropies else {}),
    )
    index = positions.clamp(min=0)  # a place without a position adds a loss of 0
    weighted = -outputs.losses * weights.flatten()[index]
    terms = weighted.new_zeros(weights.numel()).index_add(0, index, weighted)
    entropies = None
    if with_entropies:
        row, real = index // weights[0].numel(), (positions >= 0).float()
        sums, counts = (
            weighted.new_zeros(len(weights)).index_add(0, row, it) for it in (outputs.entropies * real, real)
        )
        entropies = sums / counts.clamp(min=1)
    return BoundTerms(terms.view(weights.shape), outputs.correct, entropies)
