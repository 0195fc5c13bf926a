# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The fields of requests: which have a meaning here, which are taken and ignored, and which are refused."""

import json
import reprlib
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .request_options import DECODING_FIELDS


COMMON_FIELDS = {
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "n",
    "stop",
    "seed",
    "logprobs",
    "response_format",
    "generation_config",
    *DECODING_FIELDS,
}
CHAT_FIELDS = COMMON_FIELDS | {"messages", "max_completion_tokens", "top_logprobs", "chat_template_kwargs"}
TEXT_FIELDS = COMMON_FIELDS | {"prompt", "suffix", "echo", "best_of"}
# Fields of OpenAI's API that are taken and ignored: they are about the account, or hints.
IGNORED_FIELDS = {
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "parallel_tool_calls",
    "prediction",
    "reasoning_effort",
    "verbosity",
}
# Fields of OpenAI's API that would change the answer and are not supported, with their neutral values.
NEUTRAL_FIELDS = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
}


def read_fields(body: dict, known: set[str]) -> dict:
    """
    The fields of a request that have a meaning here. A field that is null counts as left out.

    Raises:
        `ValueError`: for a field that is not known, or would change the answer and is not supported.
    """
    check_unicode(body)
    fields = {name: value for name, value in body.items() if value is not None}
    for name, value in fields.items():
        if name in NEUTRAL_FIELDS:
            check_neutral(name, value, NEUTRAL_FIELDS[name])
        elif name not in known | IGNORED_FIELDS:
            near = get_close_matches(name, known, n=1)
            advice = f"Did you mean `{near[0]}`?" if near else "Leave it out."
            raise ValueError(f"{reprlib.repr(name)} is not a field of this request. {advice}")
    return {name: value for name, value in fields.items() if name in known}


def check_unicode(body: dict) -> None:
    """Raises a `ValueError` for half a character, which no answer could repeat."""
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            "The request must be valid Unicode, but it has a single surrogate (\\ud800 to \\udfff)."
        ) from error


def check_neutral(name: str, value: Any, neutral: tuple) -> None:
    """Raises a `ValueError` for a value that asks for something."""
    if value not in neutral:
        rule = f"must be {' or '.join(map(json.dumps, neutral))} or left out" if neutral else "must be left out"
        raise ValueError(f"`{name}` {rule}, but got {reprlib.repr(value)}: this server does not support it.")


def check_bool(name: str, value: Any) -> bool:
    """The value of a field that is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be true or false, but got {reprlib.repr(value)}.")
    return value


@dataclass
class StreamOptions:
    """Whether an answer is streamed, and what the stream has beside the text."""

    is_streamed: bool
    include_usage: bool = False
    include_canvas: bool = False

    @classmethod
    def read(cls, fields: dict) -> "StreamOptions":
        """Reads `stream` and `stream_options`."""
        is_streamed = check_bool("stream", fields.get("stream", False))
        options = fields.get("stream_options", {})
        known = ("include_usage", "include_canvas", "include_obfuscation")  # the last one is ignored
        if not isinstance(options, dict) or not set(options) <= set(known):
            raise ValueError(
                f"`stream_options` must be an object with {', '.join(map(repr, known))}, but got {reprlib.repr(options)}."
            )
        if options and not is_streamed:
            raise ValueError("`stream_options` needs `stream=true`, but the answer is not streamed. Leave it out.")
        values = {
            name: check_bool(f"stream_options.{name}", value) for name, value in options.items() if value is not None
        }
        return cls(is_streamed, values.get("include_usage", False), values.get("include_canvas", False))
