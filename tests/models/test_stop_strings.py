# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Stop strings: a row ends behind the first one, with the same tokens whenever that is found out."""

import pytest
import torch
from support.mock_model import EOS, MASK, PAD, PROMPT, MockModel, context_script, details, scripted

from modeling_llada import LLaDAGenerationConfig


class Letters:
    """A tokenizer: token 10 is "a", 11 is "b"... and the end token has a name. A first space is lost, as in Metaspace."""

    def decode(self, tokens):
        text = "".join("</s>" if token == EOS else " " if token == 9 else chr(87 + token) for token in tokens)
        return text.removeprefix(" ")


def generate(model, prompt=PROMPT, **options):
    options = {"max_new_tokens": 6, "stop_strings": "bc", "tokenizer": Letters(), "pad_token_id": PAD} | options
    return details(model, prompt, **options)


def answer(output, row=0):
    return output.sequences[row, 3:].tolist()


def test_a_row_ends_behind_the_string():
    model = scripted([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    output = generate(model)
    assert answer(output) == [10, 11, 12, PAD, PAD, PAD]
    assert output.num_forward_passes.tolist() == [3] and len(model.calls) == 3
    assert output.trajectory[0][0, 3:].tolist() == [0, 1, 2, -1, -1, -1]


def test_only_text_before_the_first_mask_counts():
    """The string may stand there before, but the text in front of it is not final, nor is what it is part of."""
    output = generate(scripted([0.4, 0.9, 0.8, 0.7, 0.6, 0.5]))
    assert output.num_forward_passes.tolist() == [6]
    assert answer(output) == [10, 11, 12, PAD, PAD, PAD]
    # The tokens behind it were committed, but are no part of the answer.
    assert output.trajectory[0][0, 3:].tolist() == [5, 0, 1, -1, -1, -1]


@pytest.mark.parametrize(
    "strings, end",
    [(["ef", "d"], 4), (["abcde", "c"], 3), ("a", 1), (["x"], 6), ("cd", 4), ("f", 6), ([], 6), (("b", "a"), 1)],
    ids=str,
)
def test_the_string_that_is_complete_first(strings, end):
    output = generate(scripted([0.9] * 6), stop_strings=strings)
    assert answer(output) == [10, 11, 12, 13, 14, 15][:end] + [PAD] * (6 - end)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"block_length": 1},
        {"block_length": 4},
        {"steps": 2},
        {"confidence_threshold": 0.1},
        {"draft_steps": 3},
        {"stop_at_eos": False},
    ],
    ids=str,
)
def test_the_answer_is_the_whole_one_cut(options):
    """For all rows of a batch, of which each is as it is alone."""
    prompt = torch.tensor([[2, 3, 4], [5, 6, 7], [8, 9, 10], [12, 13, 14]])
    options |= {"max_new_tokens": 8}
    whole = generate(MockModel(context_script()), prompt, stop_strings=None, **options)
    third = chr(87 + whole.sequences[1, 5].item())
    together = generate(MockModel(context_script()), prompt, stop_strings=[third, "cb"], **options)
    assert (together.num_forward_passes <= whole.num_forward_passes).all()
    for row in range(len(prompt)):
        text = Letters().decode(answer(whole, row))
        ends = [text.find(string) + len(string) for string in (third, "cb") if string in text]
        end = min(ends, default=8)
        assert "</s>" not in text[:end], "this test counts letters"
        assert answer(together, row)[:end] == answer(whole, row)[:end]
        assert set(answer(together, row)[end:]) <= ({PAD} if ends else {PAD, *answer(whole, row)})
        alone = generate(MockModel(context_script()), prompt[row : row + 1], stop_strings=[third, "cb"], **options)
        assert answer(alone) == answer(together, row)
        assert alone.num_forward_passes[0] == together.num_forward_passes[row]


def test_a_space_at_the_start_of_the_answer():
    """Decoded alone, the answer would lose it."""
    output = generate(scripted([0.9] * 3, tokens=[9, 10, 11]), max_new_tokens=3, stop_strings=" a")
    assert answer(output) == [9, 10, PAD]


def test_the_prompt_does_not_count():
    prompt = torch.tensor([[11, 12, MASK]])
    output = generate(scripted([0.9] * 3, prompt_length=3), prompt, max_new_tokens=3, stop_strings="bc")
    assert answer(output) == [10, 11, 12]


def test_the_name_of_a_special_token():
    model = scripted([0.9] * 4, tokens=[10, EOS, 11, 12])
    output = generate(model, max_new_tokens=4, stop_strings="</s>", stop_at_eos=False)
    assert answer(output) == [10, EOS, PAD, PAD] and len(model.calls) == 2


def test_beside_criteria_and_the_end_of_the_text():
    """Neither counts as the other: a row that ended at a string is not `stopped`, and an EOS before the string wins."""
    never = [lambda ids, scores: False]
    assert generate(scripted([0.9] * 6), stopping_criteria=never).stopped.tolist() == [False]
    tokens = [10, EOS, 11, 12, 13, 14]
    assert answer(generate(scripted([0.9] * 6, tokens=tokens))) == [10, EOS, PAD, PAD, PAD, PAD]


def test_in_configs():
    config = LLaDAGenerationConfig(stop_strings=["c"])
    typed_wins = generate(scripted([0.9] * 6), stop_strings=None, generation_config=config)
    assert answer(typed_wins) == [10, 11, 12, 13, 14, 15]
    model = scripted([0.9] * 6)
    model.generation_config.stop_strings = ["c"]
    assert model.generate(PROMPT, max_new_tokens=6, tokenizer=Letters())[0, 6:].tolist() == [PAD] * 3


@pytest.mark.parametrize("tokenizer", [None, "letters"])
def test_without_a_tokenizer(tokenizer):
    model = scripted([0.9])
    with pytest.raises(ValueError, match="`stop_strings` .* `tokenizer`"):
        model.generate(PROMPT, max_new_tokens=1, stop_strings="c", tokenizer=tokenizer)
    assert not model.calls


def test_without_a_pad_token():
    model = scripted([0.9], pad_token_id=None, eos_token_id=None)
    with pytest.raises(ValueError, match="`stop_strings` need a `pad_token_id`"):
        model.generate(PROMPT, max_new_tokens=1, stop_strings="c", tokenizer=Letters())
    assert not model.calls
