# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The decoding options of a command."""

import argparse
import secrets

from .arguments import check_seed


REMASKING = ("low_confidence", "random", "margin", "entropy")
BLOCK_CACHES = ("prefix", "dual", "vicinity")
DECODING_OPTIONS = (
    "max_new_tokens",
    "steps",
    "block_length",
    "temperature",
    "cfg_scale",
    "remasking",
    "confidence_threshold",
    "leap_threshold",
    "leap_radius",
    "confidence_factor",
    "entropy_bound",
    "draft_steps",
    "block_cache",
    "cache_refresh_interval",
    "suffix_window",
    "logits_eos_inf",
    "confidence_eos_eot_inf",
    "stop_at_eos",
    "num_return_sequences",
)


PARALLEL_RULES = ("confidence_threshold", "confidence_factor", "entropy_bound")  # at most one at a time


def add_decoding_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The options of `LLaDAGenerationConfig` that every command has which decodes, under its names, and `--seed`."""
    group = parser.add_argument_group(
        "decoding", "What is left out comes from the checkpoint's generation_config.json, and then from the library."
    )
    group.add_argument("--max-new-tokens", type=int, metavar="N", help="masks to append: the length of the completion")
    group.add_argument("--steps", type=int, metavar="N", help="denoising steps of the whole call (one a token)")
    group.add_argument("--block-length", type=int, metavar="N", help="decode in blocks, left to right (one block)")
    group.add_argument("--temperature", type=float, metavar="T", help="of Gumbel-max sampling; 0: most probable token")
    group.add_argument("--cfg-scale", type=float, metavar="W", help="scale of the classifier-free guidance")
    group.add_argument("--remasking", choices=REMASKING, help="which predictions stay masked (low_confidence)")
    group.add_argument(
        "--confidence-threshold",
        type=float,
        metavar="P",
        help="parallel: commit all tokens of at least this probability",
    )
    group.add_argument("--leap-threshold", type=float, metavar="P", help="a lower one, near a token that reached P")
    group.add_argument("--leap-radius", type=int, metavar="N", help="how near, in positions (4)")
    group.add_argument(
        "--confidence-factor", type=float, metavar="F", help="parallel: commit n while (n + 1)(1 - confidence) <= F"
    )
    group.add_argument(
        "--entropy-bound", type=float, metavar="H", help="parallel: commit tokens of this joint entropy"
    )
    group.add_argument(
        "--draft-steps", type=int, metavar="N", help="lossless: verify N guessed steps in a forward pass"
    )
    group.add_argument("--block-cache", choices=BLOCK_CACHES, help="keep keys and values outside of the active block")
    group.add_argument("--cache-refresh-interval", type=int, metavar="N", help="steps between refreshes in a block")
    group.add_argument("--suffix-window", type=int, metavar="N", help="positions behind the block that the model sees")
    switch = {"action": argparse.BooleanOptionalAction}
    group.add_argument("--logits-eos-inf", **switch, help="never propose EOS")
    group.add_argument("--confidence-eos-eot-inf", **switch, help="commit EOS and EoT last")
    group.add_argument("--stop-at-eos", **switch, help="end at the block that holds the first EOS (on)")
    group.add_argument("--seed", type=int, metavar="N", help="of the sampling, to get the same again (random)")
    return group


def chosen_options(args: argparse.Namespace) -> dict:
    """The decoding options that the command line gives."""
    return {name: value for name, value in pick(vars(args)).items() if value is not None}


def replace_parallel_rule(options: dict) -> dict:
    """The options, in which a parallel rule resets the others: the checkpoint may have one of them."""
    if not any(rule in options for rule in PARALLEL_RULES):
        return options
    return dict.fromkeys(PARALLEL_RULES) | options


def choose_seed(args: argparse.Namespace) -> int:
    """The value of `--seed`, or a random one.

    Raises:
        `CommandError`: if it is no seed.
    """
    if args.seed is None:
        return secrets.randbelow(2**31)
    check_seed(args.seed)
    return args.seed


def check_options(options: dict) -> None:
    """Lets the library judge the decoding options."""
    from modeling_llada import LLaDAGenerationConfig

    LLaDAGenerationConfig(**options)


def effective_options(model, options: dict) -> dict:
    """The decoding options, with what the checkpoint and the library say about those that are left out."""
    from modeling_llada.models.generation_config_llada import DEFAULTS

    own = {name: getattr(model.generation_config, name, None) for name in DECODING_OPTIONS}
    own = {name: value for name, value in own.items() if value is not None}
    return dict.fromkeys(DECODING_OPTIONS) | {"temperature": 0.0} | pick(DEFAULTS) | own | options


def is_random(options: dict) -> bool:
    """Whether the effective options make the result depend on the seed."""
    return options["temperature"] > 0 or options["remasking"] == "random"


def pick(options: dict) -> dict:
    """Those that are options of the command."""
    return {name: value for name, value in options.items() if name in DECODING_OPTIONS}
