# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The decoding options of a request."""

import json
import reprlib
import secrets
from dataclasses import dataclass
from types import SimpleNamespace

from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.options_llada import DEFAULTS, OPTIONS, check_integer


# Options that change the output of `generate`: the server returns one text.
ONE_TEXT = {option.name: option.default for option in OPTIONS if option.shapes_output}


@dataclass
class RequestOptions:
    """The options of a request for `generate`."""

    config: LLaDAGenerationConfig
    seed: int

    @property
    def max_new_tokens(self) -> int:
        """The handlers compare it with the length of an answer: `finish_reason` is `length` or `stop`."""
        return self.config.max_new_tokens

    @classmethod
    def read(cls, body: dict, defaults: LLaDAGenerationConfig) -> "RequestOptions":
        """
        Reads the options of a request. Fields of the API override `generation_config`, which overrides the checkpoint.

        Raises:
            `ValueError`: if an option is unknown or out of range.
        """
        options = read_generation_config(body.get("generation_config"))
        for field in ("max_tokens", "max_completion_tokens"):
            if body.get(field) is not None:
                options["max_new_tokens"] = body[field]
        if body.get("temperature") is not None:
            options["temperature"] = body["temperature"]
            options.pop("do_sample", None)
        if options.get("max_new_tokens") is None:
            options["max_new_tokens"] = defaults.max_new_tokens or DEFAULTS["max_new_tokens"]
        if body.get("seed") is not None:
            check_integer("seed", body["seed"], minimum=0)
        seed = secrets.randbelow(2**31) if body.get("seed") is None else body["seed"] % 2**63
        return cls(LLaDAGenerationConfig.from_generation_config(SimpleNamespace(**options)), seed)


def read_generation_config(value: str | dict | None) -> dict:
    """Reads the field `generation_config`: an object, or its JSON text as in `transformers serve`."""
    try:
        options = json.loads(value) if isinstance(value, str) else value
    except (json.JSONDecodeError, RecursionError):
        options = value
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise ValueError(
            f"`generation_config` must be a JSON object of decoding options, but got {reprlib.repr(value)}."
        )
    for name, only in ONE_TEXT.items():
        if options.get(name) not in (None, only):
            raise ValueError(
                f"`{name}` must be {json.dumps(only)} or left out, but got {options[name]!r}: the server returns one text."
            )
    return dict(options)
