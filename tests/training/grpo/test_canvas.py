# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Answers on the canvas that they were written on, and the replay of the order in which they were."""

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from modeling_llada.training.grpo.canvas import CanvasBehindPrompt, CanvasInPrompt
from modeling_llada.training.grpo.noise import WrittenRow, trace_noise
from modeling_llada.training.masking.evidence_bound import bound_terms


EOS, PAD, MASK = 1, 0, 98


def test_behind_the_prompt():
    """Two tokens and EOS on a canvas of five, behind a prompt that is padded; the longest completion has four tokens."""
    canvas = CanvasBehindPrompt(5, EOS, [EOS])
    ids = torch.tensor([[PAD, 7, 8, 21, 22, EOS, PAD], [5, 6, 7, 31, 32, 33, 34]])
    mask = torch.tensor([[0, 1, 1, 1, 1, 1, 0], [1] * 7])
    rows = canvas.rows(ids, mask, 4)
    assert rows.ids.tolist() == [[PAD, 7, 8, 21, 22, EOS, EOS, EOS], [5, 6, 7, 31, 32, 33, 34, EOS]]
    assert rows.seen.tolist()[0] == [False] + [True] * 7 and rows.canvas.sum(-1).tolist() == [5, 5]
    assert rows.answer.sum(-1).tolist() == [3, 4]
    tokens = torch.arange(16.0).view(2, 8)
    assert canvas.of_completion(tokens, rows, mask, 4).tolist() == [[3, 4, 5 + 6 + 7, 0], [11, 12, 13, 14 + 15]]


def test_what_was_written_behind_the_prompt_ends_at_eos():
    """And not at an EOS of the prompt."""
    filled = torch.tensor([[EOS, 7, 21, EOS, 22, EOS], [5, EOS, 31, 32, 33, 34]])
    places = CanvasBehindPrompt(4, EOS, [EOS]).completions(filled, filled[:, :2], None)
    assert [row[place].tolist() for row, place in zip(filled, places, strict=True)] == [[21, EOS], [31, 32, 33, 34]]


def test_in_the_prompt():
    canvas = CanvasInPrompt(MASK)
    ids = torch.tensor([[PAD, MASK, 8, MASK, 21, 22], [5, 6, MASK, 7, 31, PAD]])
    mask = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]])
    rows = canvas.rows(ids, mask, 2)
    assert rows.ids.tolist() == [[PAD, 21, 8, 22], [5, 6, 31, 7]]
    assert canvas.of_completion(torch.arange(8.0).view(2, 4), rows, mask, 2).tolist() == [[1, 3], [6, 0]]
    kept = canvas.kept_steps(torch.tensor([[-1, 4, -1, 2], [-1, -1, 3, -1]]), rows.canvas)
    assert kept.tolist() == [[4, 2], [3, -1]]
    assert canvas.steps(kept, rows, mask).tolist() == [[-1, 4, -1, 2], [-1, -1, 3, -1]]


def test_a_replay_scores_each_token_as_it_was_committed(tiny_model, random_ids):
    """With a group for each step: the confidences of the decoder."""
    model, prompt = tiny_model(), random_ids(1, 6)
    options = {"return_dict_in_generate": True, "output_trajectory": True, "stop_at_eos": False}
    output = model.generate(prompt, max_new_tokens=8, steps=4, **options)
    steps, confidences = (value[0] for value in output.trajectory)
    canvas = torch.arange(14) >= 6
    masks, weights = trace_noise(WrittenRow(~canvas, canvas, canvas, steps.long()), 4, torch.Generator())
    assert (masks.sum(-1).tolist(), (weights > 0).sum(-1).tolist()) == ([8, 6, 4, 2], [2, 2, 2, 2])
    ids, positions = output.sequences, weights.flatten().nonzero().flatten()
    scores = bound_terms(model, ids, torch.ones_like(ids), weights[None], positions, MASK, masks=masks[None])
    torch.testing.assert_close(scores.tokens[0, 6:].exp(), confidences[6:], rtol=1e-4, atol=1e-6)
