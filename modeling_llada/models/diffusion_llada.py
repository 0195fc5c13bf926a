# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The forward process q(x_t | x_0) of masked diffusion and the losses of the tokens that it masks
(https://huggingface.co/papers/2502.09992, section 2).

For a rate t in (0, 1] every token of a clean sequence x_0 is replaced by the mask token M with probability t,
independently of the others (eq. 7 and 8 of the paper):

    q(x_t | x_0) = prod_i q(x_t^i | x_0^i),   q(x_t^i = M | x_0^i) = t,   q(x_t^i = x_0^i | x_0^i) = 1 - t

The mask predictor is trained with the cross-entropy of the masked tokens, weighted by 1 / t (eq. 3):

    L(theta) = -E_{t, x_0, x_t} [ 1/t  sum_i 1[x_t^i = M] log p_theta(x_0^i | x_t) ]

The functions are pure, run on the device of their inputs and never wait for it. They take their randomness from a
`torch.Generator`, so a seed fixes the noise, even if something else also draws random numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers.utils import ModelOutput

from .arguments_llada import check_shape
from .options_llada import check_integer, check_number


@dataclass
class LLaDAMaskedLossOutput(ModelOutput):
    """
    Output of [`LLaDAForMaskedLM`] when it is called with `masked_positions`.

    Args:
        losses (`torch.FloatTensor` of shape `(num_positions,)`):
            The cross-entropy of each masked token, in float32; 0 where `masked_positions` is -1.
        correct (`torch.BoolTensor` of shape `(num_positions,)`):
            Whether the token is the most likely one; `False` where `masked_positions` is -1.
        entropies (`torch.FloatTensor` of shape `(num_positions,)`, *optional*):
            With `loss_entropies=True`: the entropy of the distribution that is predicted for the token, in nats.
        router_logits (`tuple[torch.FloatTensor]`, *optional*):
            With `output_router_logits=True`, of families with experts: the logits of the router of each layer with experts,
            each of shape `(batch * length, num_experts)`.
    """

    losses: torch.FloatTensor | None = None
    correct: torch.BoolTensor | None = None
    entropies: torch.FloatTensor | None = None
    router_logits: tuple[torch.FloatTensor, ...] | None = None


def sample_rates(
    batch_size: int,
    eps: float = 1e-3,
    *,
    highest: float = 1.0,
    permute: bool = True,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """
    Draws one mask rate per sequence. Each is uniform in (eps, highest], and together they are spread evenly over it.

    All rates share one uniform offset u (https://huggingface.co/papers/2107.00630, appendix I.1), which removes most of
    the variance of the loss of a batch:

        t_i = eps + (highest - eps) (pi(i) + u) / B,   u uniform in (0, 1],   pi a random permutation of 0 .. B-1

    Args:
        batch_size (`int`):
            Number of sequences B.
        eps (`float`, *optional*, defaults to 1e-3):
            The lower bound of the rates, which bounds the weight 1/t.
        highest (`float`, *optional*, defaults to 1.0):
            The upper bound.
        permute (`bool`, *optional*, defaults to `True`):
            Whether the rates are in a random order. With `False` they increase from row to row.
        generator (`torch.Generator`, *optional*):
            Source of the randomness, on the same device as the result.
        device (`torch.device`, *optional*):
            Device of the result.

    Returns:
        `torch.FloatTensor` of shape `(batch_size,)`.
    """
    check_integer("batch_size", batch_size, minimum=1)
    check_number("eps", eps, minimum=0.0)
    if eps >= 1.0:
        raise ValueError(f"`eps` must be in [0, 1), but got {eps}.")
    if not eps < highest <= 1.0:
        raise ValueError(f"`highest` must be in (`eps`, 1], ({eps}, 1], but got {highest}.")
    offset = 1.0 - torch.rand(1, generator=generator, device=device)  # (0, 1]: rand never returns 1
    strata = torch.arange(batch_size, device=device)
    if permute:
        # Sorted random keys, because `torch.randperm` can wait for the device.
        strata = torch.rand(batch_size, generator=generator, device=device).argsort()
    return eps + (highest - eps) * ((strata + offset) / batch_size)


def mask_tokens(
    input_ids: torch.LongTensor,
    rates: torch.Tensor,
    mask_token_id: int,
    maskable: torch.Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[torch.LongTensor, torch.BoolTensor]:
    """
    Draws x_t from q(x_t | x_0): each token becomes the mask token with the probability of its sequence.

    Args:
        input_ids (`torch.LongTensor` of shape `(batch_size, length)`):
            The clean sequences x_0.
        rates (`torch.FloatTensor` of shape `(batch_size,)`):
            The rate t of each sequence.
        mask_token_id (`int`):
            Id of the mask token M.
        maskable (`torch.BoolTensor` of shape `(batch_size, length)`, *optional*):
            Positions that can be masked, for example all but the prompt and the padding. By default all.
        generator (`torch.Generator`, *optional*):
            Source of the randomness, on the device of `input_ids`.

    Returns:
        `tuple(torch.LongTensor, torch.BoolTensor)`: the noisy sequences x_t and the mask 1[x_t^i = M], both of the shape
        of `input_ids`.

    Example:

    ```python
    >>> import torch
    >>> from modeling_llada.models.diffusion_llada import mask_tokens, sample_rates

    >>> generator = torch.Generator().manual_seed(0)
    >>> rates = sample_rates(2, generator=generator)
    >>> noisy, mask = mask_tokens(torch.arange(10).view(2, 5), rates, mask_token_id=99, generator=generator)
    >>> bool((noisy[mask] == 99).all())
    True
    ```
    """
    check_shape("rates", rates, input_ids.shape[:1], "one rate for each row of `input_ids`")
    check_integer("mask_token_id", mask_token_id, minimum=0)
    if maskable is not None:
        check_shape("maskable", maskable, input_ids.shape)
    uniform = torch.rand(input_ids.shape, generator=generator, device=input_ids.device)
    mask = uniform < rates[:, None]
    if maskable is not None:
        mask = mask & maskable.bool()
    return input_ids.masked_fill(mask, mask_token_id), mask


def sample_counts(lengths: torch.LongTensor, generator: torch.Generator | None = None) -> torch.LongTensor:
    """
    Draws the number of masked tokens of each sequence, for the forward process that masks exactly `l` of `L` tokens
    (eq. 6 and 14). Each `l` is uniform in `1 .. L`, and together they are spread evenly over the sequences. `lengths` are
    the numbers `L` of tokens that can be masked; they and the result are `(batch_size,)`.
    """
    batch_size, device = len(lengths), lengths.device
    strata = torch.randperm(batch_size, generator=generator, device=device)
    offset = torch.rand(1, generator=generator, device=device)
    return ((strata + offset) / batch_size * lengths).long().minimum(lengths - 1) + 1


def random_ranks(maskable: torch.BoolTensor, generator: torch.Generator | None = None) -> torch.LongTensor:
    """
    Puts the tokens of each sequence that can be masked in a random order. The first `l` of them are a draw of `l` tokens
    without replacement: `mask = maskable & (ranks < l)`. Both are `(batch_size, length)`.
    """
    keys = torch.rand(maskable.shape, generator=generator, device=maskable.device)
    return keys.masked_fill(~maskable, torch.inf).argsort(-1).argsort(-1)


def masked_losses(
    hidden_states: torch.Tensor,
    labels: torch.LongTensor,
    masked_positions: torch.LongTensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    chunk_size: int | None = 1024,
    with_entropies: bool = False,
) -> LLaDAMaskedLossOutput:
    """
    The cross-entropy of masked tokens. Logits exist for one chunk of positions at a time, and the backward pass computes
    them again.

    Args:
        hidden_states (`torch.Tensor` of shape `(batch, length, hidden_size)`):
            The last hidden states.
        labels (`torch.LongTensor` of shape `(batch, length)`):
            The clean tokens.
        masked_positions (`torch.LongTensor` of shape `(num_positions,)`):
            Positions in the flattened batch; -1 for none, so that their number can be padded to a multiple.
        head (`Callable`):
            The output head.
        chunk_size (`int`, *optional*, defaults to 1024):
            Positions whose logits are in memory at a time. `None`: all of them, also until the backward pass.
        with_entropies (`bool`, *optional*, defaults to `False`):
            Whether the output has `entropies`.

    Returns:
        [`LLaDAMaskedLossOutput`].
    """
    hidden_states = hidden_states.flatten(0, 1)
    masked_positions = masked_positions.to(hidden_states.device)
    index = masked_positions.clamp(min=0)
    labels = labels.to(hidden_states.device).flatten()[index].masked_fill(masked_positions < 0, -100)
    hidden_states = hidden_states.index_select(0, index)
    if chunk_size is None:
        return LLaDAMaskedLossOutput(*score_tokens(head, hidden_states, labels, with_entropies))
    scores = []
    for chunk in zip(hidden_states.split(chunk_size), labels.split(chunk_size), strict=True):
        arguments = head, *chunk, with_entropies
        if torch.is_grad_enabled():
            scores.append(checkpoint(score_tokens, *arguments, use_reentrant=False, preserve_rng_state=False))
        else:
            scores.append(score_tokens(*arguments))
    return LLaDAMaskedLossOutput(*map(torch.cat, zip(*scores, strict=True)))


def check_masked_losses(
    input_shape: torch.Size, labels: torch.LongTensor, masked_positions: torch.LongTensor, chunk_size: int | None
) -> None:
    """Checks the arguments of [`masked_losses`], but for the values of tensors: the host would wait for the device."""
    check_shape("labels", labels, input_shape, "that of the input, because `masked_positions` are given")
    positions = masked_positions if isinstance(masked_positions, torch.Tensor) else torch.empty(())
    if positions.ndim != 1 or positions.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            "`masked_positions` must be a tensor of integers of shape (num_positions,), positions in the flattened batch, "
            f"but got {masked_positions!r}. For a mask: `mask.flatten().nonzero().flatten()`."
        )
    if chunk_size is not None:
        check_integer("loss_chunk_size", chunk_size, minimum=1)


def score_tokens(
    head: Callable, hidden_states: torch.Tensor, labels: torch.LongTensor, with_entropy: bool = False
) -> tuple[torch.Tensor, ...]:
    """The cross-entropy of each label in float32, whether it is the most likely token, and perhaps the entropy."""
    logits = head(hidden_states)
    labels = labels.to(logits.device)
    scores = F.cross_entropy(logits.float(), labels, reduction="none"), logits.argmax(-1) == labels
    if not with_entropy:
        return scores
    log_probs = logits.float().log_softmax(-1)
    return *scores, -(log_probs.exp() * log_probs).sum(-1)


def diffusion_loss(
    losses: torch.FloatTensor,
    rates: torch.FloatTensor,
    num_items: torch.Tensor | int,
    lengths: torch.LongTensor | None = None,
    num_processes: int = 1,
) -> torch.FloatTensor:
    """
    The share of a batch in the loss of eq. 3: the cross-entropies of its masked tokens, each weighted by 1/t, divided by
    the items of the global batch.

    The expectation of 1[x_t^i = M] / t over the noise is 1 for every token. So with the tokens that could be masked as
    items, the loss estimates a bound on the negative log-likelihood in nats per token.

    Args:
        losses (`torch.FloatTensor` of shape `(num_positions,)`):
            The cross-entropies, 0 where nothing is masked; see [`masked_losses`].
        rates (`torch.FloatTensor` of shape `(num_positions,)`):
            The rate t of the sequence of each position.
        num_items (`torch.Tensor` or `int`):
            The divisor of the sum: the number of tokens that could be masked in all batches of an optimizer step.
        lengths (`torch.LongTensor` of shape `(num_positions,)`, *optional*):
            The number of tokens that could be masked in the sequence of each position. With it, sequences of any length
            count the same, and `num_items` is the number of sequences.
        num_processes (`int`, *optional*, defaults to 1):
            The number of processes whose gradients are averaged. The loss is a sum over them, so it is multiplied.

    Returns:
        `torch.FloatTensor`: a scalar.
    """
    for name, tensor in (("rates", rates), ("lengths", lengths)):
        if tensor is not None:
            check_shape(name, tensor, losses.shape, "that of `losses`")
    if not isinstance(num_items, torch.Tensor):
        check_integer("num_items", num_items, minimum=1)
    check_integer("num_processes", num_processes, minimum=1)
    weights = 1.0 / rates
    if lengths is not None:
        weights = weights / lengths
    return (losses * weights).sum() / num_items * num_processes
