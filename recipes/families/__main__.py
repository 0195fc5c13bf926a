# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Dense LLaDA, LLaDA-MoE and LLaDA2 of one active size on the same poems: what block diffusion costs, and what it gains.

# Train the three models. After the time limit the same command goes on
python -m recipes.families train --config recipes/families/families.yaml --max-minutes 9 --resume

# Measure the models that are trained
python -m recipes.families measure --run runs/families

# One file with the results of the models so far
python -m recipes.families collect --run runs/families --json evidence/results/families.json
"""

import argparse
from pathlib import Path

from modeling_llada.training.scripts import run_script
from recipes.commands import add_collect_command, add_recipe_arguments, add_run_arguments, check_positive, run_command


# The function of each command, in a module that is imported only when the command runs.
COMMANDS = {"train": "training.train", "measure": "measuring.measure", "collect": "results.collect"}


def main(arguments: list[str] | None = None) -> None:
    run_command("recipes.families", COMMANDS, parse_arguments(arguments))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train the models of the study")
    add_recipe_arguments(train)
    train.add_argument("--corpus", help="the tokenised poems, a file of examples/pretrain.py --tokenize-only")
    add_run_arguments(train)

    measure = commands.add_parser("measure", help="measure the models that are trained, and not measured yet")
    measure.add_argument("--run", type=Path, required=True, help="the folder of the run")

    for command in (train, measure):
        command.add_argument("--model", dest="names", action="append", help="only this model; may be given again")
        command.add_argument("--device", choices=("cpu", "cuda"), help="(an accelerator, if there is one)")

    add_collect_command(commands)

    args = parser.parse_args(arguments)
    check_positive(parser, args, {"max_minutes": "--max-minutes"})
    return args


if __name__ == "__main__":
    run_script(main, name="recipes.families")
