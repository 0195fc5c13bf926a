# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""What a streamer gets while the canvas is being denoised: drafts after each step, and finished positions once."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers.generation.streamers import BaseStreamer

from .blocks_llada import Block
from .canvas_llada import Canvas
from .denoising_llada import Prediction


@dataclass
class StreamerFeed:
    """
    Hands the canvas of a call to its streamer.

    `length` is that of prompt and answer. The canvas may be longer: what is behind them is not streamed.
    """

    streamer: BaseStreamer
    prompt_length: int
    length: int
    mask_token_id: int
    num_confirmed: int = 0  # the positions that `put` has handed over
    step: int = 0

    def put_confirmed(self, canvas: Canvas, stop: int) -> None:
        """
        Hands over the positions before `stop`, which are finished in every row: the prompt as `(batch, prompt_length)`, and
        each part of the answer as `(num_positions,)` if there is one row, because streamers take its length for the number
        of tokens. A part of the prompt waits for the rest of it.

        A streamer with `takes_confidences = True` also gets the confidences of these positions, in the same shape: NaN for given
        tokens and for pads.
        """
        stop = min(stop, self.length)
        if self.num_confirmed == 0 and stop >= self.prompt_length:
            self._put(canvas, slice(0, self.prompt_length))
        if stop > self.num_confirmed > 0:
            self._put(canvas, slice(self.num_confirmed, stop))

    def _put(self, canvas: Canvas, where: slice) -> None:
        def part(values: torch.Tensor) -> torch.Tensor:
            values = values[:, where].to("cpu", copy=True)
            return values.squeeze(0) if where.start else values

        takes_confidences = getattr(self.streamer, "takes_confidences", False)
        self.streamer.put(
            part(canvas.tokens), **({"confidence": part(canvas.confidence)} if takes_confidences else {})
        )
        self.num_confirmed = where.stop

    def put_draft(self, canvas: Canvas, block: Block, prediction: Prediction) -> None:
        """
        Hands over the canvas after a step, without the positions that `put_confirmed` has handed over.

        A streamer with `takes_steps = True` also gets the step, the confidences and the three best tokens (or `num_top_tokens` of
        the streamer) of each position of the active block that was predicted (-1 elsewhere, and for tokens that were ruled out). One with `takes_probabilities = True` also gets the
        probabilities of these tokens where the step committed one (NaN elsewhere).
        """
        if not hasattr(self.streamer, "put_draft"):
            return
        step, self.step = self.step, self.step + 1
        rest = slice(self.num_confirmed, self.length)
        # A copy: the streamer may still hold it in a queue when the next step changes the canvas.
        value = canvas.tokens[:, rest].to("cpu", copy=True)
        if not getattr(self.streamer, "takes_steps", False):
            self.streamer.put_draft(value)
            return
        mask, scores = prediction.mask, prediction.scores
        proposable = scores.index_fill(-1, torch.tensor(self.mask_token_id, device=scores.device), -torch.inf)
        num_top = getattr(self.streamer, "num_top_tokens", 3)
        values, best = proposable.topk(min(num_top, scores.shape[-1]), dim=-1)
        best = F.pad(best.masked_fill(values == -torch.inf, -1), (0, num_top - best.shape[-1]), value=-1)
        top_tokens = self._in_canvas(canvas, block, mask, best, fill_value=-1)
        confidence = canvas.confidence[:, rest].to("cpu", copy=True)
        more = {}
        if getattr(self.streamer, "takes_probabilities", False):
            is_new = canvas.read(canvas.step, block) == canvas.num_forward_passes[:, None] - 1
            # A token that has moved was predicted elsewhere.
            is_new &= mask & (canvas.read(canvas.tokens, block) == prediction.proposal)
            rows = is_new[mask]
            # Normalised over all tokens, like confidences.
            known = (values[rows] - scores[rows].logsumexp(-1, keepdim=True)).exp()
            known = F.pad(known, (0, num_top - known.shape[-1])).float()
            more["top_probabilities"] = self._in_canvas(canvas, block, is_new, known, fill_value=torch.nan)
        self.streamer.put_draft(value, step=step, confidence=confidence, top_tokens=top_tokens, **more)

    def _in_canvas(
        self, canvas: Canvas, block: Block, where: torch.BoolTensor, values: torch.Tensor, fill_value: float
    ) -> torch.Tensor:
        """
        The values of some positions of the active block, `(num_positions, num_top)`, in their places: from the first position that
        is not handed over to the end of the block, `(batch, num_positions, num_top)`.
        """
        in_canvas = values.new_full((*canvas.tokens.shape, values.shape[-1]), fill_value)
        positions = block.positions(canvas.tokens.shape[1])
        in_canvas[where.nonzero()[:, 0], positions[where]] = values
        # Before the prompt is handed over, streamers learn its length from the shape.
        stop = min(block.span.stop, self.length) if self.num_confirmed else self.prompt_length
        return in_canvas[:, self.num_confirmed : stop].cpu()


__all__ = ["StreamerFeed"]
