# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The decoding options of a command, made from the table of the package."""

import argparse
import secrets
from collections.abc import Collection

from .arguments import check_seed
from .light_import import light_import


TABLE = light_import("modeling_llada.models.options_llada")
OPTIONS = tuple(option for option in TABLE.OPTIONS if option.on_command_line)
DECODING_OPTIONS = tuple(option.name for option in OPTIONS)
# How `generate` and `chat` decode unless an option of PACE is chosen. One token a step would spend most of the forward passes
# on what stands behind the end of a short completion.
FAST = {"confidence_threshold": 0.9}
PACE = ("steps", "temperature", "remasking", "draft_steps", *TABLE.PARALLEL_RULES)


def add_decoding_arguments(
    parser: argparse.ArgumentParser, without: Collection[str] = ("num_return_sequences",), is_fast: bool = False
) -> None:
    """
    Adds the options of `LLaDAGenerationConfig` under their names, and `--seed`, all but a few. `is_fast`: the command calls
    `with_fast_default`.
    """
    text = "An option that is left out has its value in the checkpoint's generation_config.json, or its default."
    if is_fast:
        text += (
            f" The command itself sets --confidence-threshold {FAST['confidence_threshold']}, unless you or the checkpoint "
            f"choose it or {', '.join(map(flag_of, PACE[:-1]))} or {flag_of(PACE[-1])}."
        )
    group = parser.add_argument_group("decoding", text)
    for option in OPTIONS:
        if option.name not in without:
            group.add_argument(flag_of(option.name), **argument_of(option))
    if "seed" not in without:
        group.add_argument("--seed", type=int, metavar="N", help="seed of the sampling (default: a random one)")


def flag_of(name: str) -> str:
    """The flag of an option."""
    return f"--{name.replace('_', '-')}"


def argument_of(option) -> dict:
    """How argparse reads an option."""
    text = option.help[0].lower() + option.help[1:].rstrip(".")
    help = f"{text} (default: {option.default_text})".replace("%", "%%")
    if option.kind == "bool":
        return {"action": argparse.BooleanOptionalAction, "help": help}
    if option.kind == "choice":
        return {"choices": option.choices, "help": help}
    kind, metavar = (int, "N") if option.kind == "int" else (float, "X")
    return {"type": kind, "metavar": metavar, "help": help}


def chosen_options(args: argparse.Namespace) -> dict:
    """The options that the command line gives."""
    options = {name: getattr(args, name, None) for name in DECODING_OPTIONS}
    return {name: value for name, value in options.items() if value is not None}


def with_fast_default(model, options: dict) -> dict:
    """Adds the option of FAST, unless the command line or the checkpoint says how many tokens a step commits."""
    own = model.generation_config
    is_chosen = any(options.get(name) is not None or getattr(own, name, None) is not None for name in PACE)
    return options if is_chosen else options | FAST


def choose_seed(args: argparse.Namespace) -> int:
    """The value of `--seed`, or a random one."""
    check_seed(args.seed)
    return secrets.randbelow(2**31) if args.seed is None else args.seed


def check_options(options: dict) -> None:
    """Checks the decoding options as the library does."""
    from modeling_llada import LLaDAGenerationConfig

    LLaDAGenerationConfig(**options)


def effective_options(model, options: dict) -> dict:
    """The decoding options, with the values of the checkpoint, or else the defaults, for those that are not given."""
    config = model._merge_generation_config(None, options)
    return {
        option.name: option.default if (value := getattr(config, option.name)) is None else value for option in OPTIONS
    }


def end_tokens(model, options: dict) -> dict:
    """The tokens that end a completion of a call, for its streamer."""
    config = model._merge_generation_config(None, options)
    return {
        "eos_token_id": config.eos_token_id if config.stop_at_eos else [],
        "pad_token_id": config.pad_token_id,
    }


def is_random(options: dict) -> bool:
    """Whether the effective options make the result depend on the seed."""
    return options["temperature"] > 0 or options["remasking"] == "random"
