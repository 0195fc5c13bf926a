# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Where answers stand when they are scored: on the canvas that they were written on.

TRL has a prompt and a completion one behind the other. A canvas is made of these, and the scores of its tokens are brought back to
the places of the completion.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence


class WrittenRows(NamedTuple):
    """Rows without noise, `(rows, length)` each."""

    ids: torch.LongTensor
    seen: torch.BoolTensor  # no padding
    canvas: torch.BoolTensor  # what was masked when the answer was written
    answer: torch.BoolTensor  # what counts of it: up to the first EOS


@dataclass
class CanvasBehindPrompt:
    """An answer behind its prompt, filled up with EOS to the length of the canvas, so that the length of the answer does not leak."""

    length: int
    eos_token_id: int  # which fills up
    ends: list[int]  # the tokens that end an answer, EOS among them

    def rows(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor, num_answer: int) -> WrittenRows:
        """The rows of prompts, padded on the left, and of completions, padded on the right to `num_answer` tokens."""
        start, missing = input_ids.shape[1] - num_answer, self.length - num_answer
        seen, ids = pad(attention_mask.bool(), (0, missing)), pad(input_ids, (0, missing))
        canvas = (torch.arange(ids.shape[1], device=ids.device) >= start).expand(ids.shape)
        answer = seen & canvas
        return WrittenRows(ids.masked_fill(canvas & ~answer, self.eos_token_id), seen | canvas, canvas, answer)

    def of_completion(
        self, tokens: torch.FloatTensor, rows: WrittenRows, attention_mask: torch.Tensor, num_answer: int
    ) -> torch.FloatTensor:
        """The scores of completions, `(rows, num_answer)`. TRL only sums up to the EOS, so that has those behind it too."""
        tokens, answer = tokens[:, -self.length :], rows.answer[:, -self.length :]
        behind = tokens.masked_fill(answer, 0.0).sum(-1, keepdim=True)
        last = answer.sum(-1, keepdim=True) - 1
        return tokens.masked_fill(~answer, 0.0).scatter_add(1, last, behind)[:, :num_answer]

    def completions(self, filled: torch.LongTensor, prompts: torch.LongTensor, seen: torch.Tensor) -> torch.BoolTensor:
        """Where the completions stand in what `generate` has returned: behind the prompts, up to the first EOS."""
        is_canvas = torch.arange(filled.shape[1]) >= prompts.shape[1]
        is_eos = is_canvas & torch.isin(filled, torch.tensor(self.ends))
        return is_canvas & (is_eos.cumsum(-1) - is_eos.long() == 0)

    def kept_steps(self, steps: torch.LongTensor, places: torch.BoolTensor) -> torch.LongTensor:
        """The steps of the whole canvas, `(rows, length)`: what is behind the EOS was a mask, or seen, as well."""
        return steps[:, -self.length :]

    def steps(self, kept: torch.LongTensor, rows: WrittenRows, attention_mask: torch.Tensor) -> torch.LongTensor:
        """The kept steps at their places in the rows."""
        return pad(kept, (rows.ids.shape[1] - self.length, 0), value=-1)


@dataclass
class CanvasInPrompt:
    """An answer in the masks of its prompt, such as the empty cells of a Sudoku. The completion has its tokens in their order."""

    mask_token_id: int

    def rows(self, input_ids: torch.LongTensor, attention_mask: torch.Tensor, num_answer: int) -> WrittenRows:
        """The prompts with their masks filled; arguments as for [`CanvasBehindPrompt`]."""
        ids, seen = input_ids[:, :-num_answer], attention_mask[:, :-num_answer].bool()
        canvas = seen & (ids == self.mask_token_id)
        completions = input_ids[:, -num_answer:][attention_mask[:, -num_answer:].bool()]
        return WrittenRows(ids.masked_scatter(canvas, completions), seen, canvas, canvas)

    def of_completion(
        self, tokens: torch.FloatTensor, rows: WrittenRows, attention_mask: torch.Tensor, num_answer: int
    ) -> torch.FloatTensor:
        """The scores of completions, `(rows, num_answer)`."""
        places = attention_mask[:, -num_answer:].bool()
        return tokens.new_zeros(places.shape).masked_scatter(places, tokens[rows.canvas])

    def completions(self, filled: torch.LongTensor, prompts: torch.LongTensor, seen: torch.Tensor) -> torch.BoolTensor:
        """Where the completions stand in what `generate` has returned: in the masks of the prompts."""
        return (prompts == self.mask_token_id) & (seen > 0)

    def kept_steps(self, steps: torch.LongTensor, places: torch.BoolTensor) -> torch.LongTensor:
        """The steps of the completions, `(rows, longest completion)`, filled up with -1."""
        return pad_sequence([row[place] for row, place in zip(steps, places, strict=True)], True, -1)

    def steps(self, kept: torch.LongTensor, rows: WrittenRows, attention_mask: torch.Tensor) -> torch.LongTensor:
        """The kept steps at their places in the rows."""
        places = attention_mask[:, rows.ids.shape[1] :].bool()
        return torch.full_like(rows.ids, -1).masked_scatter(rows.canvas, kept[:, : places.shape[1]][places])
