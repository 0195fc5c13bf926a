# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Sampling: from the logits of the masks to a proposed token for each of them."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from transformers import LogitsProcessor, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from .generation_config_llada import LLaDAGenerationConfig


def call_processors(
    processors: list[Callable], tokens: torch.LongTensor, logits: torch.FloatTensor
) -> torch.FloatTensor:
    """The logits, `(num_masked, vocab_size)`, after all logits processors."""
    for processor in processors:
        scores = processor(tokens, logits)
        is_tensor = isinstance(scores, torch.Tensor)
        if not is_tensor or scores.shape != logits.shape or not scores.is_floating_point():
            got = f"{scores.dtype} of shape {tuple(scores.shape)}" if is_tensor else type(scores).__name__
            raise ValueError(
                f"`logits_processor` must return scores of shape {tuple(logits.shape)}, like those that it gets, but got "
                f"{got}."
            )
        logits = scores
    return logits


def suppress(logits: torch.FloatTensor, token_ids: torch.LongTensor | None) -> None:
    """Rules tokens out, in place: a logit of -inf."""
    if token_ids is not None:
        logits.index_fill_(1, token_ids, -torch.inf)  # an assignment would copy the number to the device


def defer_end_tokens(logits: torch.FloatTensor, deferred: torch.LongTensor | None) -> torch.FloatTensor:
    """
    The logits that confidences are taken from. With `confidence_eos_eot_inf` EOS and EoT can still be proposed, but their
    confidence is the lowest, and the other tokens are normalised without them.
    """
    if deferred is None:
        return logits
    scores = logits.clone()
    suppress(scores, deferred)
    return scores


def propose(
    logits: torch.FloatTensor,
    uniform: torch.Tensor | None,
    never_proposed: int | torch.LongTensor | None,
    temperature: float | torch.Tensor,
    warpers: Sequence[LogitsProcessor] = (),
) -> torch.LongTensor:
    """
    A token for each mask: `argmax_v (logits_v + temperature * g_v)` with Gumbel noise `g = -log(-log u)`, which samples
    from `softmax(logits / temperature)`, or from what the `warpers` leave of it. The token `never_proposed`
    is left out: an id, or one for each mask, `(num_masked, 1)`, where -1 is none. The numbers `u`, in (0, 1), are of the shape
    of the logits, `(num_masked, vocab_size)`; without them the choice is greedy.
    """
    if never_proposed is not None:
        column = torch.arange(logits.shape[-1], device=logits.device) == never_proposed
        logits = logits.masked_fill(column, -torch.inf)
    if uniform is not None:
        # Float64 where the device has it: in float32 the tail of the noise is cut off.
        logits = narrow(logits, temperature, warpers).to(uniform.dtype) - temperature * (-uniform.log()).log()
    return logits.argmax(-1)


def sampling_warpers(config: LLaDAGenerationConfig) -> list[LogitsProcessor]:
    """The processors of transformers for `top_k`, `top_p` and `min_p`, in the order of `GenerationMixin`."""
    warpers = {"top_k": TopKLogitsWarper, "top_p": TopPLogitsWarper, "min_p": MinPLogitsWarper}
    return [warpers[name](value) for name, value in config.sampling_limits.items()]


def narrow(
    logits: torch.FloatTensor, temperature: float | torch.Tensor, warpers: Sequence[LogitsProcessor]
) -> torch.FloatTensor:
    """Rules out the tokens that the warpers remove at this temperature."""
    if not warpers:
        return logits
    # The best token stays at 0, so that no temperature is so low that all of them overflow.
    scaled = ((logits - logits.amax(-1, keepdim=True)).to(widest_float(logits.device)) / temperature).float()
    for warper in warpers:
        scaled = warper(None, scaled)
    return logits.masked_fill(scaled == -torch.inf, -torch.inf)


def widest_float(device: torch.device) -> torch.dtype:
    """Float64, or float32 on the one device that lacks it."""
    return torch.float32 if device.type == "mps" else torch.float64


def shared_generator(model: nn.Module) -> torch.Generator | None:
    """
    The generator of a call that is given none. That is `None`, the global one, unless the model runs tensor-parallel: its
    processes compute each forward pass together, so all of them must draw the noise of the first one.
    """
    if (getattr(model, "_tp_size", None) or 1) == 1:
        return None
    mesh = model._device_mesh
    group = (mesh["tp"] if mesh.ndim > 1 else mesh).get_group()
    seed = torch.randint(2**62, (1,), device=model.device)
    torch.distributed.broadcast(seed, src=torch.distributed.get_global_rank(group, 0), group=group)
    return torch.Generator(model.device).manual_seed(seed.item())


def draw_uniform(mask: torch.BoolTensor, generators: list[torch.Generator | None], width: int) -> torch.Tensor:
    """
    Draws uniform numbers in (0, 1) for each mask, `(num_masked, width)`: from one generator for the batch, or from one for
    each row, so that a row does not depend on the masks of the others.
    """
    dtype = widest_float(mask.device)
    counts = [int(mask.sum())] if len(generators) == 1 else mask.sum(-1).tolist()
    draws = []
    for generator, count in zip(generators, counts, strict=True):
        device = mask.device if generator is None else generator.device
        draws.append(torch.rand(count, width, generator=generator, dtype=dtype, device=device).to(mask.device))
    return torch.cat(draws).clamp(min=torch.finfo(dtype).tiny, max=1 - torch.finfo(dtype).eps)


def scatter_to_block(
    values: torch.Tensor, places: torch.LongTensor, shape: torch.Size, fill_value: float
) -> torch.Tensor:
    """
    Puts values, `(num_predicted,)`, at their places in the active block, `(batch, block_length)`. A place is an index in
    the flattened block. Every other position gets `fill_value`.
    """
    block = values.new_full((math.prod(shape),), fill_value)
    return block.index_copy(0, places, values).view(shape)
