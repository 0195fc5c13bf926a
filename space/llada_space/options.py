# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The decoding options, in plain language, and the presets."""

import math
import secrets
from dataclasses import dataclass

from modeling_llada import LLaDAGenerationConfig

from .models import ModelCard


@dataclass(frozen=True)
class Option:
    """
    A decoding option as the page shows it.

    Args:
        name (`str`):
            Its name in [`LLaDAGenerationConfig`].
        label (`str`):
            What the field is called.
        help (`str`):
            What it does, and what it costs.
        kind (`str`):
            `"integer"`, `"number"`, `"choice"` or `"flag"`.
        default (*optional*):
            What the field holds at first.
        minimum, maximum (`float`, *optional*):
            The range that the page allows.
        choices (`tuple[str, ...]`):
            Of a choice.
        is_off_at_zero (`bool`):
            Whether 0 leaves it out: fields of numbers cannot be empty.
    """

    name: str
    label: str
    help: str
    kind: str
    default: object = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    is_off_at_zero: bool = False


NO_CACHE = "none"
MAX_SEED = 2**31
MAX_CANVAS = 512  # of any model; that of a model is in its card
OPTIONS = (
    Option(
        "max_new_tokens",
        "Length (masks)",
        "How many masks stand after the prompt: the longest possible answer.",
        "integer",
        64,
        1,
        MAX_CANVAS,
    ),
    Option(
        "steps",
        "Denoising steps",
        "Forward passes of the whole run; 0: one a token. Half as many are twice as fast, and riskier.",
        "integer",
        0,
        0,
        MAX_CANVAS,
        is_off_at_zero=True,
    ),
    Option(
        "block_length",
        "Block length",
        "Decode in blocks of this length, left to right; 0: one block, where any position may come first.",
        "integer",
        0,
        0,
        MAX_CANVAS,
        is_off_at_zero=True,
    ),
    Option(
        "temperature",
        "Temperature",
        "0 takes the most probable token; more brings variety.",
        "number",
        0.0,
        0.0,
        2.0,
    ),
    Option(
        "remasking",
        "What is committed first",
        "Of its predictions the model keeps the surest, those with the widest lead (margin), those of the sharpest "
        "distribution (entropy), or random ones.",
        "choice",
        "low_confidence",
        choices=("low_confidence", "random", "margin", "entropy"),
    ),
    Option(
        "confidence_threshold",
        "Parallel: threshold",
        "Commit every token that is at least this probable. 0.9 saves passes at nearly the same text; 0: off.",
        "number",
        0.0,
        0.0,
        1.0,
        is_off_at_zero=True,
    ),
    Option(
        "leap_threshold",
        "Parallel: leap",
        "A lower threshold for masks near one that reached the threshold; 0: off.",
        "number",
        0.0,
        0.0,
        1.0,
        is_off_at_zero=True,
    ),
    Option(
        "leap_radius",
        "Leap radius",
        "How near, in positions; 0: as usual, 4.",
        "integer",
        0,
        0,
        MAX_CANVAS,
        is_off_at_zero=True,
    ),
    Option(
        "confidence_factor",
        "Parallel: factor",
        "Commit n tokens while (n + 1)(1 - confidence) stays below it: the more at once, the surer each has to be. 0: off.",
        "number",
        0.0,
        0.0,
        16.0,
        is_off_at_zero=True,
    ),
    Option(
        "entropy_bound",
        "Parallel: entropy",
        "Commit tokens while their joint entropy stays below this many nats; 0: off.",
        "number",
        0.0,
        0.0,
        16.0,
        is_off_at_zero=True,
    ),
    Option(
        "draft_steps",
        "Drafts",
        "Guess this many steps ahead and verify them in one pass: the same text in fewer, wider passes. 0: off.",
        "integer",
        0,
        0,
        8,
        is_off_at_zero=True,
    ),
    Option(
        "block_cache",
        "Cache",
        "What a step computes again: everything (none), the block and what follows (prefix), the block and its "
        "neighbours (vicinity), or the block alone (dual). Cheaper passes, nearly the same text.",
        "choice",
        NO_CACHE,
        choices=(NO_CACHE, "prefix", "vicinity", "dual"),
    ),
    Option(
        "cache_refresh_interval",
        "Cache refresh",
        "Steps between refreshes inside a block; 0: one refresh a block.",
        "integer",
        0,
        0,
        MAX_CANVAS,
        is_off_at_zero=True,
    ),
    Option(
        "suffix_window",
        "Suffix window",
        "How many masks behind the block the model sees; 0: all.",
        "integer",
        0,
        0,
        MAX_CANVAS,
        is_off_at_zero=True,
    ),
    Option(
        "cfg_scale",
        "Guidance",
        "Keep closer to the prompt, at twice the work a pass. 0: off.",
        "number",
        0.0,
        0.0,
        4.0,
    ),
    Option(
        "confidence_eos_eot_inf",
        "Commit the end last",
        "End-of-text tokens come last, so answers don't break off.",
        "flag",
        False,
    ),
    Option(
        "logits_eos_inf", "Never end", "End-of-text is never proposed: the whole canvas becomes text.", "flag", False
    ),
    Option("stop_at_eos", "Stop at the end", "Stop after the block with the first end-of-text token.", "flag", True),
)
NAMES = tuple(option.name for option in OPTIONS)
DEFAULTS = {option.name: option.default for option in OPTIONS}


def read_options(values: dict, max_new_tokens: int) -> dict:
    """
    Turns what the fields hold into options of `generate`.

    Args:
        values (`dict`):
            The values of the fields by name.
        max_new_tokens (`int`):
            The longest canvas that the model may get here.

    Returns:
        `dict`: Options. `None` resets one that is off, whatever generation_config.json of the model says.

    Raises:
        `ValueError`: if a value is none of its option, or options contradict each other.
    """
    unknown = sorted(set(values) - set(NAMES))
    if unknown:
        raise ValueError(f"there is no option {unknown[0]!r}.")
    options = {option.name: read_value(option, values[option.name]) for option in OPTIONS if option.name in values}
    if options.get("max_new_tokens") is None:
        options.pop("max_new_tokens", None)  # an empty field: as many as the model is used to
    elif options["max_new_tokens"] > max_new_tokens:
        raise ValueError(f"`max_new_tokens` is at most {max_new_tokens} here, but got {options['max_new_tokens']}.")
    LLaDAGenerationConfig(**options).check_combinations()
    return options


def read_value(option: Option, value):
    """The value of one option, or `None` where it is off."""
    if value is None or value == "" or (option.name == "block_cache" and value == NO_CACHE):
        return None
    if option.kind == "flag":
        if not isinstance(value, bool):
            raise ValueError(f"`{option.name}` is either on or off, but got {value!r}.")
        return value
    if option.kind == "choice":
        if value not in option.choices:
            raise ValueError(f"`{option.name}` must be one of {', '.join(option.choices)}, but got {value!r}.")
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < math.inf:
        raise ValueError(f"`{option.name}` must be a number, but got {value!r}.")
    if option.kind == "integer" and value != int(value):
        raise ValueError(f"`{option.name}` must be a whole number, but got {value!r}.")
    if not option.minimum <= value <= option.maximum:
        raise ValueError(f"`{option.name}` must be in [{option.minimum}, {option.maximum}], but got {value!r}.")
    if value == 0 and option.is_off_at_zero:
        return None
    return int(value) if option.kind == "integer" else float(value)


def choose_seed(value) -> int:
    """
    The seed of a field, or a random one if it is empty or -1.

    Raises:
        `ValueError`: if it is no seed.
    """
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
    Options under one name.

    Args:
        name (`str`):
            What it is called.
        note (`str`):
            When to take it, and what it costs.
        options (`dict`):
            Its options; the others are at their default. [`OfCard`] stands for what the card of the model says.
    """

    name: str
    note: str
    options: dict


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
    ),
)


def preset_values(name: str, card: ModelCard) -> dict:
    """
    What the fields hold after a preset was chosen; the length stays as it is unless the preset names one.

    Raises:
        `ValueError`: if there is no such preset.
    """
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
    """The name of the preset that the values of the fields are, or what the others are called."""
    for preset in PRESETS:
        if all(values.get(name, value) == value for name, value in preset_values(preset.name, card).items()):
            return preset.name
    return "your settings"
