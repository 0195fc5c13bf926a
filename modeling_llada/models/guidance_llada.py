# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Unsupervised classifier-free guidance, for generation and likelihood."""

import torch
from torch import nn
from transformers import Cache

from .adapters_llada import AdapterRows, adapters_of
from .embeddings_llada import GivenEmbeddings, embedded


def guided_logits(
    model: nn.Module,
    input_ids: torch.LongTensor,
    given: torch.BoolTensor,
    mask_token_id: int,
    cfg_scale: float,
    attention_mask: torch.Tensor | None,
    position_ids: torch.LongTensor | None,
    logits_to_keep: torch.BoolTensor | None,
    cache: Cache | None = None,
    query_positions: torch.LongTensor | None = None,
    rows: AdapterRows | None = None,
    embeddings: GivenEmbeddings | None = None,
    clean_ids: torch.LongTensor | None = None,
    block_length: int | None = None,
) -> torch.FloatTensor:
    """
    The logits of one forward pass in float32, with guidance of scale `w` (eq. 16 of
    https://huggingface.co/papers/2502.09992): `(1 + w) conditional - w unconditional`.

    Without guidance this is the plain forward pass. With guidance the batch also holds the same sequences with all `given`
    tokens, `(batch, length)`, masked, and the cache those of both halves. In a mixed batch of PEFT, `rows` says whose adapter
    a sequence gets. Positions with `embeddings` of their own have them also in the second half, unless they are among `given`.
    The other arguments are those of [`LLaDAForMaskedLM.forward`]; `logits_to_keep` is a boolean mask, or `None` for all
    positions.
    """
    if cfg_scale > 0:
        input_ids = torch.cat([input_ids, input_ids.masked_fill(given, mask_token_id)])
        clean_ids = None if clean_ids is None else torch.cat([clean_ids, clean_ids.masked_fill(given, mask_token_id)])
        attention_mask, position_ids, logits_to_keep = (
            None if tensor is None else torch.cat([tensor, tensor])
            for tensor in (attention_mask, position_ids, logits_to_keep)
        )
        if query_positions is not None and query_positions.ndim == 2:
            query_positions = torch.cat([query_positions, query_positions])
        rows = None if rows is None else rows.doubled()
        if embeddings is not None:
            where = torch.cat([embeddings.where, embeddings.where & ~given])
            embeddings = GivenEmbeddings(where, torch.cat([embeddings.values, embeddings.values]))
    options = {
        "cache": cache,
        "query_positions": query_positions,
        "clean_ids": clean_ids,
        "block_length": block_length,
    }
    with adapters_of(model, rows, logits_to_keep):
        logits = model(
            **embedded(model, input_ids, embeddings),
            attention_mask=attention_mask,
            position_ids=position_ids,
            logits_to_keep=0 if logits_to_keep is None else logits_to_keep,
            **{name: value for name, value in options.items() if value is not None},
        ).logits.float()
    if cfg_scale > 0:
        conditional, unconditional = logits.chunk(2)
        logits = unconditional + (cfg_scale + 1) * (conditional - unconditional)
    return logits


__all__ = ["guided_logits"]
