# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Solves puzzles with a model: LLaDA fills the board or the answer, the twin writes the answer from left to right."""

from dataclasses import dataclass

import numpy as np
import torch

from modeling_llada.seeds import indexed_generator
from recipes.sudoku.grids import solves
from recipes.sudoku.puzzles import Puzzles
from recipes.sudoku.text import BLANK, IDS, MASK, boards_to_ids, ids_to_grids


@dataclass
class Solutions:
    """The grids that a model filled in, `(number, size, size)`, with 0 for a token that is no digit, and its forward passes, `(number,)`."""

    grids: np.ndarray
    forward_passes: np.ndarray

    def solved(self, puzzles: Puzzles) -> np.ndarray:
        """Whether each grid follows all rules and keeps the given digits."""
        return solves(self.grids, puzzles.puzzles, puzzles.shape)

    def right_cells(self, puzzles: Puzzles) -> float:
        """The share of the empty cells with the right digit."""
        empty = puzzles.puzzles == 0
        return float((self.grids == puzzles.solutions)[empty].mean())


def fill(model, puzzles: Puzzles, batch_size: int = 256, seed: int = 0, **options) -> Solutions:
    """Fills the empty cells of the boards themselves. The options are those of `generate`, and the seed is that of the noise."""
    return _denoise(model, puzzles, boards_to_ids(puzzles.puzzles, puzzles.shape, MASK), 0, batch_size, seed, options)


def answer(model, puzzles: Puzzles, batch_size: int = 256, seed: int = 0, **options) -> Solutions:
    """Writes the solutions after the puzzles; see [`fill`]."""
    ids = boards_to_ids(puzzles.puzzles, puzzles.shape, BLANK)
    return _denoise(model, puzzles, ids, ids.shape[1], batch_size, seed, options)


@torch.no_grad()
def _denoise(model, puzzles, ids, max_new_tokens, batch_size, seed, options) -> Solutions:
    was_training = model.training
    model.eval()
    grids, passes = [], []
    needs_noise = options.get("remasking") == "random" or options.get("temperature", 0) > 0
    for start in range(0, len(ids), batch_size):
        part = torch.from_numpy(ids[start : start + batch_size]).to(model.device)
        generators = [indexed_generator(seed, start + row, model.device) for row in range(len(part))]
        output = model.generate(
            part,
            max_new_tokens=max_new_tokens,
            stop_at_eos=False,
            generator=generators if needs_noise else None,
            return_dict_in_generate=True,
            **options,
        )
        grids.append(ids_to_grids(output.sequences[:, -ids.shape[1] :].cpu().numpy(), puzzles.shape))
        passes.append(output.num_forward_passes.cpu().numpy())
    model.train(was_training)
    return Solutions(np.concatenate(grids), np.concatenate(passes))


@torch.no_grad()
def write(twin, puzzles: Puzzles, batch_size: int = 256) -> Solutions:
    """Writes the solutions after the puzzles with the twin, greedily from left to right, one token in a forward pass."""
    was_training = twin.training
    twin.eval()
    ids = boards_to_ids(puzzles.puzzles, puzzles.shape, BLANK)
    width = ids.shape[1]
    prompts = np.pad(ids, ((0, 0), (1, 0)), constant_values=twin.config.bos_token_id)
    grids = []
    for start in range(0, len(ids), batch_size):
        part = torch.from_numpy(prompts[start : start + batch_size]).to(twin.device)
        written = twin.generate(
            part,
            attention_mask=torch.ones_like(part),
            max_new_tokens=width,
            min_new_tokens=width,
            do_sample=False,
            pad_token_id=IDS["<|endoftext|>"],
        )
        grids.append(ids_to_grids(written[:, -width:].cpu().numpy(), puzzles.shape))
    twin.train(was_training)
    return Solutions(np.concatenate(grids), np.full(len(ids), width))
