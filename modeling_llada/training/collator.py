# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From rows to a noisy batch, padded on the right."""

from collections.abc import Sequence

import torch

from ..diffusion_llada import mask_tokens
from .row_order import NumberedRow


# The number of positions that a loss is computed for is a multiple of this, so that few different shapes occur: each new
# one costs a compiled graph, and on a CPU the preparation of bfloat16 kernels.
POSITIONS_MULTIPLE = 64


class MaskingCollator:
    """
    Pads rows on the right and masks tokens of their responses.

    A batch holds

    - `input_ids` and `attention_mask` of shape `(rows, length)`: the noisy rows;
    - `labels` of shape `(rows, length)`: the clean tokens where they are masked, -100 elsewhere;
    - `masked_positions` of shape `(num_positions,)`: where these are in the flattened rows, filled up with -1. Known here,
      so that the loss need not ask the device for their number;
    - `rates` and `response_lengths` of shape `(rows,)`: t, and the number of tokens that could be masked.

    Args:
        mask_token_id (`int`), eos_token_id (`int`), pad_token_id (`int`):
            Ids of the special tokens.
        eos_fill (`"longest"` or `int`, *optional*):
            Lengthens responses with EOS, which belong to them: up to the longest row of the batch, or to this length.
            A response that was cut off, so that it does not end with EOS, is not filled.
        pad_to_multiple_of (`int`, *optional*):
            Pads the length to a multiple of this.
    """

    def __init__(
        self,
        mask_token_id: int,
        eos_token_id: int,
        pad_token_id: int,
        eos_fill: str | int | None = None,
        pad_to_multiple_of: int | None = None,
    ):
        self.mask_token_id = mask_token_id
        self.eos_token_id = eos_token_id
        self.pad_token_id = pad_token_id
        self.eos_fill = eos_fill
        self.pad_to_multiple_of = pad_to_multiple_of or 1

    def __call__(self, rows: Sequence[NumberedRow]) -> dict[str, torch.Tensor]:
        longest = max(len(row.input_ids) for row in rows)
        fill_length = {None: 0, "longest": longest}.get(self.eos_fill, self.eos_fill)
        length = max(longest, fill_length)
        length = -(-length // self.pad_to_multiple_of) * self.pad_to_multiple_of

        noisy = torch.full((len(rows), length), self.pad_token_id)
        labels = torch.full((len(rows), length), -100)
        attention_mask = torch.zeros(len(rows), length, dtype=torch.long)
        rates = torch.tensor([row.rate for row in rows])
        response_lengths = torch.zeros(len(rows), dtype=torch.long)
        for i, row in enumerate(rows):
            clean, is_response = self._filled(row, fill_length)
            noisy_row, mask = mask_tokens(
                clean[None], rates[i : i + 1], self.mask_token_id, is_response[None], row.generator
            )
            noisy[i, : len(clean)] = noisy_row[0]
            labels[i, : len(clean)] = clean.masked_fill(~mask[0], -100)
            attention_mask[i, : len(clean)] = 1
            response_lengths[i] = is_response.sum()

        return {
            "input_ids": noisy,
            "attention_mask": attention_mask,
            "labels": labels,
            "masked_positions": _positions(labels != -100),
            "rates": rates,
            "response_lengths": response_lengths,
        }

    def _filled(self, row: NumberedRow, fill_length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean tokens of a row with the EOS that fill it, and which of them belong to the response."""
        clean, labels = torch.tensor(row.input_ids), torch.tensor(row.labels)
        missing = fill_length - len(clean)
        if missing > 0 and labels[-1] == self.eos_token_id:
            clean, labels = (
                torch.nn.functional.pad(x, (0, missing), value=self.eos_token_id) for x in (clean, labels)
            )
        return clean, labels != -100


def _positions(mask: torch.Tensor) -> torch.Tensor:
    positions = mask.flatten().nonzero().flatten()
    # At least one, so that the loss of a batch with nothing masked is a zero that has gradients.
    wanted = -(-max(1, len(positions)) // POSITIONS_MULTIPLE) * POSITIONS_MULTIPLE
    return torch.nn.functional.pad(positions, (0, wanted - len(positions)), value=-1)
