# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Makes batches of pairs with their noise, padded on the right."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from ..masking.collator import filled_positions
from ..masking.evidence_bound import draw_weights
from .ordered_pairs import NumberedPair


@dataclass
class PairCollator:
    """
    Pads the rows of pairs, and draws the noise of their responses. The first half of a batch has the chosen responses, and the
    second the rejected ones.

    A batch holds

    - `input_ids`, `attention_mask` and `completion_mask` of shape `(rows, length)`: the rows without noise, and which tokens
      belong to responses;
    - `weights` of shape `(rows, samples, length)`: those of masked tokens in the bound, and 0 elsewhere;
    - `masked_positions` of shape `(num_positions,)`: where weights are not 0, in all of them flattened, filled up with -1;
    - with `shared_noise=False`, `reference_weights` and `reference_masked_positions`: the noise of the reference, which is otherwise the
      same.

    `eos_fill` extends responses with EOS, which belong to them, up to the longer one of the pair (`"longest"`) or to a number of
    tokens of the row. A response that was cut off, and so does not end with EOS, is not extended.
    """

    eos_token_id: int
    pad_token_id: int
    num_samples: int
    antithetic: bool
    shared_noise: bool = True
    eos_fill: str | int | None = None
    pad_to_multiple_of: int | None = None
    block_length: int | None = None

    def __call__(self, pairs: Sequence[NumberedPair]) -> dict[str, torch.Tensor]:
        rows = [row for pair in pairs for row in self._rows(pair)]
        rows = rows[::2] + rows[1::2]  # chosen, then rejected
        # The draws of a row do not depend on the others, but those of a pair follow each other.
        generators = [pair.generator for pair in pairs] * 2
        multiple = self.pad_to_multiple_of or 1
        length = -(-max(len(row) for row, _ in rows) // multiple) * multiple
        places = torch.arange(length)
        starts = torch.tensor([start for _, start in rows])[:, None]
        ends = torch.tensor([len(row) for row, _ in rows])[:, None]
        is_response = (places >= starts) & (places < ends)
        batch = {
            "input_ids": torch.stack([pad(row, (0, length - len(row)), value=self.pad_token_id) for row, _ in rows]),
            "attention_mask": (places < ends).long(),
            "completion_mask": is_response.long(),
        }
        for prefix in ("",) if self.shared_noise else ("", "reference_"):
            weights = draw_weights(is_response, self.num_samples, self.antithetic, generators, self.block_length)
            batch |= {f"{prefix}weights": weights, f"{prefix}masked_positions": filled_positions(weights > 0)}
        return batch

    def _rows(self, pair: NumberedPair) -> list[tuple[torch.LongTensor, int]]:
        """The tokens of both rows, and where the response begins."""
        start = len(pair.prompt_ids)
        rows = [torch.tensor(pair.prompt_ids + response) for response in (pair.chosen_ids, pair.rejected_ids)]
        wanted = max(map(len, rows)) if self.eos_fill == "longest" else self.eos_fill or 0
        return [(self._filled(row, wanted), start) for row in rows]

    def _filled(self, row: torch.LongTensor, wanted: int) -> torch.LongTensor:
        missing = wanted - len(row) if row[-1] == self.eos_token_id else 0
        return pad(row, (0, max(0, missing)), value=self.eos_token_id)
