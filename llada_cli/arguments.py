# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Arguments that several commands have, and their checks."""

import os
from pathlib import Path

from .errors import CommandError
from .parsing import CommandParser


SHIPPED_CHECKPOINTS = "checkpoints"
SHIPPED_CHECKPOINT = "llada-poet"


def add_model_arguments(parser: CommandParser, shipped: str = SHIPPED_CHECKPOINT) -> None:
    """The options that every command with a model has.

    Args:
        parser ([`CommandParser`]):
            The parser of the command.
        shipped (`str`, *optional*):
            The shipped checkpoint that the command uses by default.
    """
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
    """The checkpoint to use: the one that is named, that of `LLADA_MODEL`, or the shipped one.

    Args:
        name (`str`, *optional*):
            The value of `--model`.
        shipped (`str`, *optional*):
            The name of the shipped one.

    Returns:
        `str`: A folder or a Hub id.

    Raises:
        `CommandError`: if none is named, and the package was not installed from a clone that holds the shipped one.
    """
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


def check_seed(seed: int) -> None:
    """Raises a `CommandError` if a generator does not take the value of `--seed`."""
    if not 0 <= seed < 2**63:
        raise CommandError(f"`--seed` must be an integer in [0, 2**63), but got {seed}.")


def check_output_file(option: str, path: Path) -> None:
    """Raises a `CommandError` if the file that an option names cannot be written, before the work is done."""
    if not path.absolute().parent.is_dir():
        raise CommandError(f"`{option}` names a folder that is not there: {path.parent}. Make it first.")
    if path.is_dir():
        raise CommandError(f"`{option}` must be a file, but {path} is a folder: add the name of the file.")


def check_unicode(name: str, text: str) -> None:
    """Raises a `CommandError` for bytes that are no UTF-8: Python reads them as surrogates, which no tokenizer takes."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise CommandError(f"{name} is no UTF-8 text: convert it first.")
