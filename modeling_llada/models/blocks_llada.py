# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The blocks of a canvas: the part of each row that is being denoised, and its share of the denoising steps.

A model declares by its [`BlockGeometry`] where blocks begin, and whether the masks behind the active block exist for it. A
call of `generate` moves all rows from one block to the next together. Nothing else here or in the denoising steps relies on
that: every number of a [`Block`] is one per row, so rows may be at different blocks, and blocks may start at different
positions.
"""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F
from transformers import GenerationConfig

from .options_llada import check_integer
from .remasking_llada import split_steps, steps_until_complete


PER_ROW = ("start", "length", "num_masks", "num_steps", "step")
ALIGNMENTS = ("prompt", "absolute")
ATTENTIONS = ("full", "block_causal")
LONGEST_BLOCK = 2**31  # longer than any canvas; a tensor could not hold every integer


@dataclass(frozen=True)
class BlockGeometry:
    """
    How the canvas of a model is cut into blocks. A model class declares it as its `block_geometry`.

    Args:
        block_alignment (`str`, *optional*, defaults to `"prompt"`):
            Where blocks begin. `"prompt"`: the prompt is a block of its own, for the masks inside it, and the blocks of
            the answer are counted from its end. `"absolute"`: blocks are counted from the first real token of the row, so
            that the end of the prompt and the beginning of the answer share one. The last block is then always a whole
            one: masks that do not belong to the answer complete it, and are dropped at the end of the call. As published
            for such models, `steps` are then those of each block.
        sees_suffix (`bool`, *optional*, defaults to `True`):
            Whether the model sees the masks behind the active block. If not, the canvas of each forward pass ends with
            the active block of each row, as `suffix_window=0` says.
        attention (`str`, *optional*, defaults to `"full"`):
            `"full"`: every position sees every other. `"block_causal"`: a position sees its own block and those before it,
            which needs absolute blocks. What is computed of a finished block then never changes, so that every `block_cache`
            is exact: it computes the active block alone, and once more the block before it.
        block_length (`int`, *optional*):
            The only length that blocks can have. By default each call of `generate` can choose one.

    Raises:
        `ValueError`: for another value, or for one that does not go with the others.
    """

    block_alignment: str = "prompt"
    sees_suffix: bool = True
    attention: str = "full"
    block_length: int | None = None

    def __post_init__(self) -> None:
        for name, choices in (("block_alignment", ALIGNMENTS), ("attention", ATTENTIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"`{name}` must be one of {', '.join(choices)}, but got {getattr(self, name)!r}.")
        if self.is_block_causal and (self.block_alignment != "absolute" or self.sees_suffix):
            raise ValueError(
                "`attention='block_causal'` needs `block_alignment='absolute'` and `sees_suffix=False`, but got "
                f"{self.block_alignment!r} and {self.sees_suffix}."
            )

    @property
    def is_block_causal(self) -> bool:
        """Whether a position sees its own block and those before it alone."""
        return self.attention == "block_causal"

    def settle(self, config: GenerationConfig, attn_implementation: str) -> None:
        """Sets the options of a call that follow from the geometry, and refuses those that do not go with it."""
        if config.reopen_threshold is not None and attn_implementation not in (None, "sdpa", "eager"):
            raise ValueError(
                f"`reopen_threshold` needs sdpa or eager attention, since `{attn_implementation}` takes no mask that hides one "
                f"token from its check, but got {config.reopen_threshold}. Call `model.set_attn_implementation('sdpa')`."
            )
        if self.sees_suffix:
            return
        if config.suffix_window:
            raise ValueError(
                "`suffix_window` must be 0 or unset for this model, which does not see what is behind the active block, but "
                f"got {config.suffix_window}. Leave it out."
            )
        config.suffix_window = 0
        if not self.is_block_causal:
            return
        self.check_blocks(config.block_length, attn_implementation)
        if config.reopen_threshold is not None:
            raise ValueError(
                "`reopen_threshold` must be unset for this model, whose attention is that of blocks, but got "
                f"{config.reopen_threshold}. Set `edit_threshold`, for which such models are trained."
            )
        if config.cache_refresh_interval is not None:
            raise ValueError(
                "`cache_refresh_interval` must be unset for this model, whose cache is exact without a refresh, but got "
                f"{config.cache_refresh_interval}. Leave it out."
            )

    def check_blocks(self, block_length: int | None, attn_implementation: str) -> None:
        """Raises a `ValueError` for blocks that block-causal attention cannot have."""
        if block_length is None:
            raise ValueError(
                "`block_length` must be set for this model, whose attention depends on it. Pass the length of the blocks that "
                "it was trained with."
            )
        check_integer("block_length", block_length, minimum=1)
        if self.block_length not in (None, block_length):
            raise ValueError(
                f"`block_length` must be {self.block_length} for this model, whose blocks share experts, but got {block_length}. "
                "Leave it out."
            )
        if attn_implementation not in ("sdpa", "eager"):
            raise ValueError(
                f"`attn_implementation` must be sdpa or eager for this model, since `{attn_implementation}` takes no mask of "
                "blocks. Call `model.set_attn_implementation('sdpa')`."
            )

    def num_surplus(
        self, attention_mask: torch.LongTensor, max_new_tokens: int, block_length: int | None, limit: int
    ) -> torch.LongTensor | None:
        """
        How many masks complete the last block of each row, `(batch,)`; `None` if blocks need not be whole ones. The mask is
        that of the prompts, `(batch, prompt_length)`. A row can have `limit` positions.
        """
        if self.block_alignment == "prompt" or block_length is None or max_new_tokens == 0:
            return None
        num_positions = attention_mask.sum(-1) + max_new_tokens
        longest = int(num_positions.max())
        if longest + -longest % block_length > limit:
            raise ValueError(
                f"`block_length` must allow whole blocks in `max_position_embeddings={limit}` positions, but got "
                f"{block_length}, where prompt and `max_new_tokens` have {longest}. Use a smaller one, or shorten them."
            )
        return -num_positions % block_length

    def whole_block(self, block_length: int | None) -> int | None:
        """The length of a block, if the `steps` of a call are those of each whole block."""
        if self.block_alignment == "prompt" or block_length is None:
            return None
        return min(block_length, LONGEST_BLOCK)

    def block_ids(self, attention_mask: torch.LongTensor, block_length: int | None) -> torch.LongTensor:
        """The index of the block of each position, `(batch, length)`; those outside of the row count to the nearest one."""
        length = attention_mask.shape[1]
        first = attention_mask.argmax(-1, keepdim=True)
        places = (torch.arange(length, device=first.device) - first).clamp(min=0)
        return places // min(block_length or length, length)

    def boundaries(
        self,
        masked: torch.BoolTensor,
        attention_mask: torch.LongTensor,
        prompt_length: int,
        block_length: int | None,
    ) -> list[list[int]]:
        """
        The boundaries between the blocks of each row: block `i` begins at number `i` and ends before number `i + 1`. All
        rows have as many blocks: one that has fewer goes on with empty ones. `masked` are the masks of the canvas, and
        `attention_mask` is 0 outside of the row; both are `(batch, length)`.
        """
        length = masked.shape[1]
        if self.block_alignment == "prompt":
            stops = range(prompt_length, length, block_length or max(length - prompt_length, 1))
            return [[0, *stops, length]] * len(masked)
        block_length = min(block_length or length, length)
        first, num_real = attention_mask.argmax(-1), attention_mask.sum(-1)
        first_mask = torch.where(masked.any(-1), masked.byte().argmax(-1), first + num_real)
        rows = []
        for start, stop, mask in torch.stack([first, first + num_real, first_mask], dim=-1).tolist():
            active = start + (mask - start) // block_length * block_length  # the block of the first mask
            rows.append([*range(active, stop, block_length), stop])
        most = max(map(len, rows))
        return [row + row[-1:] * (most - len(row)) for row in rows]


@dataclass
class Block:
    """The active block of each row. The numbers that are no tensors are known without asking the device."""

    start: torch.LongTensor  # the first position of the block, (batch,)
    length: torch.LongTensor  # its number of positions, (batch,)
    num_masks: torch.LongTensor  # the masks that its steps share: those before the first, or a whole block, (batch,)
    num_steps: torch.LongTensor  # the denoising steps that the schedule gives it, (batch,)
    step: torch.LongTensor  # the index of its next step, from 0, (batch,)
    span: slice  # from the first position of any row to the last one
    width: int  # the length of the longest block
    max_steps: int  # the largest number of steps
    num_passes: int = 0  # the forward passes that the rows have made in their blocks
    is_aligned: bool = True  # whether the block stands at the same positions in every row

    @classmethod
    def at(
        cls, spans: slice | list[slice], num_masks: torch.LongTensor, num_steps: torch.LongTensor, max_steps: int
    ) -> "Block":
        """The block at the same positions in every row, or at one span for each row."""
        spans = [spans] if isinstance(spans, slice) else spans
        starts, lengths = [span.start for span in spans], [span.stop - span.start for span in spans]
        is_aligned = all(span == spans[0] for span in spans)
        return cls(
            start=torch.full_like(num_masks, starts[0]) if is_aligned else num_masks.new_tensor(starts),
            length=torch.full_like(num_masks, lengths[0]) if is_aligned else num_masks.new_tensor(lengths),
            num_masks=num_masks,
            num_steps=num_steps,
            step=torch.zeros_like(num_masks),
            span=slice(min(starts), max(span.stop for span in spans)),
            width=max(lengths),
            max_steps=max_steps,
            is_aligned=is_aligned,
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
    masked: torch.BoolTensor, boundaries: list[list[int]], steps: int | None, whole_block: int | None = None
) -> list[Block]:
    """
    The blocks of a call, from left to right. `masked`, `(batch, length)`, are the masks of the canvas, and `boundaries` those
    of [`BlockGeometry.boundaries`]. The denoising `steps`, by default one for each mask, are split over the blocks; with
    `whole_block`, the length of a block, they are those of each block, also if it holds fewer masks than positions.
    """
    masks_before = F.pad(masked.cumsum(-1), (1, 0))
    num_masks = masks_before.gather(1, torch.tensor(boundaries, device=masked.device)).diff(dim=-1)
    if steps is None or whole_block is None:
        # More steps than positions are of no use, and may not fit into a tensor.
        num_steps = split_steps(num_masks, None if steps is None else min(steps, max(masked.shape[1], 1)))
        max_steps = num_steps.amax(0).tolist()
    else:
        num_steps = torch.full_like(num_masks, min(steps, whole_block))
        max_steps = steps_until_complete(num_masks, whole_block, min(steps, whole_block)).amax(0).tolist()
        num_masks = torch.full_like(num_masks, whole_block)
    return [
        Block.at(
            [slice(*row[index : index + 2]) for row in boundaries],
            num_masks[:, index].contiguous(),
            num_steps[:, index].contiguous(),
            max_steps[index],
        )
        for index in range(len(max_steps))
    ]


__all__ = ["Block", "BlockGeometry", "plan_blocks"]
