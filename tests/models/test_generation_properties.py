# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Properties that `generate` keeps under random valid combinations of all its options."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.generate_calls import BAD_VALUES, EOS, MASK, NO_EDITS, PAD, calls, check_rows_alone


def as_ids(token_ids):
    return torch.tensor([token_ids] if isinstance(token_ids, int) else token_ids)


@contextmanager
def count_passes(model):
    """Yields a list that gets an entry for each forward pass."""
    passes = []
    hook = model.register_forward_pre_hook(lambda module, args: passes.append(module))
    yield passes
    hook.remove()


@given(calls())
def test_the_canvas_is_finished_and_the_numbers_of_the_output_agree(call):
    output = call()
    inputs = {name: value.repeat_interleave(call.repeats, dim=0) for name, value in call.inputs().items()}
    length = inputs["input_ids"].shape[1]
    is_given = (inputs["input_ids"] != MASK) | (inputs["attention_mask"] == 0)
    prompt, answer = output.sequences[:, :length], output.sequences[:, length:]
    step, confidence = output.trajectory

    assert output.sequences.shape == (len(is_given), length + call.max_new_tokens)
    assert torch.equal(prompt[is_given], inputs["input_ids"][is_given])
    assert not (prompt[~is_given] == MASK).any() and not (answer == MASK).any()
    assert (step[:, :length][is_given] == -1).all()
    assert (step < output.num_forward_passes[:, None]).all()
    assert torch.equal(step >= 0, ~confidence.isnan())
    assert torch.equal(output.tokens_per_forward, (step >= 0).sum(-1) / output.num_forward_passes.clamp(min=1))

    if call.options.get("stop_at_eos", True):
        pad = call.options.get("pad_token_id", PAD)
        is_eos = torch.isin(answer, as_ids(call.options.get("eos_token_id", EOS)))
        stopped = torch.zeros(len(answer), dtype=torch.bool) if output.stopped is None else output.stopped
        behind = (is_eos.cumsum(-1) - is_eos.long() > 0) & ~stopped[:, None]
        assert (answer[behind] == pad).all() and (step[:, length:][behind] == -1).all()

    num_masks = (~is_given).sum(-1) + call.max_new_tokens
    num_blocks = 1 + -(-call.max_new_tokens // call.options.get("block_length", call.max_new_tokens or 1))
    if call.options.get("edit_threshold") is not None:
        assert (
            output.num_forward_passes <= 2 * (num_masks + num_blocks * call.options.get("max_post_edit_steps", 16))
        ).all()
    else:
        assert (output.num_forward_passes <= num_masks).all()
        if call.options.get("steps") is not None and not callable(call.options.get("remasking")):
            assert (output.num_forward_passes <= max(call.options["steps"], num_blocks)).all()


@given(calls())
def test_a_row_does_not_depend_on_its_batch(call):
    check_rows_alone(call)


@given(calls())
def test_the_same_seeds_give_the_same_tokens_and_count_the_passes_that_are_made(call):
    with count_passes(call.model) as passes:
        first = call()
    second = call()
    assert torch.equal(first.sequences, second.sequences)
    assert torch.equal(first.num_forward_passes, second.num_forward_passes)
    # Rows that are at the end leave the batch, so a pass has the row that needs the most of them in each block.
    if len(first.sequences) == 1:
        assert first.num_forward_passes.item() == len(passes)
    assert first.num_forward_passes.max() <= len(passes) <= first.num_forward_passes.sum()


@given(calls(), st.sampled_from(["prefix", "dual", "vicinity"]))
def test_a_cache_that_is_refreshed_in_each_step_is_no_cache(call, kind):
    plain = dict.fromkeys(["block_cache", "cache_refresh_interval", "draft_steps", "reopen_threshold"])
    exact = call.with_options(**plain)()
    refreshed = call.with_options(**plain | {"block_cache": kind, "cache_refresh_interval": 1})()
    assert torch.equal(exact.sequences, refreshed.sequences)
    assert torch.equal(exact.num_forward_passes, refreshed.num_forward_passes)


@given(calls())
def test_drafts_change_no_token(call):
    # A criterion is asked once a forward pass, and drafts make several steps in one.
    greedy = {"temperature": 0.0, "cache_refresh_interval": None, "draft_steps": None, "stopping_criteria": None}
    greedy |= NO_EDITS
    if call.options.get("remasking") == "random":
        greedy["remasking"] = "low_confidence"
    one_by_one = call.with_options(**greedy)()
    drafted = call.with_options(**greedy | {"draft_steps": 3})()
    assert torch.equal(one_by_one.sequences, drafted.sequences)
    assert (drafted.num_forward_passes <= one_by_one.num_forward_passes).all()


@given(calls(), st.sampled_from(sorted(BAD_VALUES)), st.data())
def test_a_bad_argument_is_an_error_that_names_it_before_any_forward_pass(call, name, data):
    arguments = call.inputs() | call.options | {name: data.draw(BAD_VALUES[name])}
    with count_passes(call.model) as passes, pytest.raises(ValueError, match=f"`{name}"):
        call.model.generate(**arguments)
    assert not passes
