# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Arguments that several commands have, and their checks."""

import argparse
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .errors import CommandError
from .light_import import light_import
from .parsing import CommandParser
from .terminal import quiet_libraries, spinner


writing = light_import("modeling_llada.writing")

SHIPPED_CHECKPOINTS = "checkpoints"
SHIPPED_CHECKPOINT = "llada-poet"


def own_version() -> str:
    """The version of the package, which runs without being installed too: `python -m llada_cli` in a clone."""
    try:
        return version("modeling-llada")
    except PackageNotFoundError:
        return "(not installed)"


def add_model_arguments(parser: CommandParser, shipped: str = SHIPPED_CHECKPOINT) -> None:
    """Adds the options that every command with a model has. `shipped` is the default checkpoint of the command."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="PATH_OR_ID",
        help="checkpoint or PEFT adapter: a folder or a Hub id (default: $LLADA_MODEL, else "
        f"{SHIPPED_CHECKPOINTS}/{shipped} of the clone)",
    )
    group.add_argument("--device", help="for instance cpu, cuda or cuda:1 (default: an accelerator if there is one)")
    group.add_argument(
        "--dtype",
        choices=["auto", "float32", "bfloat16", "float16"],
        help="auto: that of the checkpoint (default: float32 on the CPU, else auto)",
    )


def find_checkpoint(name: str | None, shipped: str = SHIPPED_CHECKPOINT) -> str:
    """Chooses the checkpoint: the value of `--model`, that of `LLADA_MODEL`, or the shipped one."""
    name = name or os.environ.get("LLADA_MODEL")
    if name:
        return name
    folder = Path(__file__).parent.parent / SHIPPED_CHECKPOINTS / shipped
    if folder.is_dir():
        return str(folder)
    raise CommandError(
        f"no checkpoint: give one with `--model PATH_OR_ID` or in the environment variable LLADA_MODEL. The shipped "
        f"one, {SHIPPED_CHECKPOINTS}/{shipped}, is found when the package was installed from a clone with `pip install -e .`."
    )


def open_checkpoint(name: str, args: argparse.Namespace, check: Callable[[], None] = lambda: None):
    """
    Loads the checkpoint of a command and its tokenizer. `check` checks other arguments with the library, before the
    weights are read.
    """
    model, processor = open_with_processor(name, args, check)
    from modeling_llada.loading import tokenizer_of

    return model, tokenizer_of(processor)


def open_with_processor(name: str, args: argparse.Namespace, check: Callable[[], None] = lambda: None):
    """The same, with the processor in the place of the tokenizer if the model sees images."""
    with spinner(f"loading {name}"):
        quiet_libraries()
        check()
        from modeling_llada.loading import find_device, load_with_processor

        device = find_device(args.device)
        try:
            return load_with_processor(name, device, args.dtype)
        except ValueError as error:
            raise CommandError(
                f"{error} `--model` takes a Hub id, or a folder with config.json, the tokenizer and the weights, or with "
                "those of an adapter."
            ) from error


def check_seed(seed: int | None) -> None:
    """Raises a `CommandError` if a generator does not accept the value of `--seed`."""
    if seed is not None and not 0 <= seed < 2**63:
        raise CommandError(f"`--seed` must be an integer in [0, 2**63), but got {seed}.")


def check_minimum(args: argparse.Namespace, **minimums: int) -> None:
    """Raises a `CommandError` if an option that was given is below its minimum."""
    for name, minimum in minimums.items():
        value = getattr(args, name)
        if value is not None and value < minimum:
            raise CommandError(f"`--{name.replace('_', '-')}` must be at least {minimum}, but got {value}.")


def check_output_file(option: str, path: Path) -> None:
    """Raises a `CommandError` if the file that an option names cannot be written."""
    if not path.absolute().parent.is_dir():
        raise CommandError(f"`{option}` names a file in a folder that does not exist: {path.parent}. Create it first.")
    if path.is_dir():
        raise CommandError(f"`{option}` must be a file, but {path} is a folder: add a file name.")
    try:
        writing.check_writable(path)
    except OSError as error:
        raise CommandError(f"`{option}` names a file that cannot be written: {path}: {error.strerror}.") from error
