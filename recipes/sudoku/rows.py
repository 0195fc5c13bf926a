# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Training rows: random symmetric images of boards, made on the device, and the cells that are predicted.

- `canvas`: the board alone. Given cells are never masked, like a prompt in fine-tuning. In some of the rows all cells may be
  masked, as in pre-training.
- `answer`: the puzzle with `_` in its empty cells, followed by the solution, which is predicted. A model that reads from left to
  right needs this form.
"""

import random
import time

import torch

from modeling_llada.training import AutoregressivePretrainer, LLaDAPretrainer
from modeling_llada.training.pretraining.rows import RowEntry
from recipes.sudoku.grids import Shape
from recipes.sudoku.puzzles import Puzzles
from recipes.sudoku.solving import Solutions, answer, fill, write
from recipes.sudoku.text import FIRST_DIGIT, IDS, template


FORMS = ("canvas", "answer")


def row_width(shape: Shape, form: str) -> int:
    """The tokens of a row."""
    return len(template(shape)) * (2 if form == "answer" else 1)


class BoardRows:
    """
    A source of rows for [`LLaDAPretrainer`]. Each step has puzzles of one of several shapes. All cells may be masked in a share
    of the canvases, `free_share`. `draw` sets `maskable`: the tokens of its rows that may be masked.
    """

    def __init__(
        self,
        puzzles: dict[int, Puzzles],
        shares: dict[int, float],
        form: str,
        free_share: float = 0.0,
        device: torch.device | str = "cpu",
    ):
        if form not in FORMS:
            raise ValueError(f"`form` must be one of {', '.join(FORMS)}, but got {form!r}.")
        if not 0 <= free_share <= 1:
            raise ValueError(f"`free_share` must be in [0, 1], but got {free_share}.")
        self.form, self.free_share, self.shares = form, free_share, shares
        self.boards = {row_width(part.shape, form): Board(part, device) for part in puzzles.values()}
        widths = {part.shape.size: row_width(part.shape, form) for part in puzzles.values()}
        self.entries = [RowEntry("exact", widths[size], share) for size, share in shares.items()]
        self.maskable: torch.BoolTensor | None = None

    def entry_at(self, step: int, max_steps: int, seed: int) -> RowEntry:
        """The shape of a training step, which depends on the seed and the step only."""
        weights = [entry.share for entry in self.entries]
        return random.Random(f"entry {seed} {step}").choices(self.entries, weights)[0]

    def draw(self, entry: RowEntry, count: int, generator: torch.Generator) -> torch.LongTensor:
        """Rows of one shape, `(count, width)`."""
        board = self.boards[entry.width]
        cells, empty = board.draw(count, generator)
        if self.form == "answer":
            question = board.rows(cells.masked_fill(empty, IDS["_"]))
            answer = board.rows(cells)
            self.maskable = torch.cat([torch.zeros_like(question), torch.ones_like(answer)], dim=1).bool()
            return torch.cat([question, answer], dim=1)
        is_free = torch.rand(count, 1, generator=generator, device=generator.device) < self.free_share
        self.maskable = board.rows((empty | is_free).long(), fixed=0).bool()
        return board.rows(cells)


class Board:
    """The puzzles of one shape on a device."""

    def __init__(self, puzzles: Puzzles, device: torch.device | str):
        self.shape = puzzles.shape
        self.solutions = torch.from_numpy(puzzles.solutions).to(device)
        self.is_empty = torch.from_numpy(puzzles.puzzles == 0).to(device)
        self.template = torch.from_numpy(template(self.shape)).to(device)
        self.places = (self.template < 0).nonzero().squeeze(1)

    def draw(self, count: int, generator: torch.Generator) -> tuple[torch.LongTensor, torch.BoolTensor]:
        """Random symmetric images of random puzzles: the tokens of their solutions, and the empty cells, `(count, cells)`."""
        n, device = self.shape.size, generator.device
        index = torch.randint(len(self.solutions), (count,), generator=generator, device=device)
        rows = shuffle_lines(count, n, self.shape.box_height, generator)
        columns = shuffle_lines(count, n, self.shape.box_width, generator)
        place = rows[:, :, None] * n + columns[:, None, :]
        if self.shape.is_square:
            turned = torch.rand(count, 1, 1, generator=generator, device=device) < 0.5
            place = torch.where(turned, place.transpose(1, 2), place)
        place = place.flatten(1)
        solutions = self.solutions[index].flatten(1).long().gather(1, place)
        empty = self.is_empty[index].flatten(1).gather(1, place)
        digits = torch.rand(count, n, generator=generator, device=device).argsort(1)
        return digits.gather(1, solutions - 1) + FIRST_DIGIT, empty

    def rows(self, cells: torch.LongTensor, fixed: int | None = None) -> torch.LongTensor:
        """Rows with these cells, and with the tokens of the board between them, or `fixed`."""
        between = self.template if fixed is None else torch.full_like(self.template, fixed)
        rows = between.repeat(len(cells), 1)
        # By index, because a mask would wait for the device.
        return rows.index_copy(1, self.places, cells)


def shuffle_lines(count: int, size: int, band: int, generator: torch.Generator) -> torch.LongTensor:
    """Random orders of rows that keep bands together, `(count, size)`."""
    device, bands = generator.device, size // band
    order = torch.rand(count, bands, 1, generator=generator, device=device).argsort(1)
    within = torch.rand(count, bands, band, generator=generator, device=device).argsort(2)
    return (order * band + within).flatten(1)


class SolvesPuzzles:
    """Evaluates a trainer by the puzzles that its model solves, instead of a held-out loss."""

    def solve(self, puzzles: Puzzles) -> Solutions:
        raise NotImplementedError

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """The share of solved held-out puzzles for each size, such as `eval_4x4_solved`."""
        started, metrics = time.monotonic(), {}
        for puzzles in (self.eval_dataset if eval_dataset is None else eval_dataset).values():
            solved = self.solve(puzzles).solved(puzzles).mean()
            metrics[f"{metric_key_prefix}_{puzzles.shape.name}_solved"] = round(float(solved), 4)
        metrics[f"{metric_key_prefix}_runtime"] = round(time.monotonic() - started, 3)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class BoardPretrainer(SolvesPuzzles, LLaDAPretrainer):
    """[`LLaDAPretrainer`] on boards."""

    def solve(self, puzzles: Puzzles) -> Solutions:
        # No recording, because it would keep the memory of weights that change.
        solve = fill if self.train_dataset.form == "canvas" else answer
        return solve(self.model, puzzles, disable_compile=True)


class BoardTwinPretrainer(SolvesPuzzles, AutoregressivePretrainer):
    """[`AutoregressivePretrainer`] on boards."""

    def solve(self, puzzles: Puzzles) -> Solutions:
        return write(self.model, puzzles)
