# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the event loop hears of an answer while the scheduler makes it."""

from collections.abc import Callable

import torch
from transformers.generation.streamers import BaseStreamer

from .answers import Commit, Draft


class CommitStreamer(BaseStreamer):
    """Hands over the tokens that are finished."""

    takes_confidences = True

    def __init__(self, send: Callable[[Commit | Draft], None]) -> None:
        self.send = send

    def put(self, value: torch.LongTensor, confidence: torch.FloatTensor) -> None:
        """Hands over the next tokens."""
        self.send(Commit(value.flatten().tolist(), confidence.flatten().tolist()))

    def end(self) -> None:
        """The job says when its answer is finished."""


class WatchingStreamer(CommitStreamer):
    """Hands over the canvas after each step, too, or the most probable tokens at the step that committed one."""

    takes_probabilities = True

    def __init__(self, send: Callable[[Commit | Draft], None], has_canvas: bool, num_alternatives: int) -> None:
        super().__init__(send)
        self.has_canvas, self.num_top_tokens = has_canvas, num_alternatives
        self.takes_steps = num_alternatives > 0
        self.num_put = self.step = 0
        self.alternatives: dict[int, list[tuple[int, float]]] = {}

    def put(self, value: torch.LongTensor, confidence: torch.FloatTensor) -> None:
        """Hands over the next tokens."""
        commit = Commit(value.flatten().tolist(), confidence.flatten().tolist(), self.alternatives)
        self.num_put, self.alternatives = self.num_put + len(commit.tokens), {}
        self.send(commit)

    def put_draft(
        self,
        value: torch.LongTensor,
        *,
        top_tokens: torch.LongTensor | None = None,
        top_probabilities: torch.FloatTensor | None = None,
        **more,
    ) -> None:
        """Hands over the rest of the canvas, `(1, length)`, and keeps the alternatives, `(1, num_positions, num_top_tokens)`."""
        if self.takes_steps:
            is_new = ~top_probabilities[0].isnan().all(-1)
            for place in is_new.nonzero()[:, 0].tolist():
                pairs = zip(top_tokens[0, place].tolist(), top_probabilities[0, place].tolist(), strict=True)
                self.alternatives[self.num_put + place] = [pair for pair in pairs if pair[0] >= 0]
        if self.has_canvas:
            self.send(Draft(self.step, value[0].tolist()))
        self.step += 1
