# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising steps of rows that come and go: each stands in a slot of one batch, at a block of its own."""

from dataclasses import replace

import torch
from torch import nn

from ..models.blocks_llada import Block
from ..models.cache_llada import RowsCache, Window
from ..models.canvas_llada import Canvas
from ..models.denoising_llada import Denoiser
from ..models.generation_config_llada import LLaDAGenerationConfig


class SlotDenoiser(Denoiser):
    """
    Makes the steps of [`Denoiser`] for the rows in the slots of a batch.

    A row is shorter than its slot: what follows it is padding that no row sees. The slots are filled and cleared while others
    are at work. A row takes no part in a step for which it is given no block.

    `template` is the canvas of a row, `(1, length)`: the slots have its fields and its length. `config` has the options that
    all rows share.
    """

    def __init__(self, model: nn.Module, template: Canvas, config: LLaDAGenerationConfig, num_slots: int) -> None:
        canvas = template.select(torch.zeros(num_slots, dtype=torch.long, device=template.tokens.device))
        canvas.given.fill_(True)
        super().__init__(model, canvas, config, strategy=None, generators=[None] * num_slots, processors=[])
        if self.cache is not None:
            num_rows = num_slots * (2 if config.cfg_scale > 0 else 1)
            self.cache = RowsCache(model.config.num_hidden_layers, num_rows, canvas.tokens.shape[1])
        self.lengths = [0] * num_slots
        self.ends = torch.zeros(num_slots, dtype=torch.long, device=canvas.tokens.device)  # the same on the device
        self.longest = 0  # of the rows in the step

    def fill(self, slot: int, canvas: Canvas, generator: torch.Generator | None) -> Canvas:
        """Puts a row, `(1, length)`, into a slot. Returns it as a view of the slot."""
        length = canvas.tokens.shape[1]
        padded = canvas.padded(self.canvas.tokens.shape[1], self.config.mask_token_id)
        self.canvas.put(self.ends.new_tensor([slot]), padded)
        self.generators[slot] = generator
        self.lengths[slot] = length
        self.ends[slot] = length
        return self.canvas.row(slot, length)

    def clear(self, slot: int) -> None:
        """Takes the row out of a slot."""
        self.canvas.given[slot] = True
        self.generators[slot] = None

    def step_in(self, blocks: dict[int, Block], is_refresh: bool) -> Block:
        """
        Makes one step of the rows in some slots, each in its block, which counts it. With a cache they all refresh it or none
        does. Returns the blocks as one, in which the other rows have an empty block.
        """
        first = next(iter(blocks.values()))
        nothing = torch.zeros_like(first.start)
        idle = Block.at(slice(first.span.start, first.span.start), nothing, nothing, max_steps=0)
        num_passes = 0 if is_refresh else 1
        joined = Block.join(
            [replace(blocks.get(slot, idle), num_passes=num_passes) for slot in range(len(self.lengths))]
        )
        self.longest = max(self.lengths[slot] for slot in blocks)
        self.step(joined)
        for block in blocks.values():
            block.step += 1
            block.num_passes += 1
        return joined

    def _visible_length(self, block: Block) -> int:
        return min(self.longest, super()._visible_length(block))

    def _visible(self, block: Block) -> torch.LongTensor:
        return super()._visible(block).minimum(self.ends)

    def _prepare_cache(self, rows: torch.LongTensor, window: Window | None, length: int) -> None:
        if window is None:
            positions = torch.arange(length, device=rows.device).expand(len(rows), -1)
        else:
            positions = window.positions[rows]
        self._place_in_cache(rows, positions, length)
