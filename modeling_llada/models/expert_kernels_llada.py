# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The experts of a layer in few kernels, for denoising steps that are recorded.

`grouped_mm` of transformers runs many small kernels around its two products. Here are fewer, which can be compiled. Without a
compiler the results are the same bits.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn


def computes_in_groups(module: nn.Module) -> bool:
    """Whether a module has the experts of a layer, and computes them by `grouped_mm` on one device."""
    is_parallel = getattr(module, "_is_expert_parallel", False)
    if is_parallel or not hasattr(module, "gate_up_proj") or not hasattr(nn.functional, "grouped_mm"):
        return False
    implementation = module.config._experts_implementation
    return implementation == "grouped_mm" or (
        implementation == "by_device" and module.gate_up_proj.device.type == "cuda"
    )


def grouped_experts(
    experts: nn.Module, kernels, hidden_states: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """The forward pass of [`LLaDAExperts`]. `kernels` are the [`Kernels`] of the step."""
    order, ends, places = kernels.prepare(order_by_expert)(top_k_index, experts.num_experts)
    tokens = kernels.prepare(tokens_in_order)(hidden_states, order, top_k_index.shape[-1])
    both = nn.functional.grouped_mm(tokens, experts.gate_up_proj.transpose(1, 2), offs=ends)
    between = kernels.swiglu(*both.chunk(2, dim=-1))
    outputs = nn.functional.grouped_mm(between, experts.down_proj.transpose(1, 2), offs=ends)
    return kernels.prepare(weighted_sum)(outputs, places, top_k_weights)


def order_by_expert(index: torch.LongTensor, num_experts: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    The order of pairs of a token and one of its experts, `index` of shape `(num_tokens, top_k)`, in which those of an expert are
    together; where those of each expert end, `(num_experts,)`; and the place of each pair in that order.
    """
    experts, order = index.flatten().sort()
    ends = torch.searchsorted(experts, torch.arange(num_experts, device=index.device), right=True, out_int32=True)
    places = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=index.device))
    return order, ends, places.view_as(index)


def tokens_in_order(hidden_states: torch.Tensor, order: torch.LongTensor, top_k: int) -> torch.Tensor:
    """The token of each pair."""
    return hidden_states[order // top_k]


def weighted_sum(outputs: torch.Tensor, places: torch.LongTensor, weights: torch.Tensor) -> torch.Tensor:
    """The outputs of the experts of each token, added up in the precision of the weights."""
    return (outputs[places] * weights.unsqueeze(-1)).sum(1).to(outputs.dtype)


def float32_logits(router: nn.Module) -> dict[str, Callable]:
    """The product of a router that computes in float32, on a GPU without copies of its inputs in that precision."""
    weight = router.weight
    if not hasattr(router, "logits_of") or weight.device.type != "cuda" or weight.dtype == torch.float32:
        return {}
    return {"logits_of": partial(mm_in_float32, weight)}


def mm_in_float32(weight: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
    """Products of numbers of two bytes are exact in float32, in which they are added up."""
    return torch.mm(hidden_states, weight.t(), out_dtype=torch.float)


__all__ = ["grouped_experts"]
