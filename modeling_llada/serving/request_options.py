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


MAX_STOPS, MAX_STOP_LENGTH = 16, 256  # strings and their characters; each is looked for in every step
# Options that change the output of `generate`: the server returns texts.
ONE_TEXT = {option.name: option.default for option in OPTIONS if option.shapes_output}
OF_THE_SERVER = ("mask_token_id", "compile_config", "disable_compile")
# The options that a request may have at its top level, by their own names.
DECODING_FIELDS = {option.name for option in OPTIONS} - {*ONE_TEXT, *OF_THE_SERVER}


@dataclass
class RequestOptions:
    """
    The options of a request: those of `generate`, the seed of the first choice, and the number of choices for each prompt.
    """

    config: LLaDAGenerationConfig
    seed: int
    num_choices: int = 1
    has_length: bool = False  # whether the request says how long the answer is

    @classmethod
    def read(cls, fields: dict, defaults: LLaDAGenerationConfig, max_n: int) -> "RequestOptions":
        """
        Reads the options of a request. Fields of OpenAI's API override options by their own names, and these `generation_config`,
        which overrides the checkpoint.

        Raises:
            `ValueError`: if an option is unknown or out of range.
        """
        options = read_generation_config(fields.get("generation_config"))
        named = {name: value for name, value in fields.items() if name in DECODING_FIELDS}
        if "temperature" in named:
            options.pop("do_sample", None)
        options |= named
        for field in ("max_tokens", "max_completion_tokens"):
            if field in fields:
                check_integer(field, fields[field], minimum=0)
                options["max_new_tokens"] = fields[field]
        has_length = options.get("max_new_tokens") is not None
        if not has_length:
            options["max_new_tokens"] = defaults.max_new_tokens or DEFAULTS["max_new_tokens"]
        if fields.get("stop"):
            options["stop_strings"] = fields["stop"]
        if options.get("stop_strings") is not None:
            options["stop_strings"] = read_stop(options["stop_strings"])
        check_integer("n", fields.get("n", 1), 1, max_n)
        if "seed" in fields:
            check_integer("seed", fields["seed"], minimum=0)
        seed = fields["seed"] % 2**63 if "seed" in fields else secrets.randbelow(2**31)
        config = LLaDAGenerationConfig.from_generation_config(SimpleNamespace(**options))
        return cls(config, seed, fields.get("n", 1), has_length=has_length)


def read_stop(value: str | list[str]) -> list[str]:
    """The strings of the field `stop`, or of the option `stop_strings`."""
    strings = [value] if isinstance(value, str) else value
    is_list = isinstance(strings, list) and len(strings) <= MAX_STOPS
    if not is_list or not all(isinstance(string, str) and 1 <= len(string) <= MAX_STOP_LENGTH for string in strings):
        raise ValueError(
            f"`stop` must be a text or a list of at most {MAX_STOPS} texts, each of 1 to {MAX_STOP_LENGTH} characters, but got "
            f"{reprlib.repr(value)}."
        )
    return strings


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
                f"`{name}` must be {json.dumps(only)} or left out, but got {options[name]!r}: the server returns texts."
            )
    for name in OF_THE_SERVER:
        if options.get(name):
            raise ValueError(f"`{name}` belongs to the server: leave it out of `generation_config`.")
    return dict(options)
