# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The options that say what an answer may look like."""

import argparse
from pathlib import Path

from .errors import CommandError


KINDS = ("regex", "json_schema", "grammar", "choices")  # of `Constraint.from_...`


def add_constraint_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--regex`, `--json-schema`, `--grammar` and `--choices`."""
    text = "The answer always fits; with masks to fill, what reaches from the first to the last one does."
    group = parser.add_argument_group("constraint", text).add_mutually_exclusive_group()
    group.add_argument("--regex", metavar="PATTERN", help="the answer matches this regular expression as a whole")
    group.add_argument(
        "--json-schema", type=Path, metavar="FILE", help="the answer is JSON that fits the schema in this file"
    )
    group.add_argument(
        "--grammar",
        type=Path,
        metavar="FILE",
        help="the answer is a text of the grammar in this file, in the notation of lark",
    )
    group.add_argument("--choices", nargs="+", metavar="TEXT", help="the answer is one of these texts")


def check_constraint_file(args: argparse.Namespace) -> None:
    """Raises a `CommandError` if the file of `--json-schema` or `--grammar` cannot be read."""
    for option, path in (("--json-schema", args.json_schema), ("--grammar", args.grammar)):
        if path is not None:
            read_file(option, path)


def read_file(option: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"`{option}` must be a text file that can be read, but got {path}: {error}.") from error


def compile_constraint(args: argparse.Namespace, tokenizer):
    """The constraint that the command line asks for, or `None`."""
    kind = next((kind for kind in KINDS if getattr(args, kind) is not None), None)
    if kind is None:
        return None
    option, value = f"--{kind.replace('_', '-')}", getattr(args, kind)
    if isinstance(value, Path):
        value = read_file(option, value)
    try:
        from modeling_llada import Constraint

        return getattr(Constraint, f"from_{kind}")(value, tokenizer)
    except ImportError as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise CommandError(f"`{option}` cannot be used: {error}") from error
