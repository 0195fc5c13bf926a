# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`skip_after_eos`: masks behind an EOS that was committed in the answer are not filled any more."""

import pytest
import torch
from support.mock_model import EOS, MASK, PAD, PROMPT, MockModel, context_script, details, peaked, scripted, steps_of
from support.parallel_rules import PARALLEL_RULES
from transformers import StoppingCriteria

from modeling_llada.models.remasking_llada import split_steps, step_budget


CUTTING = {"skip_after_eos": True, "eos_token_id": list(range(2, 12))}


def decode(script, prompt, max_new_tokens, block_length, steps):
    """The answer, and the number of forward passes: algorithm 5 of the paper, with the cut, in a plain loop."""
    canvas, length = [*prompt, *[MASK] * max_new_tokens], len(prompt)
    starts = range(length, len(canvas), block_length)
    spans = [(0, length), *((start, min(start + block_length, len(canvas))) for start in starts)]
    counts = torch.tensor([[canvas[start:stop].count(MASK) for start, stop in spans]])
    num_steps, passes, end = split_steps(counts, steps)[0], 0, len(canvas)
    for index, (start, stop) in enumerate(spans):
        step = 0
        while masks := [place for place in range(start, min(stop, end)) if canvas[place] == MASK]:
            logits = script(torch.tensor([canvas]))[0]
            probabilities = logits.softmax(-1)
            logits[:, MASK] = -torch.inf
            best = logits.argmax(-1).tolist()
            masks.sort(key=lambda place: -probabilities[place, best[place]])
            for place in masks[: int(step_budget(counts[0, index], num_steps[index], step))]:
                canvas[place] = best[place]
            ends = [place for place in range(length, len(canvas)) if canvas[place] in CUTTING["eos_token_id"]]
            end, step, passes = min([end, *ends]), step + 1, passes + 1
        if end < stop:
            break
    return canvas[: end + 1] + [PAD] * (len(canvas) - end - 1), passes


def test_steps_go_to_the_masks_before_it():
    output = details(scripted([0.5, 0.6, 0.9, 0.8], [10, 11, EOS, 13]), max_new_tokens=4, skip_after_eos=True)
    assert output.sequences[0, 3:].tolist() == [10, 11, EOS, PAD]
    assert steps_of(output) == [2, 1, 0, -1]
    assert output.num_forward_passes.tolist() == [3]


def test_an_earlier_eos_moves_the_end():
    output = details(scripted([0.5, 0.6, 0.7, 0.9], [10, EOS, 12, EOS]), max_new_tokens=4, skip_after_eos=True)
    assert output.sequences[0, 3:].tolist() == [10, EOS, PAD, PAD]
    assert steps_of(output) == [3, 2, -1, -1]


def test_an_eos_in_the_prompt_cuts_nothing():
    model = MockModel(peaked([EOS, 3, EOS, 10, 11], [0.9] * 5))
    output = model.generate(torch.tensor([[MASK, EOS, MASK]]), max_new_tokens=2, skip_after_eos=True)
    assert output.tolist() == [[EOS, EOS, EOS, 10, 11]]


def test_it_has_no_effect_where_eos_does_not_stop():
    model = scripted([0.5, 0.6, 0.9, 0.8], [10, 11, EOS, 13])
    output = model.generate(PROMPT, max_new_tokens=4, skip_after_eos=True, stop_at_eos=False)
    assert output[0, 3:].tolist() == [10, 11, EOS, 13]


@pytest.mark.parametrize("options", [(12, 12, None), (12, 5, None), (14, 6, 7)], ids=str)
def test_a_plain_loop(options):
    """On prompts with masks inside. The cut saves forward passes."""
    max_new_tokens, block_length, steps = options
    passes = []
    for seed in range(12):
        script, prompt = context_script(seed=seed), [2, MASK, 4, MASK]
        output = details(
            MockModel(script),
            torch.tensor([prompt]),
            max_new_tokens=max_new_tokens,
            block_length=block_length,
            steps=steps,
            **CUTTING,
        )
        passes.append(output.num_forward_passes.item())
        assert (output.sequences[0].tolist(), passes[-1]) == decode(script, prompt, *options)
    assert min(passes) < (steps or max_new_tokens + 2)


@pytest.mark.parametrize("options", [{}, {"steps": 6}, {"block_length": 5}, *PARALLEL_RULES.values()], ids=str)
@pytest.mark.parametrize("draft_steps", [2, 4])
def test_drafts_change_no_token(options, draft_steps):
    """Also where an EOS was guessed that is not committed."""
    prompts = torch.randint(12, 27, (24, 5), generator=torch.Generator().manual_seed(0))
    for seed in range(4):
        single, drafted = (
            details(MockModel(context_script(seed=seed)), prompts, max_new_tokens=12, **CUTTING, **options, **more)
            for more in ({}, {"draft_steps": draft_steps})
        )
        assert torch.equal(drafted.sequences, single.sequences)
        assert torch.equal(drafted.trajectory[0] >= 0, single.trajectory[0] >= 0)
        assert (drafted.num_forward_passes <= single.num_forward_passes).all()


@pytest.mark.parametrize("block_cache", ["dual", "prefix", "vicinity"])
def test_drafts_with_a_cache(tiny_model, random_ids, block_cache):
    """A row of drafts whose guessed EOS was wrong needs its keys and values again."""
    options = {"max_new_tokens": 14, "skip_after_eos": True, "block_cache": block_cache, "cfg_scale": 0.5}
    model, prompts = tiny_model(), random_ids(12, 4)
    for first in range(0, 98, 16):
        options["eos_token_id"] = list(range(first, min(first + 40, 98)))
        single, drafted = (model.generate(prompts, **options, **more) for more in ({}, {"draft_steps": 4}))
        assert torch.equal(drafted, single)


class StopAtTwo(StoppingCriteria):
    """Stops a row with two tokens in its answer."""

    def __call__(self, input_ids, scores, **kwargs):
        return (input_ids[:, 3:] != MASK).sum(-1) == 2


def test_a_row_that_is_stopped_has_pads_behind_the_eos_too():
    model = scripted([0.5, 0.6, 0.9, 0.8], [10, 11, EOS, 13])
    output = details(model, max_new_tokens=4, skip_after_eos=True, stopping_criteria=[StopAtTwo()])
    assert output.sequences[0, 3:].tolist() == [PAD, 11, EOS, PAD]
    assert output.stopped.tolist() == [True]
