# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising steps of rows that come and go: each stands in a slot of one batch, at a block of its own."""

from dataclasses import replace

import torch
from torch import nn

from ..models.blocks_llada import PER_ROW, Block
from ..models.cache_llada import RowsCache, Window
from ..models.canvas_llada import Canvas
from ..models.denoising_llada import Denoiser
from ..models.generation_config_llada import LLaDAGenerationConfig


class SlotDenoiser(Denoiser):
    """
    Makes the steps of [`Denoiser`] for the rows in the slots of a batch.

    A row is shorter than its slot: what follows it is padding that no row sees. The slots are filled and cleared while others
    are at work. A row that takes no part in a step has an empty block in it.

    `template` is the canvas of a row, `(1, length)`: the slots have its fields and its length. `config` has the options that
    all rows share.
    """

    poll_interval = 1  # steps between two looks at whether a block is complete, where no schedule says it

    def __init__(self, model: nn.Module, template: Canvas, config: LLaDAGenerationConfig, num_slots: int) -> None:
        canvas = template.select(torch.zeros(num_slots, dtype=torch.long, device=template.tokens.device))
        canvas.given.fill_(True)
        super().__init__(model, canvas, config, strategy=None, generators=[None] * num_slots, processors=[])
        if self.cache is not None and not self.geometry.is_block_causal:
            num_rows = num_slots * (2 if config.cfg_scale > 0 else 1)
            self.cache = RowsCache(model.config.num_hidden_layers, num_rows, canvas.tokens.shape[1])
        nothing = torch.zeros(num_slots, dtype=torch.long, device=canvas.tokens.device)
        self.blocks: list[Block | None] = [None] * num_slots  # of each row; what the host knows of them
        self.numbers = Block.at(slice(0, 0), nothing, nothing.clone(), max_steps=0)  # the same on the device
        self.lengths = [0] * num_slots  # positions of each row
        self.ends = nothing.clone()  # the same on the device
        self.slots: list[int] = []  # those that take part in the step
        self.takes_part = nothing.clone()  # 1 for them

    def fill(self, slot: int, canvas: Canvas, generator: torch.Generator | None) -> Canvas:
        """Puts a row, `(1, length)`, into a slot. Returns it as a view of the slot."""
        length = canvas.tokens.shape[1]
        padded = canvas.padded(self.canvas.tokens.shape[1], self.config.mask_token_id)
        self.canvas.put(self.ends.new_tensor([slot]), padded)
        self.generators[slot] = generator
        self.lengths[slot] = length
        self.ends[slot] = length
        if self.geometry.is_block_causal:
            self.block_ids[slot] = self.geometry.block_ids(padded.attention_mask, self.config.block_length)[0]
            if self.cache is not None:
                self.cache.num_final[slot] = padded.attention_mask[0].argmax()
        return self.canvas.row(slot, length)

    def enter(self, slot: int, block: Block) -> None:
        """Says which block of a row is the active one. Its steps are counted in `num_passes` of it."""
        self.blocks[slot] = block
        for name in PER_ROW:
            getattr(self.numbers, name)[slot] = getattr(block, name)[0]

    def clear(self, slot: int) -> None:
        """Takes the row out of a slot."""
        self.canvas.given[slot] = True
        self.generators[slot] = None

    def step_of(self, slots: list[int], is_refresh: bool) -> None:
        """Makes one step of the rows in some slots. With a cache they all refresh it or none does."""
        if slots != self.slots:
            self.slots = slots
            self.takes_part = self.ends.new_tensor([int(slot in slots) for slot in range(len(self.lengths))])
        self.step(self._joined(is_refresh))
        self.numbers.step += self.takes_part
        for slot in slots:
            self.blocks[slot].num_passes += 1

    def is_open(self) -> list[bool]:
        """Whether the block of each row that took part in the last step holds masks. The host waits for the device."""
        return self.canvas.masked_in(self._joined(is_refresh=False)).any(-1).tolist()

    def _joined(self, is_refresh: bool) -> Block:
        """The blocks of the rows that take part as one. The blocks of the others are empty."""
        spans = [self.blocks[slot].span for slot in self.slots]
        return replace(
            self.numbers,
            length=self.numbers.length * self.takes_part,
            step=self.numbers.step.clone(),
            span=slice(min(span.start for span in spans), max(span.stop for span in spans)),
            width=max(self.blocks[slot].width for slot in self.slots),
            num_passes=0 if is_refresh else 1,
            is_aligned=len(self.slots) == len(self.lengths) and all(span == spans[0] for span in spans),
        )

    def _visible_length(self, block: Block) -> int:
        return min(max(self.lengths[slot] for slot in self.slots), super()._visible_length(block))

    def _visible(self, block: Block) -> torch.LongTensor:
        return super()._visible(block).minimum(self.ends)

    def _prepare_cache(self, rows: torch.LongTensor, window: Window | None, length: int) -> None:
        if window is None:
            positions = torch.arange(length, device=rows.device).expand(len(rows), -1)
        else:
            positions = window.positions[rows]
        self._place_in_cache(rows, positions, length)
