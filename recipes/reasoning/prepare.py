# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the problems: those to train on, and held-out ones with other numbers."""

import dataclasses
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.reasoning.problems import Problem, Size, draw_problems
from recipes.reasoning.recipe import Recipe, load_recipe
from recipes.reasoning.text import build_tokenizer


SPLITS = ("train", "test")


def prepare(config: Path, data: str | None, assignments: list[str]) -> None:
    """Writes train.jsonl and test.jsonl, whose rows have `task`, `prompt` and `completion`, and the tokenizer."""
    recipe = load_recipe(config, assignments, data=data)
    folder, sizes = Path(recipe.data), recipe.tasks
    for split, number in zip(SPLITS, (recipe.trained, recipe.held_out), strict=True):
        with ProcessPoolExecutor() as pool:
            drawn = [
                pool.submit(draw_problems, task, Size(**size), number, recipe.seed, split == "test")
                for task, size in sizes.items()
            ]
            problems = [problem for one in drawn for problem in one.result()]
        lines = [json.dumps(dataclasses.asdict(problem)) + "\n" for problem in problems]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{split}.jsonl", "".join(lines))
        print(f"wrote {len(problems):,} problems to {folder / f'{split}.jsonl'}", flush=True)
    build_tokenizer().save_pretrained(folder / "tokenizer")


def load_problems(recipe: Recipe, split: str) -> list[Problem]:
    """The problems of a split, `train` or `test`."""
    path = Path(recipe.data) / f"{split}.jsonl"
    if not path.is_file():
        raise ValueError(
            f"`data` must be a folder with problems, but there is no {path}. Make it with `python -m recipes.reasoning prepare`."
        )
    with path.open(encoding="utf-8") as lines:
        return [Problem(**json.loads(line)) for line in lines]
