# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""What ends a row inside a block: stopping criteria, and stop strings."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedTokenizerBase

from .canvas_llada import Canvas
from .generation_config_llada import LLaDAGenerationConfig


def call_criteria(criteria: list[Callable], tokens: torch.LongTensor, scores: torch.FloatTensor) -> torch.BoolTensor:
    """Asks the criteria which rows to stop, `(batch,)`."""
    stop = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
    for criterion in criteria:
        one = criterion(tokens, scores)
        is_tensor = isinstance(one, torch.Tensor)
        if not isinstance(one, bool) and not (
            is_tensor and one.dtype == torch.bool and one.shape in ((), tokens.shape[:1])
        ):
            got = f"{one.dtype} of shape {tuple(one.shape)}" if is_tensor else repr(one)
            raise ValueError(
                f"`stopping_criteria` must return a boolean tensor of shape ({len(tokens)},), one for each row, or a "
                f"`bool`, but got {got}."
            )
        stop |= one.to(stop.device) if is_tensor else one
    return stop


@dataclass
class StopStrings:
    """
    Finds the rows whose answer holds a stop string, which may contain special tokens, before its first mask.

    That text is final. So a row ends with the same tokens, whenever its answer is looked at.
    """

    tokenizer: PreTrainedTokenizerBase
    strings: list[str]
    mask_token_id: int
    prompt_length: int
    seen: dict[int, int] = field(default_factory=dict)  # by row: known tokens of its answer at the last look

    @classmethod
    def create(
        cls, config: LLaDAGenerationConfig, tokenizer: PreTrainedTokenizerBase | None, prompt_length: int
    ) -> "StopStrings | None":
        """The stop strings of a call, if it has some."""
        strings = [config.stop_strings] if isinstance(config.stop_strings, str) else config.stop_strings
        if not strings:
            return None
        if not hasattr(tokenizer, "decode"):
            raise ValueError(
                f"`stop_strings` are looked for in the text, and need the `tokenizer` of the model, but got {tokenizer!r}. "
                "Pass `tokenizer=tokenizer` as well."
            )
        return cls(tokenizer, list(strings), config.mask_token_id, prompt_length)

    def find(self, canvas: Canvas) -> list[int | None]:
        """For each row the position after the token that completes its first stop string; `None` if there is none."""
        rows = canvas.tokens[:, self.prompt_length - 1 :]  # a word may depend on the token before it
        known = (rows[:, 1:] != self.mask_token_id).cumprod(-1).sum(-1)
        states = torch.cat([canvas.ended[:, None], known[:, None], rows], dim=1)  # the host waits for the device once
        return [
            None if has_ended else self._find_in(row, *tokens[: length + 1])
            for row, (has_ended, length, *tokens) in enumerate(states.tolist())
        ]

    def _find_in(self, row: int, before: int, *answer: int) -> int | None:
        if self.seen.get(row) == len(answer):
            return None
        self.seen[row] = len(answer)
        start = len(self.tokenizer.decode([before]))

        def holds(length: int) -> bool:
            text = self.tokenizer.decode([before, *answer[:length]])[start:]
            return any(string in text for string in self.strings)

        if not holds(len(answer)):
            return None
        return self.prompt_length + bisect_left(range(len(answer)), True, key=holds)


__all__ = ["StopStrings"]
