# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The steps of the slots of a batch at static shapes, recorded as CUDA graphs like those of `generate`."""

from dataclasses import replace

import torch
from torch import nn

from ..models.blocks_llada import Block
from ..models.call_llada import Call
from ..models.canvas_llada import Canvas
from ..models.denoising_llada import Prediction
from ..models.engine_llada import POLL_INTERVAL, RecordedDenoiser, as_key_mask, why_not_recordable
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.kernels_llada import fuse_weights
from .slots import SlotDenoiser


class RecordedSlotDenoiser(SlotDenoiser):
    """
    Replays the steps inside blocks, which compute all slots. What they write into the cache of a row that takes no part is of no
    use and does no harm: the slot is empty, or the next step of the row refreshes all of it. Refreshes are not recorded.
    """

    poll_interval = POLL_INTERVAL

    def __init__(self, model: nn.Module, template: Canvas, config: LLaDAGenerationConfig, num_slots: int) -> None:
        super().__init__(model, template, config, num_slots)
        fuse_weights(model)
        pool = torch.cuda.graph_pool_handle() if self.canvas.tokens.is_cuda else None
        self.recorded = RecordedDenoiser(model, self.canvas, config, is_watched=False, pool=pool, find=None)
        self.recorded.cache, self.recorded.generators = self.cache, self.generators
        self.recorded.temperature.fill_(config.sampling_temperature)

    def fill(self, slot: int, canvas: Canvas, generator: torch.Generator | None) -> Canvas:
        row = super().fill(slot, canvas, generator)
        self.recorded.attention_mask[slot] = as_key_mask(self.canvas)[slot]
        return row

    def _run(self, block: Block) -> Prediction:
        if block.num_passes == 0:
            return super()._run(block)
        # Few widths, so that few shapes are recorded.
        width = min(1 << (block.width - 1).bit_length(), self.canvas.tokens.shape[1])
        return self.recorded._run(replace(block, width=width, is_aligned=False))


def has_recordable_slots(model: nn.Module, call: Call) -> bool:
    """Whether the steps of a call can be recorded for slots: those of a cache whose windows have few widths."""
    has_few_widths = call.config.block_cache in ("dual", "vicinity") and not call.geometry.is_block_causal
    return has_few_widths and is_recordable(model, call)


def is_recordable(model: nn.Module, call: Call) -> bool:
    """Whether `generate` would record the steps of a call."""
    return why_not_recordable(model, call.canvas, call.config) is None
