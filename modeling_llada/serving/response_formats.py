# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The field `response_format` of a request, compiled to a constraint on the answer."""

import reprlib
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..constraints import Constraint


MAX_DEPTH = 2  # of values of any kind, and of definitions inside themselves


def compile_format(response_format: Any, tokenizer: PreTrainedTokenizerBase) -> Constraint | None:
    """
    The constraint that the field asks for; `None` if it asks for any text.

    Raises:
        `ValueError`: if the field or its schema is not valid or not supported, or the extra `constraints` is not installed.
    """
    schema = read_schema(response_format)
    if schema is None:
        return None
    try:
        return Constraint.from_json_schema(schema, tokenizer, max_depth=MAX_DEPTH)
    except ImportError as error:
        raise ValueError(
            f"`response_format` needs the extra `constraints`, which this server does not have ({error}). Leave it out."
        ) from error
    except ValueError as error:
        raise ValueError(f"`response_format` cannot be kept: {error}") from error


def read_schema(response_format: Any) -> dict | None:
    """The JSON schema that the field asks for; `None` if it asks for any text."""
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object"}
    if kind != "json_schema":
        raise ValueError(
            '`response_format` must be {"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": '
            f'{{"name": ..., "schema": ...}}}}, but got {reprlib.repr(response_format)}.'
        )
    named = response_format.get("json_schema")
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict):
        raise ValueError(
            f"`response_format.json_schema` must be an object with a `schema`, but got {reprlib.repr(named)}."
        )
    return schema
