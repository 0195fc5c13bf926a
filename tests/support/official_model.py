# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The network of LLaDA as plain modules under the official names, without anything of this package or of transformers."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.head_dim = width // config.num_attention_heads
        self.attn_norm = nn.RMSNorm(width, eps=config.rms_norm_eps)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, config.num_key_value_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(width, config.num_key_value_heads * self.head_dim, bias=False)
        self.attn_out = nn.Linear(width, width, bias=False)
        self.ff_norm = nn.RMSNorm(width, eps=config.rms_norm_eps)
        self.ff_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.ff_out = nn.Linear(inner, width, bias=False)

    def heads(self, x):
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, x, rotate):
        normed = self.attn_norm(x)
        q, k = rotate(self.heads(self.q_proj(normed))), rotate(self.heads(self.k_proj(normed)))
        attended = F.scaled_dot_product_attention(q, k, self.heads(self.v_proj(normed)), enable_gqa=True)
        x = x + self.attn_out(attended.transpose(1, 2).flatten(2))
        normed = self.ff_norm(x)
        return x + self.ff_out(F.silu(self.ff_proj(normed)) * self.up_proj(normed))


class OfficialModel(nn.Module):
    """`model.transformer.{wte, blocks, ln_f, ff_out}`; gives the logits of `input_ids`."""

    def __init__(self, config):
        super().__init__()
        self.rope_theta = config.rope_parameters["rope_theta"]
        transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.hidden_size),
                "blocks": nn.ModuleList([Block(config) for _ in range(config.num_hidden_layers)]),
                "ln_f": nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps),
                "ff_out": nn.Linear(config.hidden_size, config.vocab_size, bias=False),
            }
        )
        self.model = nn.Module()
        self.model.transformer = transformer

    def get_input_embeddings(self):
        return self.model.transformer.wte

    def rotate(self, heads):
        half = heads.shape[-1] // 2
        frequencies = self.rope_theta ** -(torch.arange(half) / half)
        angles = torch.arange(heads.shape[-2])[:, None] * frequencies
        first, second = heads[..., :half], heads[..., half:]
        return torch.cat(
            [
                first * angles.cos() - second * angles.sin(),
                second * angles.cos() + first * angles.sin(),
            ],
            dim=-1,
        )

    def forward(self, input_ids):
        x = self.model.transformer.wte(input_ids)
        for block in self.model.transformer.blocks:
            x = block(x, self.rotate)
        return self.model.transformer.ff_out(self.model.transformer.ln_f(x))
