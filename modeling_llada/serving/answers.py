# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The text of an answer, read while its tokens are committed. What was read is never taken back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from transformers import PreTrainedTokenizerBase

from ..completion import BROKEN, completion_text
from ..models.generation_config_llada import LLaDAGenerationConfig, as_tensor
from .logprobs import TokenLogprob, log
from .prompts import Prompt


@dataclass
class Commit:
    """
    Tokens that are finished, from left to right; `NaN` is the confidence of those that were given, and of pads.
    `alternatives` has the most probable tokens at some positions of the canvas with their probabilities.
    """

    tokens: list[int]
    confidences: list[float]
    alternatives: dict[int, list[tuple[int, float]]] = field(default_factory=dict)


@dataclass
class Draft:
    """The tokens of a canvas after a step, behind those that are finished."""

    step: int
    tokens: list[int]


@dataclass
class Piece:
    """A part of an answer: text, tokens, the canvas if somebody watches it, and at the end the reason for it."""

    text: str = ""
    tokens: list[TokenLogprob] = field(default_factory=list)
    canvas: Draft | None = None
    finish_reason: str | None = None


class AnswerReader:
    """
    Reads an answer. Its text ends before the first EOS or stop string; the end of a text waits while it may be the beginning of
    one, or is half a character.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer of the model.
        prompt ([`Prompt`]): The prompt.
        config ([`LLaDAGenerationConfig`]): The options of the whole call.
        is_constrained (`bool`): Whether the answer is complete by a constraint.
        has_logprobs (`bool`): Whether the tokens are wanted.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Prompt,
        config: LLaDAGenerationConfig,
        is_constrained: bool = False,
        has_logprobs: bool = False,
    ) -> None:
        self.tokenizer, self.prompt, self.has_logprobs = tokenizer, prompt, has_logprobs
        ends = as_tensor(config.eos_token_id, "cpu") if config.stop_at_eos else None
        self.ends = [] if ends is None else ends.tolist()
        self.stop: Sequence[str] = config.stop_strings or ()
        self.is_complete = is_constrained or config.max_new_tokens == 0  # however long it is
        self.tokens: list[int] = []
        self.num_written = 0
        self.has_ended = False
        self.shown = ""  # of the prompt
        self.text = ""  # that was read
        self.offset = 0

    def read(self, commit: Commit) -> Piece:
        """Reads further tokens. The first ones are those of the prompt."""
        piece, begins = Piece(), not self.tokens
        for token, confidence in zip(commit.tokens, commit.confidences, strict=True):
            position, is_given = len(self.tokens), math.isnan(confidence)
            if position >= self.prompt.length and (is_given or token in self.ends):
                self.has_ended = True
                break
            self.tokens.append(token)
            self.num_written += not is_given
            if self.has_logprobs and not is_given:
                piece.tokens.append(self._logprob(position, confidence, commit.alternatives.get(position, [])))
            if self.has_logprobs and self._is_in_text(position):
                self.offset += len(self._text_of(position, token))
        if begins:
            self.shown = self.prompt.shown_text(self.tokenizer, self.tokens[: self.prompt.length])
        piece.text = self._new_text(is_end=False)
        return piece

    def finish(self) -> Piece:
        """The end of the answer: what is left of the text, and whether it ends by itself."""
        text = self._new_text(is_end=True)
        is_stopped = self.has_ended or self.is_complete or self._cut(self._completion()) is not None
        return Piece(text, finish_reason="stop" if is_stopped else "length")

    def _completion(self) -> str:
        if len(self.tokens) <= self.prompt.length:
            return ""
        return completion_text(self.tokenizer, self.tokens, self.prompt.length)

    def _cut(self, text: str) -> int | None:
        """Where the first stop string begins."""
        return min((start for string in self.stop if (start := text.find(string)) >= 0), default=None)

    def _new_text(self, is_end: bool) -> str:
        """The text that was not read yet and is final."""
        text = self._completion()
        cut = self._cut(text)
        if cut is not None:
            text = text[:cut]
        elif not is_end:
            text = text[: len(text) - held_back(text, self.stop)].rstrip(BROKEN)
        text = self.shown + text
        if not is_end and not text.startswith(self.text):  # a tokenizer that decodes the end in another way
            return ""
        new = text[len(self.text) :]
        self.text += new
        return new

    def _logprob(self, position: int, confidence: float, alternatives: list[tuple[int, float]]) -> TokenLogprob:
        others = [(self._text_of(position, token), log(probability)) for token, probability in alternatives]
        return TokenLogprob(self._text_of(position, self.tokens[position]), log(confidence), others, self.offset)

    def _is_in_text(self, position: int) -> bool:
        """Whether a token is a part of the text of the answer."""
        gap, is_prompt = self.prompt.gap, position < self.prompt.length
        is_shown = position in range(gap.start, gap.stop) if gap is not None else self.prompt.is_shown or not is_prompt
        return is_shown and self.tokens[position] not in self.tokenizer.all_special_ids

    def _text_of(self, position: int, token: int) -> str:
        """The text of a token behind the one before the position."""
        before = self.tokens[max(position - 1, 0) : position]
        return completion_text(self.tokenizer, [*before, token], len(before), skip_special_tokens=False)


def held_back(text: str, strings: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of one of some strings."""
    beginnings = chain.from_iterable((string[:length] for length in range(1, len(string))) for string in strings)
    return max((len(beginning) for beginning in beginnings if text.endswith(beginning)), default=0)
