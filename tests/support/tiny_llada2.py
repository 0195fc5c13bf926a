# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A tiny random LLaDA2, and what it predicts for each block as in generation."""

import torch
from conftest import TINY

from modeling_llada import LLaDA2MoeConfig, LLaDA2MoeForMaskedLM


EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "n_group": 4, "topk_group": 2}
EXPERTS |= {"head_dim": 12}  # of its own: four heads are wider than the hidden states
ROUTED_BY_BLOCKS = {"expert_capacity": 4, "block_size": 4}  # LLaDA2.2


def tiny_llada2(**changes) -> LLaDA2MoeForMaskedLM:
    """A model in evaluation mode, always the same one; keyword arguments change config fields."""
    torch.manual_seed(0)
    model = LLaDA2MoeForMaskedLM(LLaDA2MoeConfig(**TINY | EXPERTS | changes)).eval()
    for name, tensor in model.state_dict().items():
        if "norm" in name or "bias" in name:  # ones and zeros would hide that they are not used
            torch.nn.init.normal_(tensor, mean=0.5, std=0.3)
    return model


def block_by_block(model, noisy, clean, block_length) -> torch.FloatTensor:
    """The logits that generation has of each noisy block, `(1, length, vocab_size)`: behind the clean ones, nothing behind it."""
    parts = []
    for start in range(0, clean.shape[1], block_length):
        block = slice(start, start + block_length)
        window = torch.cat([clean[:, :start], noisy[:, block]], dim=1)
        parts.append(model(window, block_length=block_length).logits[:, start:])
    return torch.cat(parts, dim=1)
