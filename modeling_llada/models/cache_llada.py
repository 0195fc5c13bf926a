# Copyright 2026 The modeling_llada authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""The block cache: keys and values of the whole canvas, of which a denoising step recomputes a part.

LLaDA attends in both directions, so every key and value depends on every token, and a cache is an approximation: what is
outside the window of a step is as old as the last refresh. Three windows:
- `"dual"`: the active block alone (https://huggingface.co/papers/2505.22618);
- `"prefix"`: the active block and all that follows it (the same paper);
- `"vicinity"`: the active block and a few positions on both sides (https://huggingface.co/papers/2510.08666).
"""

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


VICINITY = 16  # positions on each side of the active block, as published


class LLaDACacheLayer(CacheLayerMixin):
    """The keys (after the rotary embedding) and values of one layer, for every position of the canvas."""

    is_compileable = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys, self.values = key_states.contiguous().clone(), value_states.contiguous().clone()
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, window: torch.LongTensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the recomputed positions in place, `None` for all of them, and returns those of the whole canvas."""
        if window is not None:
            self.keys.index_copy_(2, window, key_states)
            self.values.index_copy_(2, window, value_states)
        elif self.is_initialized and self.keys.shape == key_states.shape:
            self.keys.copy_(key_states)
            self.values.copy_(value_states)
        else:
            self.lazy_initialization(key_states, value_states)
        return self.keys, self.values

    def select_rows(self, rows: torch.LongTensor) -> None:
        """Keeps some rows of the batch."""
        self.keys, self.values = self.keys[rows], self.values[rows]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return (self.keys.shape[2] if self.is_initialized else query_length), 0

    def get_seq_length(self) -> int:
        # Bidirectional attention counts no past: the queries stand somewhere inside the canvas.
        return 0

    def get_max_length(self) -> int:
        return -1


class LLaDACache(Cache):
    """
    The block cache of a model, for one call of [`~LLaDAForMaskedLM.generate`].

    Args:
        num_layers (`int`):
            Layers of the model.

    Example:

    ```python
    >>> cache = LLaDACache(model.config.num_hidden_layers)
    >>> model(input_ids=canvas, cache=cache)  # a refresh: all positions

    >>> cache.window = torch.arange(32, 64)
    >>> model(input_ids=canvas[:, 32:64], position_ids=cache.window[None], cache=cache)
    ```
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__(layers=[LLaDACacheLayer() for _ in range(num_layers)])
        # The positions that the next forward pass recomputes; `None`: all of them.
        self.window: torch.LongTensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layers[layer_idx].update(key_states, value_states, self.window)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        # A refresh may have another batch or length than what is stored.
        return (query_length, 0) if self.window is None else self.layers[layer_idx].get_mask_sizes(query_length)

    def select_rows(self, rows: torch.LongTensor) -> None:
        """Keeps some rows of the batch, `(num_kept,)`."""
        for layer in self.layers:
            layer.select_rows(rows)

    def load(self, other: "LLaDACache", repeats: int) -> None:
        """Takes over the keys and values of another cache, each row several times."""
        for own, layer in zip(self.layers, other.layers, strict=True):
            own.update(layer.keys.repeat_interleave(repeats, dim=0), layer.values.repeat_interleave(repeats, dim=0))


def window_of(block: slice, kind: str, length: int) -> slice:
    """The positions that a step of a block recomputes."""
    if kind == "dual":
        return block
    if kind == "prefix":
        return slice(block.start, length)
    return slice(max(0, block.start - VICINITY), min(length, block.stop + VICINITY))


__all__ = ["LLaDACache"]
