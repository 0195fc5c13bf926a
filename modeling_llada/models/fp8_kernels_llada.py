# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Projections in eight bits in recorded steps: one product for those with the same input, and no operation for the scales alone.

Norms and gates quantize what they compute, and the rotation, the gate and the residual multiply the scales to what they read.
`kernels` are the [`Kernels`] of the step, which compile each of these operations into few kernels.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from .fp8_llada import Float8Linear, Quantized, product, quantize, unscaled
from .rotary_llada import apply_rotary_pos_emb


class Product:
    """
    A product without its scales. They are multiplied to it where it is added to the residual, in one operation with the norm that
    reads the sum next.
    """

    def __init__(self, kernels, outputs: torch.Tensor, inputs: Quantized, linear: Float8Linear) -> None:
        self.kernels, self.norms = kernels, linear.next_norm
        self.parts = outputs, inputs.scale, linear.scale

    def __radd__(self, other: torch.Tensor) -> torch.Tensor:
        if not self.norms:
            return self.kernels.prepare(add_unscaled)(other, *self.parts)
        [norm] = self.norms
        add = self.kernels.prepare(add_norm_and_quantize)
        summed, *values = add(other, *self.parts, norm.weight, norm.variance_epsilon)
        summed.normed_by, summed.normed = norm, Quantized(*values, summed.dtype)
        return summed


def float8_norm(norm: nn.Module, kernels, hidden_states: torch.Tensor) -> Quantized:
    """The forward pass of a norm before projections in eight bits."""
    if getattr(hidden_states, "normed_by", None) is norm:
        return hidden_states.normed
    values = kernels.prepare(norm_and_quantize)(hidden_states, norm.weight, norm.variance_epsilon)
    return Quantized(*values, hidden_states.dtype)


def float8_added(linear: Float8Linear, kernels, hidden_states: torch.Tensor | Quantized) -> Product:
    """The forward pass of a projection whose output is only added to the residual."""
    inputs = prepared(hidden_states, kernels)
    return Product(kernels, linear.product(inputs), inputs, linear)


def float8_methods(module: nn.Module, kernels, weight: torch.Tensor, scale: torch.Tensor) -> dict[str, Callable]:
    """The methods of an attention or a gated feed-forward network whose projections of the same input are one product."""
    if not hasattr(module, "project_heads"):
        return {"forward": partial(feed_forward, module, kernels, weight, scale)}
    if module.only_rotates:
        return {"project_and_rotate": partial(project_and_rotate, module, kernels, weight, scale)}
    return {"project_heads": partial(project_heads, module, kernels, weight, scale)}


def project_and_rotate(
    attention: nn.Module,
    kernels,
    weight: torch.Tensor,
    scale: torch.Tensor,
    hidden_states: torch.Tensor | Quantized,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The method of [`LLaDAAttention`]."""
    inputs = prepared(hidden_states, kernels)
    outputs = product(inputs, weight, attention.q_proj.one)
    rotate = kernels.prepare(unscale_and_rotate)
    sizes = sizes_of(attention)
    rotated, value_states = rotate(outputs, inputs.scale, scale, *position_embeddings, attention.head_dim, sizes[2])
    query_states, key_states = rotated.tensor_split([sizes[0] // attention.head_dim], dim=-2)
    return query_states, key_states, value_states


def project_heads(
    attention: nn.Module, kernels, weight: torch.Tensor, scale: torch.Tensor, hidden_states: torch.Tensor | Quantized
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The method of [`LLaDAAttention`] where norms come before the rotation."""
    inputs = prepared(hidden_states, kernels)
    states = kernels.prepare(unscaled)(product(inputs, weight, attention.q_proj.one), inputs.scale, scale)
    return tuple(one.unflatten(-1, (-1, attention.head_dim)) for one in states.split(sizes_of(attention), dim=-1))


def feed_forward(
    mlp: nn.Module, kernels, weight: torch.Tensor, scale: torch.Tensor, hidden_states: torch.Tensor | Quantized
) -> torch.Tensor | Product:
    """The forward pass of [`LLaDAMLP`]."""
    inputs = prepared(hidden_states, kernels)
    both = product(inputs, weight, mlp.gate_proj.one)
    values = kernels.prepare(gate_and_quantize)(both, inputs.scale, scale)
    return mlp.down_proj(Quantized(*values, inputs.dtype))


def prepared(hidden_states: torch.Tensor | Quantized, kernels) -> Quantized:
    """The activation in eight bits, by the kernel of the step unless it is already."""
    if isinstance(hidden_states, Quantized):
        return hidden_states
    return Quantized(*kernels.prepare(quantize)(hidden_states), hidden_states.dtype)


def sizes_of(attention: nn.Module) -> list[int]:
    """The numbers of channels of queries, keys and values."""
    return [len(one.weight) for one in (attention.q_proj, attention.k_proj, attention.v_proj)]


def norm_and_quantize(
    hidden_states: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Root-mean-square normalisation in eight bits."""
    return quantize(nn.functional.rms_norm(hidden_states, weight.shape, weight, eps))


def gate_and_quantize(
    both: torch.Tensor, scale: torch.Tensor, weight_scale: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`silu(gate) * up` in eight bits."""
    gate, up = unscaled(both, scale, weight_scale).chunk(2, dim=-1)
    return quantize(nn.functional.silu(gate) * up)


def add_unscaled(
    residual: torch.Tensor, outputs: torch.Tensor, scale: torch.Tensor, weight_scale: torch.Tensor
) -> torch.Tensor:
    """The residual and a product."""
    return residual + unscaled(outputs, scale, weight_scale)


def add_norm_and_quantize(
    residual: torch.Tensor,
    outputs: torch.Tensor,
    scale: torch.Tensor,
    weight_scale: torch.Tensor,
    norm_weight: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The residual and a product, and their sum after a norm in eight bits."""
    summed = add_unscaled(residual, outputs, scale, weight_scale)
    return summed, *norm_and_quantize(summed, norm_weight, eps)


def unscale_and_rotate(
    outputs: torch.Tensor,
    scale: torch.Tensor,
    weight_scale: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    head_dim: int,
    num_values: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys with the rotary embedding, in one tensor, and values. Of the channels the last ones are values."""
    states = unscaled(outputs, scale, weight_scale).unflatten(-1, (-1, head_dim))
    rotated, value_states = states.tensor_split([-(num_values // head_dim)], dim=-2)
    # As a view, compiled, it would also write the channels that are rotated.
    return apply_rotary_pos_emb(rotated, cos, sin), value_states.clone()


__all__ = ["float8_methods"]
