# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The blocks of a canvas: the part of each row that is being denoised, and its share of the denoising steps.

A call of `generate` moves all rows from one block to the next together. Nothing else here or in the denoising steps relies on
that: every number below is one per row, so rows may be at different blocks, and blocks may start at different positions.
"""

from dataclasses import dataclass, replace

import torch

from .remasking_llada import split_steps


PER_ROW = ("start", "length", "num_masks", "num_steps", "step")


@dataclass
class Block:
    """The active block of each row. The numbers that are no tensors are known without asking the device."""

    start: torch.LongTensor  # the first position of the block, (batch,)
    length: torch.LongTensor  # its number of positions, (batch,)
    num_masks: torch.LongTensor  # the masks that it holds before its first step, (batch,)
    num_steps: torch.LongTensor  # the denoising steps that the schedule gives it, (batch,)
    step: torch.LongTensor  # the index of its next step, from 0, (batch,)
    span: slice  # from the first position of any row to the last one
    width: int  # the length of the longest block
    max_steps: int  # the largest number of steps
    num_passes: int = 0  # the forward passes that the rows have made in their blocks
    is_aligned: bool = True  # whether the block stands at the same positions in every row

    @classmethod
    def at(cls, span: slice, num_masks: torch.LongTensor, num_steps: torch.LongTensor, max_steps: int) -> "Block":
        """The block at the same positions in every row."""
        width = span.stop - span.start
        return cls(
            start=torch.full_like(num_masks, span.start),
            length=torch.full_like(num_masks, width),
            num_masks=num_masks,
            num_steps=num_steps,
            step=torch.zeros_like(num_masks),
            span=span,
            width=width,
            max_steps=max_steps,
        )

    @classmethod
    def join(cls, blocks: list["Block"]) -> "Block":
        """
        The blocks of several groups of rows as that of one batch. Either all rows are at the first forward pass of their
        block, which fills the cache, or none of them. `cache_refresh_interval` then counts the most passes of any row.
        """
        if len({block.num_passes == 0 for block in blocks}) > 1:
            passes = [block.num_passes for block in blocks]
            raise ValueError(
                f"`blocks` must all be at their first forward pass, or none of them, but got num_passes={passes}. Make the "
                "first pass of the new ones before they join."
            )
        return cls(
            **{name: torch.cat([getattr(block, name) for block in blocks]) for name in PER_ROW},
            span=slice(min(block.span.start for block in blocks), max(block.span.stop for block in blocks)),
            width=max(block.width for block in blocks),
            max_steps=max(block.max_steps for block in blocks),
            num_passes=max(block.num_passes for block in blocks),
            is_aligned=all(block.is_aligned and block.span == blocks[0].span for block in blocks),
        )

    @property
    def inside(self) -> torch.BoolTensor:
        """The positions of the block, out of the `width` positions from its start on: `(batch, width)`."""
        return torch.arange(self.width, device=self.length.device) < self.length[:, None]

    def positions(self, canvas_length: int) -> torch.LongTensor:
        """
        The positions in the canvas, `(batch, width)`. Those behind a short block go on at the start of the canvas, so that
        no position occurs twice.
        """
        return (self.start[:, None] + torch.arange(self.width, device=self.start.device)) % canvas_length

    def select(self, rows: torch.LongTensor) -> "Block":
        """The block of some rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in PER_ROW})

    def repeat(self, repeats: int) -> "Block":
        """Each row several times, the copies next to each other."""
        return replace(self, **{name: getattr(self, name).repeat_interleave(repeats) for name in PER_ROW})

    def copy_from(self, other: "Block") -> None:
        """Copies the numbers of another block of as many rows into the tensors of this one."""
        for name in PER_ROW:
            getattr(self, name).copy_(getattr(other, name))


def plan_blocks(
    masked: torch.BoolTensor, prompt_length: int, block_length: int | None, steps: int | None
) -> list[Block]:
    """
    The blocks of a call, from left to right: the prompt is one of its own, for the masks inside it, and the answer is cut
    every `block_length` tokens; by default it is one block. `masked`, `(batch, length)`, are the masks of the canvas. The
    denoising `steps`, by default one for each mask, are split over the blocks.
    """
    end = masked.shape[1]
    block_length = block_length or max(end - prompt_length, 1)
    starts = range(prompt_length, end, block_length)
    spans = [slice(0, prompt_length), *(slice(start, min(start + block_length, end)) for start in starts)]
    num_masks = torch.stack([masked[:, span].sum(-1) for span in spans], dim=-1)
    # More steps than positions are of no use, and may not fit into a tensor.
    num_steps = split_steps(num_masks, None if steps is None else min(steps, max(end, 1)))
    max_steps = num_steps.amax(0).tolist()
    return [
        Block.at(span, num_masks[:, index].contiguous(), num_steps[:, index].contiguous(), max_steps[index])
        for index, span in enumerate(spans)
    ]


__all__ = ["Block", "plan_blocks"]
