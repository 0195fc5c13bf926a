# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Sudoku by masked diffusion: the puzzle with [MASK] in its empty cells is the canvas.

    # 4x4 in minutes on a CPU: LLaDA, and the autoregressive twin on the same puzzles
    python -m recipes.sudoku prepare --sizes 4 --output data/sudoku4.npz
    python -m recipes.sudoku train --config recipes/sudoku/sudoku_cpu.yaml --device cpu
    python -m recipes.sudoku train --config recipes/sudoku/sudoku_cpu.yaml --device cpu --twin
    python -m recipes.sudoku evaluate --run runs/sudoku4 --json runs/sudoku4/results.json
    python -m recipes.sudoku sweep --model runs/sudoku4/llada/final --puzzles data/sudoku4.npz --size 4 \
        --json runs/sudoku4/steps.json

    # All three sizes, 7 minutes on one H100, and as long for the twin. After the time limit the same command continues
    python -m recipes.sudoku prepare --output data/sudoku.npz
    python -m recipes.sudoku train --config recipes/sudoku/sudoku.yaml --max-minutes 9 --resume
    python -m recipes.sudoku train --config recipes/sudoku/sudoku.yaml --max-minutes 9 --resume --twin
    python -m recipes.sudoku evaluate --run runs/sudoku --json runs/sudoku/results.json
    python -m recipes.sudoku sweep --model checkpoints/llada-sudoku --size 6 9 --limit 100 --json runs/sudoku/steps.json

    # Hard puzzles, of 21 to 40 given digits: train on the whole range, and count solved puzzles by their number
    python -m recipes.sudoku hard --puzzles data/sudoku.npz --output data/sudoku_hard.npz --processes 16
    python -m recipes.sudoku train --config recipes/sudoku/sudoku.yaml --puzzles data/sudoku_hard.npz --output-dir runs/hard
    python -m recipes.sudoku clues --model checkpoints/llada-sudoku --json runs/sudoku/clues.json

    # The folder for the Hub: weights, tokenizer, model card, results
    python -m recipes.sudoku export --run runs/sudoku --results evidence/results/sudoku.json \
        --steps evidence/results/sudoku_steps.json --output checkpoints/llada-sudoku

    # The puzzles that the Space offers
    python -m recipes.sudoku space

reasoning-gym makes the held-out puzzles (`pip install -e '.[puzzles]'`). Training needs only the file of `prepare`.
"""

import argparse
from pathlib import Path

from modeling_llada.training.scripts import run_script
from recipes.commands import add_recipe_arguments, check_positive, run_command


SIZES = (4, 6, 9)


# The function of each command, in a module that is imported only when the command runs.
COMMANDS = {
    "prepare": "prepare.prepare",
    "train": "training.train",
    "evaluate": "results.evaluate",
    "sweep": "sweep.sweep",
    "hard": "prepare_hard.prepare_hard",
    "clues": "clues.count_by_clues",
    "export": "card.export",
    "space": "space_puzzles.write_puzzles",
}


def main(arguments: list[str] | None = None) -> None:
    run_command("recipes.sudoku", COMMANDS, parse_arguments(arguments))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="write puzzles to train on and held-out puzzles into one file")
    prepare.add_argument("--output", type=Path, default=Path("data/sudoku.npz"), help="the file (%(default)s)")
    prepare.add_argument("--sizes", type=int, nargs="+", choices=SIZES, default=list(SIZES), help="(all)")
    prepare.add_argument(
        "--held-out", dest="num_held_out", type=int, default=1000, help="test puzzles of each size (%(default)s)"
    )
    prepare.add_argument(
        "--trained", dest="num_trained", type=int, help="training puzzles of each size (1,000, 5,000 and 5,000)"
    )
    prepare.add_argument("--seed", type=int, default=0, help="(%(default)s)")

    train = commands.add_parser("train", help="train LLaDA, or with --twin the autoregressive twin")
    add_recipe_arguments(train)
    train.add_argument("--twin", action="store_true", help="train an autoregressive Llama of the same shape instead")
    train.add_argument(
        "--form", choices=("canvas", "answer"), help="what LLaDA reads: the board, or the puzzle and its answer"
    )
    train.add_argument("--resume", action="store_true", help="continue from the last checkpoint, if there is one")
    train.add_argument("--max-minutes", type=float, help="stop with a checkpoint after this time, loading included")
    train.add_argument("--max-steps", type=int, help="optimiser steps of the whole run")
    train.add_argument("--output-dir", help="the folder of the run")
    train.add_argument("--puzzles", help="the file of prepare")
    train.add_argument("--device", choices=("cpu", "cuda"), help="(an accelerator, if there is one)")

    evaluate = commands.add_parser("evaluate", help="solve the held-out puzzles with all models of a run")
    evaluate.add_argument("--run", type=Path, required=True, help="the folder of the run")
    evaluate.add_argument("--puzzles", type=Path, help="the file of prepare (the one of the run)")
    evaluate.add_argument("--json", dest="output", type=Path, required=True, help="where the results go")
    evaluate.add_argument("--limit", type=int, help="puzzles of each size, at most (all)")
    evaluate.add_argument("--device", help="(an accelerator, if there is one)")

    sweep = commands.add_parser("sweep", help="count solved puzzles and forward passes for all ways of decoding")
    sweep.add_argument("--model", type=Path, required=True, help="folder of a LLaDA that fills boards")
    sweep.add_argument("--puzzles", type=Path, default=Path("data/sudoku.npz"), help="the file of prepare")
    sweep.add_argument("--size", dest="sizes", type=int, choices=SIZES, nargs="+", default=[9], help="(%(default)s)")
    sweep.add_argument("--limit", type=int, default=500, help="puzzles, at most (%(default)s)")
    sweep.add_argument("--seed", type=int, default=0, help="seed of random remasking (%(default)s)")
    sweep.add_argument("--device", help="(an accelerator, if there is one)")
    sweep.add_argument("--json", dest="output", type=Path, required=True, help="the results, saved after each setting")

    hard = commands.add_parser("hard", help="write 9x9 puzzles of the whole range of given digits into one file")
    hard.add_argument("--output", type=Path, default=Path("data/sudoku_hard.npz"), help="the file (%(default)s)")
    hard.add_argument("--puzzles", type=Path, help="add them to the puzzles of this file of prepare")
    hard.add_argument("--fewest", type=int, default=21, help="given digits of held-out puzzles (%(default)s)")
    hard.add_argument("--most", type=int, default=40, help="(%(default)s)")
    hard.add_argument("--number", type=int, default=100, help="held-out puzzles of each number (%(default)s)")
    hard.add_argument(
        "--trained", dest="num_trained", type=int, default=20_000, help="puzzles to train on (%(default)s)"
    )
    hard.add_argument("--processes", type=int, default=1, help="(%(default)s)")
    hard.add_argument("--seed", type=int, default=0, help="(%(default)s)")

    clues = commands.add_parser("clues", help="count solved puzzles by the number of given digits")
    clues.add_argument("--model", type=Path, required=True, help="folder of a LLaDA that fills boards")
    clues.add_argument("--puzzles", type=Path, default=Path("data/sudoku_hard.npz"), help="the file of hard")
    clues.add_argument("--limit", type=int, help="puzzles of each number, at most (all)")
    clues.add_argument("--device", help="(an accelerator, if there is one)")
    clues.add_argument("--json", dest="output", type=Path, required=True, help="the results, saved after each number")

    export = commands.add_parser("export", help="write the folder for the Hub")
    export.add_argument("--run", type=Path, required=True, help="the folder of the run")
    export.add_argument("--results", type=Path, required=True, help="the file of evaluate")
    export.add_argument("--steps", type=Path, help="the file of sweep, for more tables in the card")
    export.add_argument("--output", type=Path, default=Path("checkpoints/llada-sudoku"), help="(%(default)s)")

    space = commands.add_parser("space", help="write the puzzles that the Space offers")
    space.add_argument("--output", type=Path, default=Path("space/llada_space/puzzles.json"), help="(%(default)s)")
    space.add_argument("--number", type=int, default=8, help="puzzles of each size and difficulty (%(default)s)")
    space.add_argument("--seed", type=int, default=2026, help="(%(default)s)")

    args = parser.parse_args(arguments)
    names = ("num_held_out", "num_trained", "limit", "max_minutes", "max_steps", "number", "processes")
    check_positive(parser, args, {name: f"--{name.removeprefix('num_').replace('_', '-')}" for name in names})
    return args


if __name__ == "__main__":
    run_script(main, name="recipes.sudoku")
