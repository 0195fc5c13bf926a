# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The block cache: keys and values of the whole canvas, of which a denoising step recomputes a part.

LLaDA attends in both directions, so every key and value depends on every token, and a cache is an approximation: what is
outside the window of a step is as old as the last refresh. Three windows:
- `"dual"`: the active block alone (https://huggingface.co/papers/2505.22618);
- `"prefix"`: the active block and all that follows it (the same paper);
- `"vicinity"`: the active block and a few positions on both sides (https://huggingface.co/papers/2510.08666).

With block-causal attention they are the same, and no approximation: see [`FinishedBlocksCache`].
"""

from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from .blocks_llada import Block


VICINITY = 16  # positions on each side of the active block, as published


@dataclass
class Window:
    """The positions that a step recomputes, around the active block of each row."""

    start: torch.LongTensor  # the first one, (batch,)
    stop: torch.LongTensor  # the one behind the last, (batch,)
    width: int  # the number of positions in the longest window

    @property
    def positions(self) -> torch.LongTensor:
        """
        The positions, `(batch, width)`. A shorter window repeats its last one, which changes nothing, and an empty one, of a row
        that takes no part, the position before it.
        """
        positions = self.start[:, None] + torch.arange(self.width, device=self.start.device)
        return positions.minimum(self.stop[:, None] - 1).clamp(min=0)


class LLaDACacheLayer(CacheLayerMixin):
    """
    The keys (after the rotary embedding) and values of one layer, for every position of the canvas.

    They are of shape `(batch, num_heads, length, head_dim)`. In memory all heads of a position lie together, so that a
    position is written by one copy.
    """

    is_compileable = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys, self.values = heads_together(key_states), heads_together(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, places: torch.LongTensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Writes the recomputed positions in place, and returns those of the whole canvas. `places`, `(batch *
        num_positions,)`, are the indices of the recomputed ones in the flattened canvas, `None` for all of them.
        """
        if places is not None:
            positions_of(self.keys).index_copy_(0, places, positions_of(key_states))
            positions_of(self.values).index_copy_(0, places, positions_of(value_states))
        elif self.is_initialized and self.keys.shape == key_states.shape:
            self.keys.copy_(key_states)
            self.values.copy_(value_states)
        else:
            self.lazy_initialization(key_states, value_states)
        return self.keys, self.values

    def select_rows(self, rows: torch.LongTensor) -> None:
        """Keeps some rows of the batch."""
        self.keys, self.values = heads_together(self.keys[rows]), heads_together(self.values[rows])

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return (self.keys.shape[2] if self.is_initialized else query_length), 0

    def get_seq_length(self) -> int:
        # Bidirectional attention counts no past: the queries stand somewhere inside the canvas.
        return 0

    def get_max_length(self) -> int:
        return -1


class LLaDACache(Cache):
    """
    The block cache of a model with `num_layers` layers, for one call of [`~LLaDAForMaskedLM.generate`].

    Example:

    ```python
    >>> cache = LLaDACache(model.config.num_hidden_layers)
    >>> model(input_ids=canvas, cache=cache)  # a refresh: all positions

    >>> cache.window = torch.arange(32, 64).expand(len(canvas), -1)
    >>> model(input_ids=canvas[:, 32:64], position_ids=cache.window, cache=cache)
    ```
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__(layers=[LLaDACacheLayer() for _ in range(num_layers)])
        self._window: torch.LongTensor | None = None
        self._places: torch.LongTensor | None = None

    @property
    def window(self) -> torch.LongTensor | None:
        """The positions of each row that the next forward pass recomputes, `(batch, num_positions)`; `None`: all."""
        return self._window

    @window.setter
    def window(self, window: torch.LongTensor | None) -> None:
        self._window = self._places = window
        if window is not None:
            length = self.layers[0].keys.shape[2]
            first = torch.arange(len(window), device=window.device)[:, None] * length
            self._places = (first + window).flatten()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layers[layer_idx].update(key_states, value_states, self._places)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        # A refresh may have another batch or length than what is stored.
        return (query_length, 0) if self.window is None else self.layers[layer_idx].get_mask_sizes(query_length)

    def select_rows(self, rows: torch.LongTensor) -> None:
        """Keeps some rows of the batch, `(num_kept,)`."""
        for layer in self.layers:
            layer.select_rows(rows)

    def copy_from(self, other: "LLaDACache", repeats: int) -> None:
        """Copies the keys and values of another cache, each row several times."""
        for own, layer in zip(self.layers, other.layers, strict=True):
            own.update(layer.keys.repeat_interleave(repeats, dim=0), layer.values.repeat_interleave(repeats, dim=0))


class RowsCache(LLaDACache):
    """
    A cache that keeps the keys and values of all `num_rows` rows, each of `length` positions, also while a row takes no part in
    the forward passes.
    """

    def __init__(self, num_layers: int, num_rows: int, length: int) -> None:
        super().__init__(num_layers)
        self.num_rows, self.length = num_rows, length
        self.rows: torch.LongTensor | None = None

    def place(self, positions: torch.LongTensor, rows: torch.LongTensor | None, num_visible: int) -> None:
        """
        Tells which positions of which rows the next forward pass computes, `(num_rows, num_positions)`, and how many
        positions it sees. `rows` are `None` for all.
        """
        self.rows, self.num_visible = rows, num_visible
        every = torch.arange(self.num_rows, device=positions.device) if rows is None else rows
        self._window, self._places = positions, (every[:, None] * self.length + positions).flatten()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        layer = self.layers[layer_idx]
        if not layer.is_initialized:
            _, num_heads, _, head_dim = key_states.shape
            empty = key_states.new_zeros(self.num_rows, num_heads, self.length, head_dim)
            layer.lazy_initialization(empty, empty)
        states = layer.update(key_states, value_states, self._places)
        keys, values = (one[:, :, : self.num_visible] for one in states)
        return (keys, values) if self.rows is None else (keys[self.rows], values[self.rows])

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.num_visible, 0


class FinishedBlocksCache(RowsCache):
    """The cache of a model with block-causal attention, for one call. What it holds of a finished block is exact."""

    def __init__(self, num_layers: int, num_rows: int, length: int) -> None:
        super().__init__(num_layers, num_rows, length)
        self.num_final: torch.LongTensor | None = None  # up to here a row is final, (batch,)

    def restart(self, first: torch.LongTensor) -> None:
        """Begins a call in which the rows of the canvas begin at some positions, `(batch,)`."""
        self.num_final = first

    def window_of(self, block: Block, takes_part: torch.BoolTensor) -> Window:
        """
        The positions that a step computes: the active block, and in its first step also what is before it and not final.
        This is the prompt, or the last block in which the row took part: its keys and values are older than its last tokens.
        """
        stop = block.start + block.length
        if block.num_passes > 0:
            return Window(block.start, stop, block.width)
        start = self.num_final
        self.num_final = torch.where(takes_part, block.start, start)
        return Window(start, stop, max(1, int(((stop - start) * takes_part).max())))


def heads_together(states: torch.Tensor) -> torch.Tensor:
    """A copy of `(batch, num_heads, length, head_dim)` states in which all heads of a position lie together."""
    return states.transpose(1, 2).clone(memory_format=torch.contiguous_format).transpose(1, 2)


def positions_of(states: torch.Tensor) -> torch.Tensor:
    """The states of each position, `(batch * length, num_heads, head_dim)`; in the same memory where it can be."""
    return states.transpose(1, 2).flatten(0, 1)


def window_of(block: Block, kind: str, visible: torch.LongTensor, length: int) -> Window:
    """
    The positions that a step of the active block recomputes, with a cache of a kind. `visible`, `(batch,)`, is the number
    of positions that each row sees, and `length` the largest of them, known without asking the device.
    """
    first, stop = block.span.start, block.span.stop
    if kind == "dual":
        return Window(block.start, block.start + block.length, block.width)
    if kind == "prefix":
        return Window(block.start, visible, length - first)
    start = (block.start - VICINITY).clamp(min=0)
    stop_of_row = (block.start + block.length + VICINITY).minimum(visible)
    width = block.width + 2 * VICINITY  # the windows of rows at different blocks have different lengths
    if block.is_aligned:
        width = min(length, stop + VICINITY) - max(0, first - VICINITY)
    return Window(start, stop_of_row, width)


__all__ = ["FinishedBlocksCache", "LLaDACache", "RowsCache"]
