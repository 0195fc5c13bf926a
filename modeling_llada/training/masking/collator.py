# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Makes noisy batches of rows, padded on the right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from .corruption import replace_tokens
from .mask_sources import RowMask, trajectory_mask, uniform_mask
from .row_order import NumberedRow


# The arguments of a model that replace the attention mask for packed rows.
KEPT_APART = ("position_ids", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")

# The number of masked positions is filled up to a multiple of this, so that few shapes occur: each new shape costs a
# compiled graph, and on a CPU the preparation of bfloat16 kernels.
POSITIONS_MULTIPLE = 64


@dataclass
class MaskingCollator:
    """
    Pads rows, or lists of documents that share a row, on the right, and masks tokens of their responses.

    A batch holds

    - `input_ids` and `attention_mask` of shape `(rows, length)`: the noisy rows;
    - `clean_ids` of shape `(rows, length)`: the rows without noise;
    - `labels` of shape `(rows, length)`: the clean tokens where they are predicted, -100 elsewhere. These are the masked ones,
      and in rows with a `corruption_rate` all tokens of the responses;
    - `masked_positions` of shape `(num_positions,)`: their positions in the flattened rows, filled up with -1. They are
      found here, because asking a device for their number would wait for it;
    - `rates`, `response_lengths` and `num_predicted` of shape `(documents,)`: t, the number of tokens that could be masked, and
      of those that are predicted. A row that is not packed is one document. With the mask source `"block"` of a row, the
      tokens of its block could be masked;
    - `documents` of shape `(rows, length)`: the document of each position; -1 for padding;
    - for packed rows, `position_ids` that restart with each document, and the arguments that separate documents in every
      attention implementation, where padding counts as a document: `cu_seq_lens_q`, `cu_seq_lens_k`, `max_length_q`,
      `max_length_k`.

    `eos_fill` extends responses with EOS, which belong to them, up to the longest row of the batch, to a length, or to a
    multiple of `block_length` for `"block"`. A response that was cut off, and so does not end with EOS, is not extended.

    With `complementary_masks` each row is followed by a copy in which the other tokens of its response are masked, at the rate
    1 - t. Replaced tokens are drawn from a vocabulary of `vocab_size`.
    """

    mask_token_id: int
    eos_token_id: int
    pad_token_id: int
    eos_fill: str | int | None = None
    pad_to_multiple_of: int | None = None
    block_length: int | None = None
    complementary_masks: bool = False
    vocab_size: int | None = None

    def __call__(self, rows: Sequence[NumberedRow | list[NumberedRow]]) -> dict[str, torch.Tensor | int]:
        packed = [[row] if isinstance(row, NumberedRow) else row for row in rows]
        longest = max(sum(len(document.input_ids) for document in row) for row in packed)
        fill_length = {None: 0, "longest": longest, "block": 0}.get(self.eos_fill, self.eos_fill)
        filled = [[self._filled(document, fill_length if len(row) == 1 else 0) for document in row] for row in packed]
        longest = max(fill_length, *(sum(len(clean) for clean, _ in row) for row in filled))
        multiple = self.pad_to_multiple_of or 1
        copies = 2 if self.complementary_masks else 1
        shape = copies * len(packed), -(-longest // multiple) * multiple

        noisy, clean_ids = torch.full(shape, self.pad_token_id), torch.full(shape, self.pad_token_id)
        labels, documents = torch.full(shape, -100), torch.full(shape, -1)
        numbers = []  # the rate of each document, the length of its response, and the number of predicted tokens
        for i, row in enumerate(packed):
            start = 0
            for document, (clean, is_response) in zip(row, filled[i], strict=True):
                place = slice(start, start + len(clean))
                for copy, mask in enumerate(self._masks(document, clean, is_response)):
                    j = copies * i + copy
                    drawn, is_predicted = self._noisy(document, clean, mask)
                    noisy[j, place], clean_ids[j, place] = drawn, clean
                    labels[j, place] = clean.masked_fill(~is_predicted, -100)
                    documents[j, place] = len(numbers)
                    numbers.append((mask.rate, int(mask.is_maskable.sum()), int(is_predicted.sum())))
                start = place.stop

        rates, response_lengths, num_predicted = zip(*numbers, strict=True)
        return {
            "input_ids": noisy,
            "clean_ids": clean_ids,
            "attention_mask": (documents >= 0).long(),
            "labels": labels,
            "masked_positions": filled_positions(labels != -100),
            "rates": torch.tensor(rates),
            "response_lengths": torch.tensor(response_lengths),
            "num_predicted": torch.tensor(num_predicted),
            "documents": documents,
        } | (_kept_apart(documents) if len(numbers) > len(noisy) else {})

    def _masks(self, row: NumberedRow, clean: torch.Tensor, is_response: torch.Tensor) -> Iterator[RowMask]:
        """The mask of a row, and that of its copy."""
        if row.mask_source == "trajectory":
            mask = trajectory_mask(row.commit_steps, is_response, row.rate)
        else:
            length = self.block_length if row.mask_source == "block" else None
            mask = uniform_mask(clean, is_response, row.rate, self.mask_token_id, row.generator, length)
        yield mask
        if self.complementary_masks:
            yield mask.complement()

    def _noisy(self, row: NumberedRow, clean: torch.Tensor, drawn: RowMask) -> tuple[torch.Tensor, torch.BoolTensor]:
        """The noisy tokens of a row, and which of them are predicted."""
        noisy, is_predicted = clean.masked_fill(drawn.mask, self.mask_token_id), drawn.mask
        if row.corruption_rate:
            options = row.corruption_rate, self.mask_token_id, self.vocab_size, row.generator
            noisy = replace_tokens(noisy, drawn.is_maskable & ~drawn.mask, *options)
            is_predicted = drawn.is_maskable
        if drawn.is_behind is not None:
            noisy = noisy.masked_fill(drawn.is_behind, self.mask_token_id)
        return noisy, is_predicted

    def _filled(self, row: NumberedRow, fill_length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean tokens of a row with the added EOS, and which of them belong to the response."""
        clean, labels = torch.tensor(row.input_ids), torch.tensor(row.labels)
        missing = -len(clean) % self.block_length if self.eos_fill == "block" else fill_length - len(clean)
        if missing > 0 and self._may_fill(labels):
            clean, labels = (
                torch.nn.functional.pad(x, (0, missing), value=self.eos_token_id) for x in (clean, labels)
            )
        return clean, labels != -100

    def _may_fill(self, labels: torch.Tensor) -> bool:
        return bool(labels[-1] == self.eos_token_id)


def _kept_apart(documents: torch.Tensor) -> dict[str, torch.Tensor | int]:
    """Tells the model, and the kernels of flash attention, where documents begin in the flattened batch."""
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = begins.flatten().nonzero().flatten()
    cu_seq_lens = torch.cat([starts, torch.tensor([documents.numel()])])
    position_ids = torch.arange(documents.numel()) - torch.repeat_interleave(starts, cu_seq_lens.diff())
    cu_seq_lens, longest = cu_seq_lens.to(torch.int32), int(cu_seq_lens.diff().max())
    return {
        "position_ids": position_ids.view(documents.shape),
        "cu_seq_lens_q": cu_seq_lens,
        "cu_seq_lens_k": cu_seq_lens,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def filled_positions(mask: torch.Tensor) -> torch.Tensor:
    """The positions of a mask in the flattened batch, filled up with -1 to a multiple; see `POSITIONS_MULTIPLE`."""
    positions = mask.flatten().nonzero().flatten()
    # At least one position, so that the loss of a batch without masked tokens is a zero that has gradients.
    wanted = -(-max(1, len(positions)) // POSITIONS_MULTIPLE) * POSITIONS_MULTIPLE
    return torch.nn.functional.pad(positions, (0, wanted - len(positions)), value=-1)


def stack_images(rows: Sequence[dict[str, torch.Tensor] | None]) -> dict[str, torch.Tensor]:
    """The images of rows one after the other, filled up with tiles of zeros; nothing without images."""
    rows = [row for row in rows if row is not None]
    if not rows:
        return {}
    most = max(row["pixel_values"].shape[1] for row in rows)
    stacked = {name: torch.cat([row[name] for row in rows]) for name in ("image_sizes", "num_tiles")}
    tiles = [_filled_tiles(row["pixel_values"], most) for row in rows]
    return {"pixel_values": torch.cat(tiles)} | stacked


def _filled_tiles(pixels: torch.Tensor, count: int) -> torch.Tensor:
    return torch.nn.functional.pad(pixels, (0, 0, 0, 0, 0, 0, 0, count - pixels.shape[1]))
