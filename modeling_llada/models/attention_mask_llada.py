# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Attention masks: every position sees every other, except padding and the other documents of a packed row."""

import inspect

import torch
from transformers import Cache, PreTrainedConfig
from transformers.masking_utils import create_bidirectional_mask, packed_sequence_mask_function
from transformers.utils.generic import is_flash_attention_requested


# transformers 5.24 renamed this argument of its mask functions.
CACHE_ARGUMENT = "cache" if "cache" in inspect.signature(create_bidirectional_mask).parameters else "past_key_values"


def attention_mask_of(
    config: PreTrainedConfig,
    inputs_embeds: torch.Tensor,
    attention_mask: torch.Tensor | None,
    cache: Cache | None,
    cu_seq_lens: torch.Tensor | None,
) -> torch.Tensor | None:
    """The mask of a batch in the form of the attention implementation; `None` if nothing is masked."""
    if cu_seq_lens is not None:
        return mask_of_documents(config, inputs_embeds, cu_seq_lens)
    # The library would build a mask of ones while a CUDA graph is recorded.
    if attention_mask is None:
        return None
    return create_bidirectional_mask(
        config=config, inputs_embeds=inputs_embeds, attention_mask=attention_mask, **{CACHE_ARGUMENT: cache}
    )


def mask_of_documents(
    config: PreTrainedConfig, inputs_embeds: torch.Tensor, cu_seq_lens: torch.Tensor
) -> torch.Tensor | None:
    """
    The mask under which every document of a packed batch sees itself alone.

    For flex attention it is a `BlockMask`, for flash attention `None`, because that reads `cu_seq_lens` itself.
    """
    shape = inputs_embeds.shape[:2]
    # On another device the check would wait for it.
    if cu_seq_lens.device.type == "cpu" and not torch.compiler.is_compiling():
        ends = cu_seq_lens[[0, -1]].tolist()
        if ends != [0, shape.numel()]:
            raise ValueError(
                f"`cu_seq_lens_q` must begin with 0 and end with `batch * length`, {shape.numel()}, but goes from "
                f"{ends[0]} to {ends[1]}. Count padding as a document of its own."
            )
    cu_seq_lens = cu_seq_lens.to(inputs_embeds.device)
    positions = torch.arange(shape.numel(), dtype=cu_seq_lens.dtype, device=cu_seq_lens.device)
    documents = torch.searchsorted(cu_seq_lens, positions, right=True).view(shape)
    mask = create_bidirectional_mask(
        config=config,
        inputs_embeds=inputs_embeds,
        attention_mask=None,
        and_mask_function=packed_sequence_mask_function(documents),
    )
    if mask is None and not is_flash_attention_requested(config):
        raise ValueError(
            f"`cu_seq_lens_q` needs an attention that keeps documents apart, but `{config._attn_implementation}` has no "
            "mask. Call `model.set_attn_implementation('sdpa')`, or give one document a row."
        )
    return mask


def block_causal_mask(
    queries: torch.LongTensor,
    keys: torch.LongTensor,
    attention_mask: torch.Tensor,
    attn_implementation: str,
    dtype: torch.dtype,
) -> torch.Tensor:
    """
    The mask under which positions see their own block and those before it, `(batch, 1, num_queries, num_keys)`. The blocks of
    queries and keys are `(batch, num_queries)` and `(batch, num_keys)`; the attention mask is that of the keys.
    """
    is_visible = (keys[:, None] <= queries[..., None]) & attention_mask[:, None].bool()
    return in_form_of_attention(is_visible, attn_implementation, dtype)


def in_form_of_attention(is_visible: torch.BoolTensor, attn_implementation: str, dtype: torch.dtype) -> torch.Tensor:
    """A mask `(batch, num_queries, num_keys)` as sdpa or eager attention takes it, `(batch, 1, num_queries, num_keys)`."""
    if attn_implementation == "sdpa":
        return is_visible[:, None]
    hidden = torch.zeros(is_visible.shape, dtype=dtype, device=is_visible.device)
    return hidden.masked_fill_(~is_visible, torch.finfo(dtype).min)[:, None]


def check_packed(
    attention_mask: torch.Tensor | None, cache: Cache | None, query_positions: torch.LongTensor | None
) -> None:
    """Refuses arguments that do not go together with packed documents. Flash attention would follow a mask instead."""
    if not (attention_mask is cache is query_positions is None):
        raise ValueError(
            "`cu_seq_lens_q` stands for packed rows that are computed as a whole: leave `attention_mask`, `cache` and "
            "`query_positions` out, and count padding as a document of its own."
        )


def mask_of_queries(attention_mask: torch.Tensor | None, positions: torch.LongTensor) -> torch.Tensor | None:
    """The rows of a mask, `(batch, num_heads or 1, num_queries or 1, num_keys)`, that belong to some of the queries."""
    if attention_mask is None:
        return None
    if not isinstance(attention_mask, torch.Tensor) or attention_mask.ndim != 4:
        raise ValueError(
            "`query_positions` needs a mask with a dimension for the queries, as sdpa and eager attention have it. "
            "Leave it out and select positions with `logits_to_keep`, or call `model.set_attn_implementation('sdpa')`."
        )
    if attention_mask.shape[2] == 1:
        return attention_mask
    if positions.ndim == 1:
        return attention_mask.index_select(2, positions)
    return attention_mask.take_along_dim(positions[:, None, :, None], dim=2)


def flash_attention_lengths(cu_seq_lens: torch.Tensor, given: dict) -> dict:
    """The arguments by which flash attention keeps documents apart. If one were missing, it would not."""
    longest = cu_seq_lens.diff().max()
    lengths = {"cu_seq_lens_q": cu_seq_lens, "cu_seq_lens_k": cu_seq_lens}
    lengths |= {"max_length_q": longest, "max_length_k": longest}
    return lengths | {name: value for name, value in given.items() if value is not None}


__all__ = ["attention_mask_of", "block_causal_mask", "in_form_of_attention"]
