# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA-V from random weights: a vision tower, then the three stages, on emoji, signs, tables and charts.

    # The pictures, and the tokenizer
    python -m recipes.vision.prepare

    # 18 minutes on one H200. After an interruption the same command goes on
    python -m recipes.vision train --config recipes/vision/vision.yaml
    python -m recipes.vision evaluate --model runs/vision/final --json runs/vision/results.json

    # Studies: what a stage, the pictures and the tiles buy, in short runs from one tower
    python -m recipes.vision train --config recipes/vision/vision.yaml --output-dir runs/blind --blind \
        --base runs/vision --minutes 1=0.3,2=2,3=0.7

    python -m recipes.vision evaluate --model runs/blind/final --json runs/blind/results.json --blind

    # Seconds of an answer on this machine, and all results in one file
    python -m recipes.vision time --model runs/vision/final --json runs/vision/seconds.json
    python -m recipes.vision collect --run runs/vision --studies runs/short runs/blind --json evidence/results/vision.json

    # The folder for the Hub: weights, processor, model card, results
    python -m recipes.vision export --run runs/vision --results runs/vision/results.json \
        --collected evidence/results/vision.json
"""

import argparse
from pathlib import Path

from modeling_llada.training.scripts import run_script
from recipes.commands import add_collect_command, add_recipe_arguments, check_positive, run_command


# The function of each command, in a module that is imported only when the command runs.
COMMANDS = {
    "train": "training.train",
    "evaluate": "evaluation.evaluate",
    "time": "evaluation.time_checkpoint",
    "collect": "results.collect",
    "export": "card.export",
}


def main(arguments: list[str] | None = None) -> None:
    run_command("recipes.vision", COMMANDS, parse_arguments(arguments))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train the tower and the three stages")
    add_recipe_arguments(train)
    train.add_argument("--output-dir", dest="output_dir", help="the folder of the run")
    train.add_argument("--archive", help="the file of prepare")
    train.add_argument("--minutes", help="of each stage, as in tower=4,1=1,2=9,3=3")
    train.add_argument("--steps", help="of each stage, in the place of minutes, as in tower=100,1=10,2=50,3=20")
    train.add_argument(
        "--skip-stage",
        dest="skipped",
        action="append",
        default=[],
        choices=("tower", "1", "2", "3"),
        help="leave it out",
    )
    train.add_argument("--base", type=Path, help="another run, whose tower is taken in the place of training one")
    train.add_argument("--blind", action="store_true", default=None, help="grey pictures")
    train.add_argument(
        "--one-tile", dest="one_tile", action="store_true", default=None, help="no any-resolution tiles"
    )
    train.add_argument(
        "--check-rows", dest="check_rows", type=int, help="questions of each task after each stage, 0 for none"
    )
    train.add_argument("--device", choices=("cpu", "cuda"), help="(an accelerator, if there is one)")

    evaluate = commands.add_parser("evaluate", help="answer held-out questions, and score them by task")
    add_checkpoint_arguments(evaluate)
    evaluate.add_argument("--rows", type=int, default=500, help="questions of each task (%(default)s)")
    evaluate.add_argument("--blind", action="store_true", help="grey pictures")
    evaluate.add_argument("--batch-size", type=int, default=250, help="(%(default)s)")
    evaluate.add_argument("--workers", type=int, default=0, help="processes that draw (%(default)s)")
    evaluate.add_argument("--seed", type=int, default=0, help="of the questions (%(default)s)")
    evaluate.add_argument("--device", help="(an accelerator, if there is one)")

    timing = commands.add_parser("time", help="measure the seconds of an answer on this machine")
    add_checkpoint_arguments(timing)
    timing.add_argument("--questions", type=int, default=10, help="whose median is taken (%(default)s)")
    timing.add_argument("--device", default="cpu", help="(%(default)s)")

    collect = add_collect_command(commands)
    collect.add_argument(
        "--studies",
        type=Path,
        nargs="*",
        default=[],
        help="the folders of short runs; the first one has all pictures, tiles and stages",
    )

    export = commands.add_parser("export", help="write the folder for the Hub")
    export.add_argument("--run", type=Path, required=True, help="the folder of the run")
    export.add_argument("--results", type=Path, required=True, help="the file of evaluate")
    export.add_argument("--collected", type=Path, help="the file of collect, for the short runs and the seconds")
    export.add_argument("--output", type=Path, default=Path("checkpoints/llada-v-tiny"), help="(%(default)s)")

    args = parser.parse_args(arguments)
    check_positive(parser, args, {"rows": "--rows", "batch_size": "--batch-size", "questions": "--questions"})
    return args


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the commands have that ask a checkpoint questions."""
    parser.add_argument("--model", type=Path, required=True, help="the folder of a checkpoint")
    parser.add_argument(
        "--archive", type=Path, default=Path("data/vision.zip"), help="the file of prepare (%(default)s)"
    )
    parser.add_argument("--json", dest="output", type=Path, required=True, help="where the results go")


if __name__ == "__main__":
    run_script(main, name="recipes.vision")
