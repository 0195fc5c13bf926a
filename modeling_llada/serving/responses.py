# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The objects of OpenAI's API that answers are sent as, whole and in the events of a stream."""

import json
import time
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from .answers import Piece
from .logprobs import TokenLogprob, chat_logprobs, text_logprobs


@dataclass
class Response(ABC):
    """The objects of one answer. Log-probabilities are in it if the request asks for them."""

    model: str
    has_logprobs: bool
    id: str = field(init=False)
    created: int = field(init=False)

    prefix = ""  # of the id
    kind = ""  # of a whole answer
    kind_of_chunk = ""

    def __post_init__(self) -> None:
        self.id, self.created = f"{self.prefix}-{uuid.uuid4().hex}", int(time.time())

    def whole(self, answers: list[Piece], usage: dict) -> dict[str, Any]:
        """A whole answer."""
        choices = [self.choice(index, piece) for index, piece in enumerate(answers)]
        return self._envelope(self.kind, choices) | {"usage": usage}

    def chunk(self, index: int, piece: Piece, **more: Any) -> dict[str, Any]:
        """A part of a choice."""
        return self._envelope(self.kind_of_chunk, [self.part(index, piece) | more])

    def usage_chunk(self, usage: dict) -> dict[str, Any]:
        """The last chunk, which has no choice."""
        return self._envelope(self.kind_of_chunk, []) | {"usage": usage}

    def first_chunks(self, num_choices: int) -> list[dict[str, Any]]:
        """What a stream begins with."""
        return []

    @abstractmethod
    def choice(self, index: int, piece: Piece) -> dict[str, Any]:
        """A whole choice."""

    @abstractmethod
    def part(self, index: int, piece: Piece) -> dict[str, Any]:
        """A part of a choice."""

    @abstractmethod
    def logprobs(self, tokens: list[TokenLogprob]) -> dict[str, Any]:
        """The field `logprobs`."""

    def _envelope(self, kind: str, choices: list[dict]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def _end_of(self, piece: Piece) -> dict[str, Any]:
        logprobs = self.logprobs(piece.tokens) if self.has_logprobs and (piece.tokens or piece.text) else None
        return {"logprobs": logprobs, "finish_reason": piece.finish_reason}


class ChatResponse(Response):
    """The answer to a chat."""

    prefix, kind, kind_of_chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def first_chunks(self, num_choices: int) -> list[dict[str, Any]]:
        delta = {"role": "assistant", "content": ""}
        return [self.chunk(index, Piece(), delta=delta) for index in range(num_choices)]

    def choice(self, index: int, piece: Piece) -> dict[str, Any]:
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {"index": index, "message": message, **self._end_of(piece)}

    def part(self, index: int, piece: Piece) -> dict[str, Any]:
        return {"index": index, "delta": {"content": piece.text} if piece.text else {}, **self._end_of(piece)}

    def logprobs(self, tokens: list[TokenLogprob]) -> dict[str, Any]:
        return chat_logprobs(tokens)


class TextResponse(Response):
    """The answer to a prompt."""

    prefix, kind, kind_of_chunk = "cmpl", "text_completion", "text_completion"

    def choice(self, index: int, piece: Piece) -> dict[str, Any]:
        return {"index": index, "text": piece.text, **self._end_of(piece)}

    part = choice

    def logprobs(self, tokens: list[TokenLogprob]) -> dict[str, Any]:
        return text_logprobs(tokens)


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """The field `usage`."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def canvas_of(piece: Piece, tokenizer: PreTrainedTokenizerBase, mask_token_id: int) -> dict[str, Any]:
    """The field `canvas`: the texts of the tokens behind what the stream has sent, and null for masks."""
    draft = piece.canvas
    texts = [None if token == mask_token_id else tokenizer.decode([token]) for token in draft.tokens]
    return {"step": draft.step, "tokens": texts}


def event(content: dict | str) -> str:
    """An event of a stream."""
    return f"data: {content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)}\n\n"
