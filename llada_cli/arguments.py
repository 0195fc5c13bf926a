# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks of arguments that several commands have."""

from pathlib import Path

from .errors import CommandError


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
