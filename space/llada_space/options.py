# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The decoding options that the Space offers, made from the table of the package, and the presets."""

import math
import secrets
from dataclasses import dataclass

from modeling_llada import LLaDAGenerationConfig
from modeling_llada.models.options_llada import OPTIONS as TABLE
from modeling_llada.models.options_llada import Option

from .models import ModelCard


NO_CACHE = "none"
MAX_SEED = 2**31
MAX_CANVAS = 512  # of any model; that of a model is in its card
OPTIONS = tuple(option for option in TABLE if option.label is not None)
NAMES = tuple(option.name for option in OPTIONS)


def is_number(option: Option) -> bool:
    return option.kind in ("int", "float")


def is_off_at_zero(option: Option) -> bool:
    """Whether 0 leaves an option out: the field of a number cannot be empty."""
    return is_number(option) and option.default is None


def bounds_of(option: Option) -> tuple[float, float]:
    """The lowest and the highest number of a field. The shortest canvas has one mask."""
    lowest = 0 if is_off_at_zero(option) or option.kind == "float" else 1
    highest = option.maximum if option.form_maximum is None else option.form_maximum
    return lowest, MAX_CANVAS if highest is None else highest


def choices_of(option: Option) -> list[str]:
    """The choices of a field, also that of none, if there is no default."""
    return [NO_CACHE, *option.choices] if option.default is None else list(option.choices)


def help_of(option: Option) -> str:
    """What an option does, and what it does at 0 if that leaves it out."""
    return f"{option.help} 0: {option.unset}." if is_off_at_zero(option) else option.help


def first_value(option: Option) -> object:
    """What a field holds at first."""
    if option.name == "max_new_tokens":
        return 64
    if option.default is None:
        return 0 if is_number(option) else NO_CACHE
    return option.default


DEFAULTS = {option.name: first_value(option) for option in OPTIONS}


def read_options(values: dict, max_new_tokens: int) -> dict:
    """
    Turns the values of the fields, by the names of their options, into options of `generate`. An option that is off
    is `None`, which also resets what generation_config.json of the model says. Raises a `ValueError` if an option
    cannot have its value, or if options contradict each other.
    """
    unknown = sorted(set(values) - set(NAMES))
    if unknown:
        raise ValueError(f"there is no option {unknown[0]!r}.")
    options = {option.name: read_value(option, values[option.name]) for option in OPTIONS if option.name in values}
    if options.get("max_new_tokens") is None:
        options.pop("max_new_tokens", None)  # an empty field: the length in generation_config.json
    elif options["max_new_tokens"] > max_new_tokens:
        raise ValueError(f"`max_new_tokens` is at most {max_new_tokens} here, but got {options['max_new_tokens']}.")
    LLaDAGenerationConfig(**options).check_combinations()
    return options


def read_value(option: Option, value):
    """The value of one option, or `None` where it is off."""
    if value is None or value == "" or (option.kind == "choice" and option.default is None and value == NO_CACHE):
        return None
    if not is_number(option):
        option.check(value)
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
        raise ValueError(f"`{option.name}` must be a number, but got {value!r}.")
    if option.kind == "int" and value != int(value):
        raise ValueError(f"`{option.name}` must be a whole number, but got {value!r}.")
    lowest, highest = bounds_of(option)
    if not lowest <= value <= highest:
        raise ValueError(f"`{option.name}` must be in [{lowest}, {highest}], but got {value!r}.")
    if value == 0 and is_off_at_zero(option):
        return None
    return int(value) if option.kind == "int" else float(value)


def choose_seed(value) -> int:
    """The seed of a field, or a random one if it is empty or -1."""
    if value in (None, "", -1):
        return secrets.randbelow(MAX_SEED)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf
    if not is_number or value != int(value) or not 0 <= value < MAX_SEED:
        raise ValueError(f"the seed must be a whole number in [0, {MAX_SEED}), but got {value!r}.")
    return int(value)


@dataclass(frozen=True)
class OfCard:
    """A value that depends on the model: a field of its card."""

    field: str


@dataclass(frozen=True)
class Preset:
    """
    Options under one name. The note says when to use them, and what they cost. The other options are at their
    default.
    """

    name: str
    note: str
    options: dict
    for_small_models: bool = True


PRESETS = (
    Preset("pure diffusion", "One block, one token a pass, the surest first. As many passes as masks.", {}),
    Preset(
        "semi-autoregressive",
        "Blocks from left to right, one token a pass; stops after the block that ends the text. A block is written before "
        "what follows is planned: llada-poet then often says a couplet twice.",
        {"block_length": OfCard("block_length")},
    ),
    Preset(
        "fast: dual cache + threshold",
        "Commits all tokens of 0.9 and more at once, and most passes compute the active block alone: several times fewer "
        "and cheaper passes, mostly the same text.",
        {
            "block_length": OfCard("fast_block_length"),
            "block_cache": "dual",
            "cache_refresh_interval": OfCard("fast_refresh"),
            "confidence_threshold": 0.9,
        },
    ),
    Preset(
        "parallel: threshold",
        "One block, and all tokens of 0.9 and more at once: fewer passes, mostly the same text.",
        {"confidence_threshold": 0.9},
    ),
    Preset(
        "paper's GSM8K setting",
        "256 masks in 256 steps and blocks of 8: what the paper reports for LLaDA-8B-Instruct. Up to 256 passes.",
        {"max_new_tokens": 256, "steps": 256, "block_length": 8},
        for_small_models=False,
    ),
)


def presets_of(card: ModelCard) -> list[str]:
    """The names of the presets that the page offers for a model."""
    return [preset.name for preset in PRESETS if preset.for_small_models or not card.is_small]


def preset_values(name: str, card: ModelCard) -> dict:
    """The values of the fields after a preset was chosen; the length stays as it is unless the preset names one."""
    for preset in PRESETS:
        if preset.name == name:
            chosen = {
                key: getattr(card, value.field) if isinstance(value, OfCard) else value
                for key, value in preset.options.items()
            }
            values = DEFAULTS | chosen
            if "max_new_tokens" not in chosen:
                values.pop("max_new_tokens")
            return values
    raise ValueError(f"there is no preset {name!r}.")


def name_settings(values: dict, card: ModelCard) -> str:
    """The name of the preset that has the values of the fields, or `"your settings"`."""
    for preset in presets_of(card):
        if all(values.get(name, value) == value for name, value in preset_values(preset, card).items()):
            return preset
    return "your settings"
