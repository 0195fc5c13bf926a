# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tokens that are replaced by random ones, which the model learns to restore, as LLaDA2.1 does (its T2T stream)."""

import torch


def replace_tokens(
    noisy: torch.LongTensor,
    replaceable: torch.BoolTensor,
    rate: float,
    mask_token_id: int,
    vocab_size: int,
    generator: torch.Generator,
) -> torch.LongTensor:
    """
    Replaces each token with the probability `rate` by one of the vocabulary other than the mask token, all with the same
    probability. `noisy` and `replaceable`, which says where, are of one shape and on the device of the generator.
    """
    options = {"generator": generator, "device": noisy.device}
    chosen = replaceable & (torch.rand(noisy.shape, **options) < rate)
    others = torch.randint(vocab_size - 1, noisy.shape, **options)
    return torch.where(chosen, others + (others >= mask_token_id), noisy)
