# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The rotary embedding: angles that grow with the position turn queries and keys."""

from collections.abc import Callable

import torch
from torch import nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update

from .configuration_llada import LLaDAConfig


class LLaDARotaryEmbedding(nn.Module):
    """Cosines and sines of the rotary embedding, in float32, or in the dtype of the model for families without it."""

    def __init__(self, config: LLaDAConfig):
        super().__init__()
        self.config = config
        self.max_seq_len_cached = config.max_position_embeddings
        self.original_max_seq_len = config.max_position_embeddings
        self.rope_type = config.rope_parameters["rope_type"]
        rope_init_fn = self.compute_default_rope_parameters
        if self.rope_type != "default":
            rope_init_fn = ROPE_INIT_FUNCTIONS[self.rope_type]
        inv_freq, self.attention_scaling = rope_init_fn(config)
        self.inv_freq = nn.Buffer(inv_freq, persistent=False)
        self.original_inv_freq = nn.Buffer(inv_freq.clone(), persistent=False)

    @staticmethod
    def compute_default_rope_parameters(config: LLaDAConfig, **kwargs) -> tuple[torch.Tensor, float]:
        """The inverse frequencies `theta^(-2i / rotary_dim)`, and the factor of cosines and sines, which is 1."""
        rotary_dim = int(config.head_dim * config.rope_parameters.get("partial_rotary_factor", 1.0))
        exponents = torch.arange(0, rotary_dim, 2, dtype=torch.float) / rotary_dim
        return 1.0 / (config.rope_parameters["rope_theta"] ** exponents), 1.0

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        exact = self.inv_freq, self.original_inv_freq
        super()._apply(fn, recurse)
        # `model.to(torch.bfloat16)` must move the frequencies without rounding: position 100 would be off by 0.2 rad.
        if self.inv_freq.dtype != torch.float32:
            self.inv_freq, self.original_inv_freq = (buffer.to(self.inv_freq.device) for buffer in exact)
        return self

    @torch.no_grad()
    @dynamic_rope_update
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inv_freq = self.inv_freq.to(device=x.device, dtype=torch.float)
        freqs = position_ids[..., None].float() * inv_freq
        # CODEPATH: LLaDA-8B and LLaDA-V rotate in float32, the other families in the dtype of the model.
        dtype = torch.float if self.config.rope_full_precision else x.dtype
        cos, sin = ((part * self.attention_scaling).to(dtype) for part in (freqs.cos(), freqs.sin()))
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def apply_rotary_pos_emb(hidden_states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """
    Applies the rotary embedding to queries or keys, `(batch, length, num_heads, head_dim)`.

    It is computed in the dtype of `cos` and `sin`, `(batch, length, rotary_dim)`. In the first half `sin` is negative, so a
    roll is enough where `modeling_llama.py` rotates halves. What is behind the first `rotary_dim` of a head stays.
    """
    if cos.shape[-1] < hidden_states.shape[-1]:
        turned, others = hidden_states.tensor_split([cos.shape[-1]], dim=-1)
        return torch.cat([apply_rotary_pos_emb(turned, cos, sin), others], dim=-1)
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    other_half = hidden_states.roll(hidden_states.shape[-1] // 2, dims=-1)
    return (hidden_states * cos + other_half * sin).to(hidden_states.dtype)
