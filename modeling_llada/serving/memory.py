# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How much memory a row takes. The scheduler asks before it admits one."""

import os

import torch

from ..models.call_llada import Call
from ..models.generation_llada import LLaDAGenerationMixin


USABLE = 0.9  # of the memory of a GPU that is free
# Copies of the float32 logits of a step that exist at once: as they come, without the mask token, as probabilities and
# sorted. With a temperature also the noise and its sum with the logits, in float64.
LOGITS, LOGITS_WITH_NOISE = 4, 9


def memory_limit_of(device: torch.device) -> int | None:
    """The bytes that rows may take by default: most of what is free on a GPU, or half of the machine; `None` if unknown."""
    if device.type == "cuda":
        # torch keeps what earlier work has freed, and gives it to the next.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int((torch.cuda.mem_get_info(device)[0] + kept) * USABLE)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):  # not on Windows
        return None


def slot_bytes(model: LLaDAGenerationMixin, call: Call, length: int) -> int:
    """The keys and values of a row with `length` positions, which stay between its steps."""
    if call.config.block_cache is None:
        return 0
    config = model.config
    size = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * model.dtype.itemsize
    return size * length * rows_of(call)


def step_bytes(model: LLaDAGenerationMixin, call: Call) -> int:
    """The logits of the largest block of a row, and the hidden states of all its positions; they last for one step."""
    config, length = model.config, call.canvas.tokens.shape[1]
    width = max((block.width for block in call.plan()), default=0)
    logits = 4 * config.vocab_size * (LOGITS_WITH_NOISE if call.config.sampling_temperature > 0 else LOGITS)
    hidden = (2 * config.hidden_size + 2 * config.intermediate_size) * model.dtype.itemsize
    return (width * logits + length * hidden) * rows_of(call)


def rows_of(call: Call) -> int:
    """The rows of a forward pass for a call: with guidance each comes twice, and drafts are rows, too."""
    rows = len(call.canvas.tokens) * (2 if call.config.cfg_scale > 0 else 1)
    return rows * (1 + (call.config.draft_steps or 0))
