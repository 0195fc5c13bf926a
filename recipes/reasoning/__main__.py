# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Arithmetic and Countdown with the working written out: does it matter how GRPO scores an answer?

# The problems: those to train on, and held-out ones with other numbers
python -m recipes.reasoning prepare --config recipes/reasoning/reasoning.yaml

# The first model. After the time limit the same command goes on
python -m recipes.reasoning train --config recipes/reasoning/reasoning.yaml --max-minutes 9 --resume

# The runs on rewards, eight at a time on one GPU. After the time limit the same command goes on
python -m recipes.reasoning reward --run runs/reasoning --processes 8 --max-minutes 9

# Measure the models that are done, and write one file with the results so far
python -m recipes.reasoning measure --run runs/reasoning
python -m recipes.reasoning collect --run runs/reasoning --json evidence/results/reasoning.json
"""

import argparse
from pathlib import Path

from modeling_llada.training.scripts import run_script
from recipes.commands import add_collect_command, add_recipe_arguments, add_run_arguments, check_positive, run_command


# The function of each command, in a module that is imported only when the command runs.
COMMANDS = {
    "prepare": "prepare.prepare",
    "train": "training.train",
    "reward": "policies.reward",
    "measure": "measuring.measure",
    "collect": "results.collect",
}


def main(arguments: list[str] | None = None) -> None:
    run_command("recipes.reasoning", COMMANDS, parse_arguments(arguments))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="write the problems")
    train = commands.add_parser("train", help="train the first model on problems with their answers")
    for command in (prepare, train):
        add_recipe_arguments(command)
        command.add_argument("--data", help="the folder of the problems")
    add_run_arguments(train)

    reward = commands.add_parser("reward", help="train the first model on rewards, by all likelihoods")
    reward.add_argument("--processes", type=int, default=1, help="runs at a time, on one device (%(default)s)")
    reward.add_argument("--max-minutes", type=float, help="stop with checkpoints after this time, loading included")

    measure = commands.add_parser("measure", help="measure the models that are done, and not measured yet")
    for command in (reward, measure):
        command.add_argument("--run", type=Path, required=True, help="the folder of the run")
        command.add_argument(
            "--model", dest="names", action="append", help="only this one, as in countdown-elbo-1; may be given again"
        )
    for command in (train, reward, measure):
        command.add_argument("--device", choices=("cpu", "cuda"), help="(an accelerator, if there is one)")

    add_collect_command(commands)

    args = parser.parse_args(arguments)
    check_positive(parser, args, {"max_minutes": "--max-minutes", "processes": "--processes"})
    return args


if __name__ == "__main__":
    run_script(main, name="recipes.reasoning")
