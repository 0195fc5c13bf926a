# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tasks on which rules are judged: each answers its questions with a rule, and counts forward passes and seconds."""

import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

import modeling_llada  # noqa: F401  registers the classes
from evidence.exact.distances import share_of_excess
from evidence.exact.model import HiddenMarkovModel
from evidence.exact.truth import BATCH, sample, true_distribution
from evidence.quality.answers import Examiner
from evidence.quality.settings import Rule, Setting, usual_block_length
from evidence.quality.tasks import TASKS as POEM_TASKS
from evidence.quality.tasks import questions_of
from recipes.sudoku.grids import SHAPES
from recipes.sudoku.puzzles import Puzzles, own_puzzles
from recipes.sudoku.solving import fill


ROOT = Path(__file__).resolve().parents[2]
TASKS = POEM_TASKS | {
    "sudoku": (None, "a 9x9 Sudoku with about 40 empty cells"),
    "exact": (None, "samples of a model whose probabilities are known, at temperature 1"),
}
EXACT_LENGTH = 5  # tokens of a text
SAMPLES = 128  # texts of the exact model for each question of the other tasks


class PoemTask:
    """The questions of one of the tasks of evidence/quality."""

    def __init__(self, name: str, limit: int, seed: int):
        folder = ROOT / "checkpoints/llada-poet"
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        questions = {name: questions_of(name, limit, seed)}
        self.name, self.examiner = name, Examiner({None: model}, tokenizer, questions, 64, seed)

    def ask(self, rule: Rule) -> dict:
        """The result of a rule: a hit for each question, and the mean numbers of forward passes and tokens."""
        return self.examiner.ask(Setting(self.name, rule, None, usual_block_length(self.name)))[0]


class SudokuTask:
    """New puzzles of the kind that llada-sudoku was trained on."""

    def __init__(self, limit: int, seed: int):
        self.model = AutoModel.from_pretrained(ROOT / "checkpoints/llada-sudoku", dtype=torch.float32).eval()
        drawn = islice(own_puzzles(SHAPES[9], seed), limit)
        self.puzzles = Puzzles(SHAPES[9], *(np.stack(part) for part in zip(*drawn, strict=True)))
        self.seed = seed

    def ask(self, rule: Rule) -> dict:
        """As [`PoemTask.ask`]; a hit is a puzzle that is solved."""
        num_empty = float((self.puzzles.puzzles == 0).sum((1, 2)).mean())
        found = fill(self.model, self.puzzles, len(self.puzzles), self.seed, **options_of(rule, round(num_empty)))
        return {
            "hits": as_hits(found.solved(self.puzzles)),
            "forward_passes": round(float(found.forward_passes.mean()), 4),
            "tokens": round(num_empty, 4),
        }


class ExactTask:
    """Texts that are sampled from a model whose probabilities are known."""

    def __init__(self, limit: int, seed: int):
        self.model, self.seed = HiddenMarkovModel(), seed
        self.num_samples = min(SAMPLES * limit, BATCH)  # one call, as a rule may remember its steps
        self.truth = true_distribution(self.model, EXACT_LENGTH)
        sample(self.model, EXACT_LENGTH, self.num_samples, seed, temperature=1.0)  # the first call takes longer

    def ask(self, rule: Rule) -> dict:
        """
        As [`PoemTask.ask`]; a hit is a text that does not come too often. A right sampler has as many as the truth, and
        `expected` is the share that the truth lacks, so that hits and `expected` add up to 1 minus the total variation.
        """
        options = {"temperature": 1.0} | options_of(rule, EXACT_LENGTH)
        numbers, passes = sample(self.model, EXACT_LENGTH, self.num_samples, self.seed, **options)
        too_often, expected = share_of_excess(self.truth, numbers)
        return {
            "hits": as_hits(~too_often.numpy()),
            "expected": round(expected, 6),
            "forward_passes": round(passes, 4),
            "tokens": EXACT_LENGTH,
        }


def open_task(name: str, limit: int, seed: int) -> PoemTask | SudokuTask | ExactTask:
    """Loads the model and the questions of a task."""
    if name in POEM_TASKS:
        return PoemTask(name, limit, seed)
    return SudokuTask(limit, seed) if name == "sudoku" else ExactTask(limit, seed)


def ask(task: PoemTask | SudokuTask | ExactTask, rule: Rule) -> dict:
    """The result of a rule, with the processor time that it took, on which other work of the machine has little influence."""
    started = time.process_time()
    result = task.ask(rule)
    kept = {name: result[name] for name in ("hits", "expected", "forward_passes", "tokens") if name in result}
    return kept | {"cpu_seconds": round(time.process_time() - started, 3)}


def options_of(rule: Rule, num_masks: int) -> dict:
    """The options of `generate` for a canvas in one block."""
    steps = {"steps": -(-num_masks // rule.tokens_per_step)} if rule.tokens_per_step > 1 else {}
    return {**rule.options, **steps}


def as_hits(is_hit: np.ndarray) -> str:
    return "".join(str(int(one)) for one in is_hit)
