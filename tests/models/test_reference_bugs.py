# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Where the official `generate.py` is wrong, and we do otherwise on purpose.

Parity holds where the reference defines a meaning (test_golden.py). Each test here is one of its bugs. More of them are in
test_sampling.py (overflow, ties in half precision) and test_generation.py (EOS options at a temperature).
"""

import pytest
import torch
from support.mock_model import EOS, MASK, PAD, MockModel, context_script, peaked

from modeling_llada import LLaDAForMaskedLM


PROMPT = torch.tensor([[2, 3, 4]])


def test_guidance_without_an_attention_mask():
    """The reference crashes: `attention_mask_` is set only where there is a mask."""
    sequences = MockModel(context_script()).generate(PROMPT, max_new_tokens=4, cfg_scale=1.0)
    with_ones = MockModel(context_script()).generate(
        PROMPT, attention_mask=torch.ones_like(PROMPT), max_new_tokens=4, cfg_scale=1.0
    )
    assert torch.equal(sequences, with_ones)


def test_special_ids_are_not_written_into_the_code():
    """126081, 126348 and 126336 in the reference; other checkpoints of the family have others."""
    model = MockModel(peaked([7] * 9, [0.9] * 9), mask_token_id=5, eos_token_id=7, eot_token_id=8, pad_token_id=9)
    assert (model.generate(PROMPT, max_new_tokens=4)[0, 3:] == torch.tensor([7, 9, 9, 9])).all()
    assert not (model.generate(PROMPT, max_new_tokens=4, logits_eos_inf=True) == 7).any()
    assert (model.calls[0].input_ids[0, 3:] == 5).all()


@pytest.mark.parametrize("steps", [None, 4, 8])
def test_masks_in_the_prompt_do_not_eat_the_budget_of_the_answer(steps):
    """4 masks in an 8-token prompt, 8 tokens of answer: the reference returns four masks."""
    prompt = torch.tensor([[2, MASK, 4, MASK, MASK, 7, MASK, 9]])
    sequences = MockModel(context_script()).generate(prompt, max_new_tokens=8, steps=steps)
    assert not (sequences == MASK).any()


def test_an_answer_that_ended_is_not_decoded_further():
    """64 of 64 forward passes in the reference, though all was EOS after the first block."""
    model = MockModel(peaked([EOS] * 67, [0.9] * 67))
    sequences = model.generate(PROMPT, max_new_tokens=64, block_length=8)
    assert len(model.calls) == 8
    assert sequences[0, 3:].tolist() == [EOS] + [PAD] * 63


def test_more_steps_than_masks():
    """32 forward passes for 8 tokens in the reference."""
    model = MockModel(context_script())
    model.generate(PROMPT, max_new_tokens=8, steps=32)
    assert len(model.calls) == 8


def test_no_logits_of_the_whole_canvas(tiny_model):
    """The reference holds `(batch, length, vocab_size)` in float64, the prompt included."""
    model, rows = tiny_model(), []
    model.lm_head.register_forward_hook(lambda module, inputs, output: rows.append((output.shape[0], output.dtype)))
    model.generate(torch.tensor([[2, 3, 4, 5, 6]] * 2), max_new_tokens=4, block_length=2, temperature=1.0)
    assert rows[0] == (4, torch.float32) and max(count for count, _ in rows) == 4


def test_generate_is_never_autoregressive(tiny_model):
    """On transformers 4.46 the official model silently decoded from left to right."""
    model, calls = tiny_model(), []
    assert type(model).generate is LLaDAForMaskedLM.generate
    model.model.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True)
    model.generate(torch.tensor([[2, 3]]), max_new_tokens=4, stop_at_eos=False)
    assert [call["input_ids"].shape for call in calls] == [(1, 6)] * 4
    assert (calls[0]["input_ids"][0, 2:] == model.config.mask_token_id).all()
