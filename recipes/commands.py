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


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what a command has that trains the models of a study: `--output-dir`, `--resume` and `--max-minutes`."""
    parser.add_argument("--output-dir", help="the folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run, if there is one")
    parser.add_argument("--max-minutes", type=float, help="stop with a checkpoint after this time, loading included")


def add_collect_command(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Adds the command `collect` of a study, and returns its parser."""
    collect = commands.add_parser("collect", help="write the results of all models into one file")
    collect.add_argument("--run", type=Path, required=True, help="the folder of the run")
    collect.add_argument("--json", dest="output", type=Path, required=True, help="where the results go")
    return collect


def check_positive(parser: argparse.ArgumentParser, args: argparse.Namespace, flags: dict[str, str]) -> None:
    """Ends the program with a message if a number that was given is not positive. `flags` are by the names of the values."""
    for name, flag in flags.items():
        value = getattr(args, name, None)
        if value is not None and value <= 0:
            parser.error(f"`{flag}` must be positive, but got {value}.")
