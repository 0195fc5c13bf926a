# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The bodies of requests for the description of the API, which the server has at `/docs` and `/openapi.json`."""

from typing import Any

from ..models.options_llada import OPTIONS, Option
from .protocol import IGNORED_FIELDS, NEUTRAL_FIELDS
from .request_options import DECODING_FIELDS, MAX_STOPS


TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
TOKENS = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
TYPES = {"int": "integer", "float": "number", "bool": "boolean", "choice": "string", "token": "integer"}
MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"type": "string"}, "content": {"type": ["string", "array"]}},
}
LENGTH = {"type": "integer", "minimum": 0, "description": "Masks behind the prompt: the longest possible answer."}
# The fields of OpenAI's API that have a meaning here.
FIELDS: dict[str, dict[str, Any]] = {
    "model": {"type": "string"},
    "messages": {"type": "array", "items": MESSAGE, "minItems": 1},
    "prompt": {
        "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1}],
        "description": "A text, token ids, or a list of them.",
    },
    "suffix": {"type": "string", "description": "The answer goes between the prompt and it."},
    "echo": {"type": "boolean"},
    "best_of": {"type": "integer"},
    "max_tokens": LENGTH,
    "max_completion_tokens": LENGTH,
    "n": {"type": "integer", "minimum": 1},
    "stop": {**TEXTS, "description": f"At most {MAX_STOPS} texts before which the answer ends."},
    "seed": {"type": "integer", "minimum": 0},
    "stream": {"type": "boolean"},
    "stream_options": {
        "type": "object",
        "properties": {"include_usage": {"type": "boolean"}, "include_canvas": {"type": "boolean"}},
    },
    "logprobs": {"type": ["boolean", "integer"]},
    "top_logprobs": {"type": "integer", "minimum": 0},
    "response_format": {"type": "object"},
    "generation_config": {"type": ["object", "string"], "description": "Decoding options as an object, or its JSON."},
    "chat_template_kwargs": {"type": "object", "description": "Variables of the chat template."},
}


def request_body(fields: set[str], required: str) -> dict[str, Any]:
    """What FastAPI adds to the description of a route whose requests have some fields."""
    properties = {name: FIELDS[name] for name in sorted(fields & set(FIELDS))}
    properties |= {option.name: schema_of(option) for option in OPTIONS if option.name in fields & DECODING_FIELDS}
    properties |= {name: {"description": "Ignored."} for name in sorted(IGNORED_FIELDS)}
    properties |= {name: {"enum": [*values, None]} for name, values in NEUTRAL_FIELDS.items()}
    schema = {"properties": properties, "required": [required], "additionalProperties": False}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def schema_of(option: Option) -> dict[str, Any]:
    """The values of a decoding option."""
    if option.kind in ("strings", "tokens"):
        schema = dict(TEXTS if option.kind == "strings" else TOKENS)
    else:
        bounds = {"minimum": option.minimum, "maximum": option.maximum, "enum": option.choices or None}
        schema = {"type": TYPES[option.kind], **{name: value for name, value in bounds.items() if value is not None}}
    return schema | {"description": f"{option.help} Default: {option.default_text}."}
