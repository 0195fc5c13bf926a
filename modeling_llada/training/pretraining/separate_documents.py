# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Attention within documents, for rows that hold several of them. LLaDA was pre-trained without it, across documents."""

import torch


def attention_within_documents(input_ids: torch.LongTensor, bos_token_id: int) -> torch.BoolTensor:
    """
    Which positions see which, if each document of a row sees itself alone.

    Args:
        input_ids (`torch.LongTensor` of shape `(batch, length)`):
            Clean rows. A document begins with BOS, or with the row.
        bos_token_id (`int`):
            That token.

    Returns:
        `torch.BoolTensor` of shape `(batch, 1, length, length)`: true where a position, in dimension 2, sees another one.
    """
    documents = numbers_of_documents(input_ids, bos_token_id)
    return (documents[:, :, None] == documents[:, None, :])[:, None]


def numbers_of_documents(input_ids: torch.LongTensor, bos_token_id: int) -> torch.LongTensor:
    """The number of the document of each position in its row, counted from 1, `(batch, length)`."""
    begins = input_ids == bos_token_id
    begins[:, 0] = True
    return begins.cumsum(1)


def without_cut_tokens(visible: torch.BoolTensor, kept: torch.Tensor) -> torch.BoolTensor:
    """
    Hides the tokens that were cut off: those where `kept`, `(batch, length)`, is 0. A position that would see nothing sees the
    first token, as softmax needs something.
    """
    visible = visible & kept[:, None, None].bool()
    first = torch.arange(kept.shape[1], device=kept.device) == 0
    return visible | (first & ~visible.any(-1, keepdim=True))
