# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The options that say what an answer may look like."""

import argparse
from pathlib import Path

from .errors import CommandError


def add_constraint_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--regex`, `--json-schema` and `--choices`."""
    text = "The answer always fits; with masks to fill, what reaches from the first to the last one does."
    group = parser.add_argument_group("constraint", text).add_mutually_exclusive_group()
    group.add_argument("--regex", metavar="PATTERN", help="the answer matches this regular expression as a whole")
    group.add_argument(
        "--json-schema", type=Path, metavar="FILE", help="the answer is JSON that fits the schema in this file"
    )
    group.add_argument("--choices", nargs="+", metavar="TEXT", help="the answer is one of these texts")


def check_schema_file(path: Path | None) -> None:
    """Raises a `CommandError` if the file of `--json-schema` cannot be read."""
    if path is not None:
        read_schema(path)


def read_schema(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"`--json-schema` must be a text file that can be read, but got {path}: {error}."
        ) from error


def compile_constraint(args: argparse.Namespace, tokenizer):
    """The constraint that the command line asks for, or `None`."""
    if args.regex is None and args.json_schema is None and args.choices is None:
        return None
    try:
        from modeling_llada import Constraint

        if args.regex is not None:
            return Constraint.from_regex(args.regex, tokenizer)
        if args.choices is not None:
            return Constraint.from_choices(args.choices, tokenizer)
        return Constraint.from_json_schema(read_schema(args.json_schema), tokenizer)
    except ImportError as error:
        raise CommandError(str(error)) from error
    except ValueError as error:
        option = "--regex" if args.regex is not None else "--choices" if args.choices else "--json-schema"
        raise CommandError(f"`{option}` cannot be used: {error}") from error
