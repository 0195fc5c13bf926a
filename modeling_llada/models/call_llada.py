# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""A call of `generate`: what it was asked for, once it is checked, and what happens after each of its steps and blocks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .blocks_llada import Block, BlockGeometry, plan_blocks
from .canvas_llada import Canvas, end_rows, end_rows_behind, stop_rows
from .constrained_denoising_llada import CanvasConstraint
from .denoising_llada import Prediction
from .generation_config_llada import LLaDAGenerationConfig, as_tensor
from .stopping_llada import StopStrings, call_criteria
from .streamer_feed_llada import StreamerFeed


@dataclass
class Call:
    """
    A checked call. The method `_denoise` of [`LLaDAGenerationMixin`] fills its blocks, and a scheduler those of several calls
    at once. The canvas that the methods below are given is that of the denoiser. It may be longer than prompt and answer:
    masks may complete the last block, and a recording may add positions.
    """

    canvas: Canvas
    prompt_length: int
    config: LLaDAGenerationConfig
    geometry: BlockGeometry
    strategy: Callable | None
    generators: list[torch.Generator | None]
    processors: list[Callable]
    criteria: list[Callable]
    stop_strings: StopStrings | None
    pad_token_id: int | None
    feed: StreamerFeed | None = None
    constraint: CanvasConstraint | None = None

    @property
    def length(self) -> int:
        """The number of positions of prompt and answer."""
        return self.prompt_length + self.config.max_new_tokens

    @property
    def is_watched(self) -> bool:
        """Whether a streamer or a stopping criterion looks at each step."""
        return bool(self.criteria) or self.feed is not None

    def plan(self) -> list[Block]:
        """The blocks of the call, from left to right."""
        masked, block_length = self.canvas.masked(), self.config.block_length
        boundaries = self.geometry.boundaries(masked, self.canvas.attention_mask, self.prompt_length, block_length)
        return plan_blocks(masked, boundaries, self.config.steps, self.geometry.whole_block(block_length))

    def begin(self, canvas: Canvas) -> None:
        """Hands the prompt to the streamer, if it holds no mask."""
        if self.feed is not None and not canvas.masked()[:, : self.prompt_length].any():
            self.feed.put_confirmed(canvas, self.prompt_length)

    def after_step(self, canvas: Canvas, block: Block, prediction: Prediction | None) -> None:
        """
        Streams the step, and stops the rows that took part in it and that the criteria or a stop string stop. A call without
        criteria, and whose streamer does not take steps, needs no prediction.
        """
        if self.feed is not None:
            self.feed.put_draft(canvas, block, prediction)
        if self.criteria:
            answer = canvas.view(self.length)
            stop = call_criteria(self.criteria, answer.tokens.clone(), prediction.logits)
            stop_rows(answer, stop & prediction.mask.any(-1), self.pad_token_id)
        if self.config.is_final:  # else the text is final at the end of the block
            self._end_behind_strings(canvas)

    def after_block(self, canvas: Canvas, block: Block) -> bool:
        """Ends the rows whose answer holds an EOS, and streams the block. Returns whether all rows have ended."""
        answer, config = canvas.view(self.length), self.config
        self._end_behind_strings(canvas)  # a recording of fewer rows shows its tokens at the end of the block
        if config.stop_at_eos and block.span.stop > self.prompt_length:
            eos_token_ids = as_tensor(config.eos_token_id, canvas.tokens.device)
            end_rows(answer, self.prompt_length, eos_token_ids, self.pad_token_id)
        can_end = bool(config.stop_at_eos or self.criteria or self.stop_strings)
        is_end = can_end and bool(answer.ended.all())  # the host waits for the device only where a row can end
        if self.feed is not None:
            self.feed.put_confirmed(answer, block.span.stop if is_end else int((block.start + block.length).min()))
        return is_end

    def _end_behind_strings(self, canvas: Canvas) -> None:
        if self.stop_strings:
            answer = canvas.view(self.length)
            end_rows_behind(answer, self.stop_strings.find(answer), self.pad_token_id)


__all__ = ["Call"]
