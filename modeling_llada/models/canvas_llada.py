# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The canvas: the prompt and the answer of each row, and the state of each position while it is being denoised."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from .blocks_llada import Block
from .embeddings_llada import GivenEmbeddings


@dataclass
class Canvas:
    """
    The state of a call: the tokens, and for each position when and how surely it was committed.

    Args:
        tokens (`torch.LongTensor` of shape `(batch, length)`): Prompt and answer; undecided positions hold the mask.
        attention_mask (`torch.LongTensor` of shape `(batch, length)`): 0 for left padding.
        position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*): Only where the batch is padded.
        given (`torch.BoolTensor` of shape `(batch, length)`): Positions that were no mask at the start.
        step (`torch.IntTensor` of shape `(batch, length)`): The step of the row that committed a position, -1 elsewhere.
        confidence (`torch.FloatTensor` of shape `(batch, length)`): Its confidence at that step, NaN elsewhere.
        num_forward_passes (`torch.LongTensor` of shape `(batch,)`): Forward passes of each row.
        ended (`torch.BoolTensor` of shape `(batch,)`): Rows that stopped, at EOS or by a criterion.
        stopped (`torch.BoolTensor` of shape `(batch,)`): Rows that a criterion stopped before they were complete.
        end (`torch.LongTensor` of shape `(batch,)`, *optional*): Where `skip_after_eos` ends a row: at the first EOS that
            was committed in the answer.
        answer (`torch.BoolTensor` of shape `(batch, length)`, *optional*): The positions at which an EOS does so.
        embedded (`torch.BoolTensor` of shape `(batch, length)`, *optional*): Positions with an embedding of their own.
        embeddings (`torch.FloatTensor` of shape `(batch, length, hidden_size)`, *optional*): These embeddings.
    """

    tokens: torch.LongTensor
    attention_mask: torch.LongTensor
    position_ids: torch.LongTensor | None
    given: torch.BoolTensor
    step: torch.IntTensor
    confidence: torch.FloatTensor
    num_forward_passes: torch.LongTensor
    ended: torch.BoolTensor
    stopped: torch.BoolTensor
    end: torch.LongTensor | None = None
    answer: torch.BoolTensor | None = None
    embedded: torch.BoolTensor | None = None
    embeddings: torch.FloatTensor | None = None

    @classmethod
    def create(
        cls,
        input_ids,
        attention_mask,
        mask_token_id: int,
        max_new_tokens: int,
        skip_after_eos: bool = False,
        num_surplus: torch.LongTensor | None = None,
    ) -> "Canvas":
        """
        The prompt, followed by `max_new_tokens` masks, and in each row by a number of masks, `(batch,)`, that complete its
        last block.
        """
        batch_size, added = input_ids.shape[0], max_new_tokens
        if num_surplus is not None:
            added += int(num_surplus.max())
        answer_shape = (batch_size, added)
        tokens = torch.cat([input_ids, input_ids.new_full(answer_shape, mask_token_id)], dim=1)
        attention_mask = torch.cat([attention_mask, attention_mask.new_ones(answer_shape)], dim=1)
        if num_surplus is not None:
            end = input_ids.shape[1] + max_new_tokens + num_surplus[:, None]
            attention_mask *= torch.arange(tokens.shape[1], device=tokens.device) < end
        # Positions are counted from the first real token, so that a padded row decodes as it does alone.
        padded = not attention_mask.all()
        position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0) if padded else None
        more = {}
        if skip_after_eos:
            more["end"] = tokens.new_full((batch_size,), tokens.shape[1])
            more["answer"] = (torch.arange(tokens.shape[1], device=tokens.device) >= input_ids.shape[1]).expand_as(
                tokens
            )
        return cls(
            tokens=tokens,
            attention_mask=attention_mask,
            position_ids=position_ids,
            # A pad may have the id of the mask token. It must not be filled.
            given=(tokens != mask_token_id) | (attention_mask == 0),
            step=torch.full_like(tokens, -1, dtype=torch.int32),
            confidence=torch.full(tokens.shape, torch.nan, dtype=torch.float32, device=tokens.device),
            num_forward_passes=tokens.new_zeros(batch_size),
            ended=torch.zeros(batch_size, dtype=torch.bool, device=tokens.device),
            stopped=torch.zeros(batch_size, dtype=torch.bool, device=tokens.device),
            **more,
        )

    def unfilled(self) -> torch.BoolTensor:
        """The positions without a token, `(batch, length)`, in rows that have not ended."""
        return ~self.given & (self.step < 0) & ~self.ended[:, None]

    def masked(self) -> torch.BoolTensor:
        """The positions that wait for a token, `(batch, length)`: the unfilled ones before the end of their row."""
        return self._before_end(self.unfilled())

    def writable(self) -> torch.BoolTensor:
        """The positions that steps fill, `(batch, length)`, in rows that have not ended: masks, and tokens that were masks."""
        return self._before_end(~self.given & ~self.ended[:, None])

    def _before_end(self, where: torch.BoolTensor) -> torch.BoolTensor:
        """Those of some positions, `(batch, length)`, that are before the end of their row."""
        if self.end is None:
            return where
        return where & (torch.arange(where.shape[1], device=where.device) < self.end[:, None])

    def cut_behind(self, eos_token_ids: torch.LongTensor) -> None:
        """Moves the end of each row to the first EOS in its answer."""
        is_eos = torch.isin(self.tokens, eos_token_ids) & self.answer
        self.end.copy_(torch.where(is_eos.any(-1), is_eos.byte().argmax(-1), is_eos.shape[1]))

    def embed(self, embeddings: GivenEmbeddings | None) -> None:
        """Gives the first positions of the canvas embeddings of their own."""
        if embeddings is not None:
            added = self.tokens.shape[1] - embeddings.where.shape[1]
            self.embedded = F.pad(embeddings.where, (0, added))
            self.embeddings = F.pad(embeddings.values, (0, 0, 0, added))

    def embeddings_at(
        self, rows: torch.LongTensor | slice, positions: torch.LongTensor | int
    ) -> GivenEmbeddings | None:
        """The given embeddings of some rows, of the first `positions` or at `positions`, `(rows, num_positions)`."""
        if self.embeddings is None:
            return None
        where, values = self.embedded[rows], self.embeddings[rows]
        if isinstance(positions, int):
            return GivenEmbeddings(where[:, :positions], values[:, :positions])
        return GivenEmbeddings(
            where.take_along_dim(positions, dim=1), values.take_along_dim(positions[..., None], dim=1)
        )

    def masked_in(self, block: Block) -> torch.BoolTensor:
        """The positions of the active block that wait for a token, `(batch, block_length)`."""
        return self.read(self.masked(), block) & block.inside

    def writable_in(self, block: Block) -> torch.BoolTensor:
        """The positions of the active block that steps fill, `(batch, block_length)`."""
        return self.read(self.writable(), block) & block.inside

    def read(self, values: torch.Tensor, block: Block) -> torch.Tensor:
        """The part of `values`, `(batch, length)`, that belongs to the active block: `(batch, block_length)`."""
        return values.take_along_dim(block.positions(values.shape[1]), dim=1)

    def write(self, block: Block, where: torch.BoolTensor, **fields: torch.Tensor | float) -> None:
        """
        Writes new values of some fields of the active block where `where` holds; all are `(batch, block_length)`, or one
        number.
        """
        positions = block.positions(self.tokens.shape[1])
        for name, new in fields.items():
            values = getattr(self, name)
            values.scatter_(1, positions, torch.where(where, new, values.take_along_dim(positions, dim=1)))

    def view(self, length: int) -> "Canvas":
        """Its first positions, in the same memory."""
        return self._map(lambda value: value[:, :length] if value.ndim > 1 else value)

    def row(self, row: int, length: int) -> "Canvas":
        """The first positions of one row, `(1, length)`, in the same memory."""
        return self._map(lambda value: value[row : row + 1, :length] if value.ndim > 1 else value[row : row + 1])

    def padded(self, length: int, mask_token_id: int) -> "Canvas":
        """A longer canvas. What is added is neither seen nor filled."""
        batch_size, own_length = self.tokens.shape
        position_ids = self.position_ids
        if position_ids is None:
            position_ids = torch.arange(own_length, device=self.tokens.device).expand(batch_size, -1)
        # The mask token, since the pad token is often the EOS token and would end the row.
        fill = {"tokens": mask_token_id, "given": True, "step": -1, "confidence": torch.nan}
        values = vars(self) | {"position_ids": position_ids}
        return Canvas(
            **{
                name: value if value is None or value.ndim == 1 else pad_positions(value, length, fill.get(name, 0))
                for name, value in values.items()
            }
        )

    def copy(self) -> "Canvas":
        """A canvas in memory of its own."""
        return self._map(torch.clone)

    def repeat(self, repeats: int) -> "Canvas":
        """Each row several times, the copies next to each other."""
        return self._map(lambda value: value.repeat_interleave(repeats, dim=0))

    def select(self, rows: torch.LongTensor) -> "Canvas":
        """Some of its rows, in memory of their own."""
        return self._map(lambda value: value[rows])

    def put(self, rows: torch.LongTensor, other: "Canvas") -> None:
        """Copies the state of some rows."""
        for name, value in vars(other).items():
            if value is not None:
                getattr(self, name).index_copy_(0, rows, value)

    def copy_from(self, other: "Canvas") -> None:
        """Copies the state of a canvas of the same shape."""
        for name, value in vars(other).items():
            if value is not None:
                getattr(self, name).copy_(value)

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "Canvas":
        values = {name: value for name, value in vars(self).items() if value is not None}
        return replace(self, **{name: function(value) for name, value in values.items()})


def pad_positions(values: torch.Tensor, length: int, fill_value: float) -> torch.Tensor:
    """`(batch, own_length, ...)` values at more positions, `(batch, length, ...)`."""
    return F.pad(values, (0, 0) * (values.ndim - 2) + (0, length - values.shape[1]), value=fill_value)


def write_commits(
    canvas: Canvas,
    block: Block,
    commit: torch.BoolTensor,
    proposal: torch.LongTensor,
    confidence: torch.FloatTensor,
    cuts: torch.LongTensor | None,
) -> None:
    """
    Writes the committed proposals into the canvas, with their confidence and the step of their row; all of shape
    `(batch, block_length)`. The tokens `cuts` end their row, see `Canvas.end`.
    """
    step = canvas.num_forward_passes[:, None].int() - 1
    canvas.write(block, where=commit, tokens=proposal, step=step, confidence=confidence.clamp(min=0))
    if cuts is not None:
        canvas.cut_behind(cuts)


def end_rows(
    canvas: Canvas, prompt_length: int, eos_token_ids: torch.LongTensor | None, pad_token_id: int | None
) -> None:
    """
    Ends the rows whose answer holds an EOS. What follows the first EOS becomes pads. An EOS inside the prompt does not count.
    Called at the end of a block, when no mask is left before the EOS.
    """
    if eos_token_ids is None:
        return
    is_eos = torch.isin(canvas.tokens, eos_token_ids)
    is_eos[:, :prompt_length] = False
    # A stopped row has pads in its gaps, often the EOS token. The tokens behind them must stay.
    is_eos[canvas.stopped] = False
    write_pads(canvas, (is_eos.cumsum(-1) - is_eos.long()) > 0, pad_token_id)
    canvas.ended |= is_eos.any(-1)


def stop_rows(canvas: Canvas, stop: torch.BoolTensor, pad_token_id: int) -> None:
    """Stops rows, `(batch,)`: all masks that are left in them become pads."""
    is_incomplete = (canvas.masked() & stop[:, None]).any(-1)
    write_pads(canvas, canvas.unfilled() & stop[:, None], pad_token_id)
    canvas.stopped |= is_incomplete
    canvas.ended |= stop


def end_rows_behind(canvas: Canvas, ends: list[int | None], pad_token_id: int) -> None:
    """Ends rows at given positions, one for each row or `None`: all that follows becomes pads."""
    if all(end is None for end in ends):
        return
    length, device = canvas.tokens.shape[1], canvas.tokens.device
    end = torch.tensor([length if end is None else end for end in ends], device=device)
    write_pads(canvas, torch.arange(length, device=device) >= end[:, None], pad_token_id)
    canvas.ended |= torch.tensor([end is not None for end in ends], device=device)


def check_confidences(canvas: Canvas) -> None:
    """Refuses a canvas with tokens that were not chosen but are left over: their logits were NaN or infinite."""
    is_broken = (canvas.step >= 0) & canvas.confidence.isnan()
    if is_broken.any():
        raise ValueError(
            f"The logits were NaN or infinite for {int(is_broken.sum())} tokens of the completion, so it means nothing. "
            "Usual causes: weights that are NaN or overflow in their dtype, a `logits_processor` that rules out every "
            "token that `suppress_tokens` leaves, or a very large `cfg_scale`."
        )


def write_pads(canvas: Canvas, positions: torch.BoolTensor, pad_token_id: int) -> None:
    """Writes pads. No step counts as having committed them."""
    canvas.tokens.masked_fill_(positions, pad_token_id)
    canvas.step.masked_fill_(positions, -1)
    canvas.confidence.masked_fill_(positions, torch.nan)
