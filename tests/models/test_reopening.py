# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reopening: committed tokens that become masks again, and the end of it."""

import pytest
import torch
from support.generate_calls import EOS, MASK, VOCAB_SIZE, tiny_model

from modeling_llada import Constraint, LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig
from modeling_llada.models.blocks_llada import Block, BlockGeometry
from modeling_llada.models.canvas_llada import Canvas
from modeling_llada.models.constraints_llada import TokenAutomaton
from modeling_llada.models.reopening_llada import ReopeningDenoiser


PROMPTS = {
    "input_ids": torch.tensor([[20, 20, 3, 4, MASK], [5, MASK, MASK, 6, 7]]),
    "attention_mask": torch.tensor([[0, 0, 1, 1, 1], [1] * 5]),
}
FAST = {"max_new_tokens": 12, "confidence_threshold": 0.12, "stop_at_eos": False}


class Watcher:
    """A stopping criterion that stops nothing, and keeps the canvas after each step."""

    def __init__(self):
        self.canvases = []

    def __call__(self, input_ids, scores):
        self.canvases.append(input_ids)
        return torch.zeros(len(input_ids), dtype=torch.bool)

    @property
    def num_reopened(self) -> int:
        pairs = zip(self.canvases, self.canvases[1:], strict=False)
        return sum(int(((before != MASK) & (after == MASK)).sum()) for before, after in pairs)


def run(model=None, **options):
    watcher = Watcher()
    model = model or tiny_model(0)
    output = model.generate(
        **PROMPTS, stopping_criteria=[watcher], return_dict_in_generate=True, output_trajectory=True, **FAST | options
    )
    return output, watcher


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("cfg_scale", [0.0, 0.5])
def test_a_check_is_the_prediction_for_a_mask_in_the_place_of_the_token(attention, cfg_scale):
    """Exactly so in a network of one layer. In a deeper one the other tokens have seen it."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LLaDAConfig(**sizes, vocab_size=VOCAB_SIZE, mask_token_id=MASK, initializer_range=0.8)
    model = LLaDAForMaskedLM._from_config(config, attn_implementation=attention).eval().double()
    canvas = Canvas.create(*PROMPTS.values(), MASK, max_new_tokens=6)
    count = torch.tensor([6, 6])
    block, where = Block.at(slice(5, 11), count, count, 6), torch.tensor([[True, False, True, True, False, False]] * 2)
    canvas.write(block, where=where, tokens=9, step=0, confidence=0.5)
    options = LLaDAGenerationConfig(
        mask_token_id=MASK, remasking="low_confidence", reopen_threshold=0.5, cfg_scale=cfg_scale, min_commits=1,
        num_return_sequences=1,
    )  # fmt: skip
    denoiser = ReopeningDenoiser(model, canvas, options, None, [None], [])

    def prediction_at(row, position):
        tokens = canvas.tokens[row].masked_fill(torch.arange(11) == position, MASK)
        canvases = torch.stack([tokens, tokens.masked_fill(canvas.given[row], MASK)])
        seen = {
            "attention_mask": canvas.attention_mask[row].expand(2, -1),
            "position_ids": canvas.position_ids[row].expand(2, -1),
        }
        with torch.no_grad():
            logits, unconditional = model(canvases, **seen).logits[:, position]
        return (unconditional + (1 + cfg_scale) * (logits - unconditional)).softmax(-1)[9].item()

    expected = [[prediction_at(row, 5 + place) if where[row, place] else 1.0 for place in range(6)] for row in (0, 1)]
    with torch.no_grad():
        denoiser.step(block)
    torch.testing.assert_close(denoiser.checks, torch.tensor(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"block_length": 5, "cfg_scale": 0.5}, {"suffix_window": 2, "block_length": 4}], ids=str
)
def test_where_no_token_is_doubted_nothing_changes(options):
    plain, _ = run(**options)
    checked, watcher = run(**options, reopen_threshold=0.0)
    assert watcher.num_reopened == 0
    assert torch.equal(plain.sequences, checked.sequences)
    assert torch.equal(plain.trajectory[0], checked.trajectory[0])
    assert torch.equal(plain.num_forward_passes, checked.num_forward_passes)


def test_tokens_are_taken_back_and_decided_anew():
    plain, _ = run()
    output, watcher = run(reopen_threshold=0.5)
    assert watcher.num_reopened > 0
    assert (watcher.canvases[-1] != MASK).all()
    assert not torch.equal(plain.sequences, output.sequences)
    is_given = (PROMPTS["input_ids"] != MASK) | (PROMPTS["attention_mask"] == 0)
    assert torch.equal(output.sequences[:, :5][is_given], PROMPTS["input_ids"][is_given])


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("options", [{}, {"steps": 5}, {"block_length": 4, "min_commits": 2}], ids=str)
def test_it_ends(seed, threshold, options):
    """Also if all tokens are doubted in every step: each step fills what the schedule asks for, beyond what it takes back."""
    output, watcher = run(tiny_model(seed), reopen_threshold=1.0, **options | {"confidence_threshold": threshold})
    assert not (output.sequences == MASK).any()
    num_masks = 12 + (PROMPTS["input_ids"] == MASK).sum(-1)
    assert (output.num_forward_passes <= num_masks).all()
    if "steps" in options:
        assert (output.num_forward_passes <= 5).all()


def test_a_schedule_alone_takes_nothing_back():
    for steps in (None, 4):
        _, watcher = run(reopen_threshold=1.0, steps=steps, confidence_threshold=None)
        assert watcher.num_reopened == 0


def test_a_constraint_is_kept():
    table = torch.tensor([[-1, 1, -1], [-1, -1, 0]])
    turns = Constraint("", TokenAutomaton(torch.arange(VOCAB_SIZE) % 2 + 1, table, torch.tensor([True, True])), "")
    options = {
        "constraint": turns,
        "reopen_threshold": 0.9,
        "eos_token_id": None,
        "pad_token_id": None,
        "logits_eos_inf": True,
    }
    output, watcher = run(**options)
    assert watcher.num_reopened > 0
    assert (output.sequences[:, 5:] % 2 == torch.arange(12) % 2).all()


def test_an_eos_that_ends_its_row_is_final():
    output, _ = run(reopen_threshold=1.0, skip_after_eos=True, stop_at_eos=True, eos_token_id=list(range(EOS)))
    assert not (output.sequences == MASK).any()


@pytest.mark.parametrize(
    "geometry, options, message",
    [
        (BlockGeometry("absolute", False, "block_causal"), {"block_length": 4}, "must be unset for this model"),
        (BlockGeometry(), {"block_cache": "dual"}, "`reopen_threshold` and `block_cache` do not go together"),
        (BlockGeometry(), {"draft_steps": 2}, "`draft_steps` and `reopen_threshold` do not go together"),
        (BlockGeometry(), {"edit_threshold": 0.5}, "`reopen_threshold` and `edit_threshold` do not go together"),
    ],
    ids=["blocks", "cache", "drafts", "edits"],
)
def test_what_it_does_not_go_with(geometry, options, message):
    with pytest.raises(ValueError, match=message):
        run(tiny_model(0, geometry), reopen_threshold=0.5, **options)
