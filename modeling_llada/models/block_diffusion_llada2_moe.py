# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The forward pass that block diffusion is trained and scored with (https://huggingface.co/papers/2512.15745).

A model of blocks predicts the masked tokens of a block from the clean blocks before it. One forward pass does that for all blocks
of a row, because it reads the row twice, as `[noisy | clean]`:

- a noisy position sees the noisy tokens of its own block, and the clean ones of earlier blocks;
- a clean position sees the clean tokens of its own block and of earlier ones;
- documents that share a row do not see each other.

So the noisy half of each block has the logits that it has in generation, behind the clean blocks before it.
"""

from typing import Any

import torch
from torch.nn import functional as F

from .arguments_llada import check_shape
from .attention_mask_llada import in_form_of_attention


def places_in_documents(documents: torch.LongTensor) -> torch.LongTensor:
    """The place of each position in its document, counted from 0, from the number of the document: `(batch, length)`."""
    index = torch.arange(documents.shape[1], device=documents.device)
    begins = F.pad(documents.diff(dim=-1) != 0, (1, 0), value=True)
    return index - (index * begins).cummax(dim=-1).values


def visible_beside_clean(documents: torch.LongTensor, blocks: torch.LongTensor) -> torch.BoolTensor:
    """
    Which positions of `[noisy | clean]` see which, `(batch, 2 * length, 2 * length)`; queries are in dimension 1. The document of
    each position and the block in it are `(batch, length)`.
    """
    documents, blocks = (torch.cat([values, values], dim=1) for values in (documents, blocks))
    is_clean = torch.arange(documents.shape[1], device=documents.device) >= documents.shape[1] // 2
    is_earlier = blocks[:, None] < blocks[..., None]
    is_same = blocks[:, None] == blocks[..., None]
    seen = (is_same & (is_clean == is_clean[:, None])) | (is_earlier & is_clean)
    return seen & (documents[:, None] == documents[..., None])


def inputs_beside_clean(
    input_ids: torch.LongTensor,
    clean_ids: torch.LongTensor,
    attention_mask: torch.Tensor | None,
    block_length: int,
    attn_implementation: str,
    dtype: torch.dtype,
) -> dict[str, torch.Tensor | None]:
    """
    The arguments of a forward pass whose first `length` hidden states are those of the noisy tokens.

    Args:
        input_ids (`torch.LongTensor` of shape `(batch, length)`):
            The noisy rows.
        clean_ids (`torch.LongTensor` of shape `(batch, length)`):
            The same rows without noise. If blocks are as long as rows, nothing would see them, and they are left out.
        attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
            The number of the document of each position, 0 for padding. Positions and blocks are counted from the beginning of
            each document. By default each row is one document.
        block_length (`int`):
            The length of blocks.
        attn_implementation (`str`):
            Whose form the mask has.
        dtype (`torch.dtype`):
            That of a mask of numbers.

    Returns:
        `dict`: `input_ids`, `attention_mask`, `position_ids`, and with clean rows the `query_positions` of the noisy half. Masks
        and positions that all rows share have a batch of 1.
    """
    length = input_ids.shape[1]
    if attention_mask is None and block_length >= length:
        return {"input_ids": input_ids}
    # Padding sees itself: softmax needs something to see. Rows without it share one mask.
    documents = torch.ones_like(input_ids[:1]) if attention_mask is None else attention_mask.long()
    places = places_in_documents(documents)
    if block_length >= length:
        is_visible = documents[:, None] == documents[..., None]
        mask = in_form_of_attention(is_visible, attn_implementation, dtype)
        return {"input_ids": input_ids, "attention_mask": mask, "position_ids": places}
    is_visible = visible_beside_clean(documents, places // block_length)
    return {
        "input_ids": torch.cat([input_ids, clean_ids], dim=1),
        "attention_mask": in_form_of_attention(is_visible, attn_implementation, dtype),
        "position_ids": torch.cat([places, places], dim=1),
        "query_positions": torch.arange(length, device=input_ids.device),
    }


def check_beside_clean(
    input_ids: torch.Tensor | None,
    clean_ids: torch.Tensor,
    attention_mask: torch.Tensor | None,
    others: dict[str, Any],
) -> None:
    """Raises a `ValueError` for arguments that do not go together with clean rows; `others` are those that have to be unset."""
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"`{name}` must be unset with `clean_ids`, by which rows are computed as a whole. Leave it out."
            )
    if input_ids is None:
        raise ValueError("`input_ids` must be given with `clean_ids`: they are the noisy tokens of the same rows.")
    check_shape("clean_ids", clean_ids, input_ids.shape, "that of `input_ids`")
    if attention_mask is not None:
        check_shape("attention_mask", attention_mask, input_ids.shape, "that of `input_ids`")


__all__ = ["check_beside_clean", "inputs_beside_clean"]
