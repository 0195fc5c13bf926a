# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The parts that the commands `python -m recipes.NAME COMMAND` have in common."""

import argparse
import importlib
from pathlib import Path


def run_command(recipe: str, functions: dict[str, str], args: argparse.Namespace) -> None:
    """Calls the function of a command, such as `training.train`. Its module is imported only now."""
    options = vars(args)
    module, function = functions[options.pop("command")].split(".")
    getattr(importlib.import_module(f"{recipe}.{module}"), function)(**options)


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--config` and `--set` to a command that reads a recipe."""
    parser.add_argument("--config", type=Path, required=True, help="YAML file with the whole recipe")
    parser.add_argument(
        "--set",
        dest="assignments",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="any other value of the YAML file",
    )


def check_positive(parser: argparse.ArgumentParser, args: argparse.Namespace, flags: dict[str, str]) -> None:
    """Ends the program with a message if a number that was given is not positive. `flags` are by the names of the values."""
    for name, flag in flags.items():
        value = getattr(args, name, None)
        if value is not None and value <= 0:
            parser.error(f"`{flag}` must be positive, but got {value}.")
