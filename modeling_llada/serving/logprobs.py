# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Log-probabilities of tokens: each is that of the denoising step that committed the token, as the model saw the canvas then."""

import math
import reprlib
from dataclasses import dataclass
from typing import Any

from ..completion import BROKEN
from ..models.options_llada import check_integer
from .protocol import check_bool


LOWEST = -9999.0  # in the place of -inf, which JSON does not have
MAX_ALTERNATIVES = {"chat": 20, "text": 5}


@dataclass
class TokenLogprob:
    """A committed token: its text, its log-probability, those of the most probable tokens, and where its text begins."""

    text: str
    logprob: float
    alternatives: list[tuple[str, float]]
    offset: int


def log(probability: float) -> float:
    """The logarithm of a probability."""
    return max(math.log(probability), LOWEST) if probability > 0 else LOWEST


def read_chat_logprobs(fields: dict) -> int | None:
    """How many alternatives of each token a chat asks for; `None`: no log-probabilities."""
    has_logprobs = check_bool("logprobs", fields.get("logprobs", False))
    number = fields.get("top_logprobs", 0)
    check_integer("top_logprobs", number, 0, MAX_ALTERNATIVES["chat"])
    if number and not has_logprobs:
        raise ValueError(f"`top_logprobs` needs `logprobs=true`, but got {number} without it.")
    return number if has_logprobs else None


def read_text_logprobs(fields: dict) -> int | None:
    """How many alternatives of each token a request for a completion asks for; `None`: no log-probabilities."""
    number = fields.get("logprobs")
    if number is None or number is False:  # some clients send what chats have
        return None
    if fields.get("echo"):
        raise ValueError(
            f"`logprobs` must be left out with `echo`, but got {reprlib.repr(number)}: a masked model gives the tokens of a prompt "
            "no probability."
        )
    check_integer("logprobs", number, 0, MAX_ALTERNATIVES["text"])
    return number


def chat_logprobs(tokens: list[TokenLogprob]) -> dict[str, Any]:
    """The field `logprobs` of a choice of a chat."""

    def entry(text: str, logprob: float) -> dict[str, Any]:
        return {"token": text, "logprob": logprob, "bytes": None if BROKEN in text else list(text.encode())}

    content = [
        entry(token.text, token.logprob) | {"top_logprobs": [entry(*one) for one in token.alternatives]}
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def text_logprobs(tokens: list[TokenLogprob]) -> dict[str, Any]:
    """The field `logprobs` of a choice of a completion."""
    has_alternatives = any(token.alternatives for token in tokens)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [dict(token.alternatives) for token in tokens] if has_alternatives else None,
        "text_offset": [token.offset for token in tokens],
    }
