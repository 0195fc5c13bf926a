# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tiny models with experts, and small runs that train them in one process or in several."""

import torch
from transformers import PreTrainedTokenizerBase

from modeling_llada import LLaDA2MoeConfig, LLaDA2MoeForMaskedLM, LLaDAMoeConfig, LLaDAMoeForMaskedLM


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
LLADA2 = {"head_dim": 16, "num_key_value_heads": 2, "n_group": 2, "topk_group": 2}


def tokens_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The fields of a config that follow from a tokenizer."""
    names = ("mask_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer)} | {name: getattr(tokenizer, name) for name in names}


def tiny_llada_moe(**fields) -> LLaDAMoeForMaskedLM:
    """A LLaDA-MoE of two layers with four experts, always the same one."""
    torch.manual_seed(0)
    return LLaDAMoeForMaskedLM(LLaDAMoeConfig(**SIZES | fields))


def tiny_llada2(**fields) -> LLaDA2MoeForMaskedLM:
    """A LLaDA2 of a dense layer and one with four experts in two groups, always the same one."""
    torch.manual_seed(0)
    return LLaDA2MoeForMaskedLM(LLaDA2MoeConfig(**SIZES | LLADA2 | fields))
