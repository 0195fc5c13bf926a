# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The text of an answer that comes in parts, with tokenizers whose tokens do not stand alone."""

import random
from math import nan

import pytest
import torch
from support.byte_level_tokenizer import byte_level_tokenizer
from support.word_tokenizer import word_tokenizer

from modeling_llada import LLaDAGenerationConfig
from modeling_llada.completion import completion_text
from modeling_llada.serving.answers import AnswerReader, Commit
from modeling_llada.serving.prompts import Prompt


@pytest.fixture(scope="module", params=[byte_level_tokenizer, word_tokenizer])
def tokenizer(request):
    return request.param()


def read_in_parts(reader, prompt, answer, length):
    """The texts of the parts, each of so many tokens, and the reason for the end."""
    pieces = [reader.read(Commit(prompt, [nan] * len(prompt)))]
    for start in range(0, len(answer), length):
        part = answer[start : start + length]
        pieces.append(reader.read(Commit(part, [0.5] * len(part))))
    pieces.append(reader.finish())
    return [piece.text for piece in pieces], pieces[-1].finish_reason


@pytest.mark.parametrize("length", [1, 3, 12])
@pytest.mark.parametrize("seed", range(6))
def test_parts_are_the_whole_text(tokenizer, seed, length):
    """Random tokens cut characters anywhere. What was read stays, and no half of a character is read but at the end."""
    draw = random.Random(seed)
    tokens = [draw.randrange(5, len(tokenizer)) for _ in range(16)]
    prompt = Prompt({"input_ids": torch.tensor([tokens[:4]])}, mask_token_id=-1)
    reader = AnswerReader(tokenizer, prompt, LLaDAGenerationConfig(max_new_tokens=12))
    parts, reason = read_in_parts(reader, tokens[:4], tokens[4:], length)
    assert "".join(parts) == completion_text(tokenizer, tokens, 4) and reason == "length"
    assert not any(part.endswith("\N{REPLACEMENT CHARACTER}") for part in parts[:-1])


def test_a_character_in_two_parts():
    tokenizer = word_tokenizer()
    tokens = tokenizer.convert_tokens_to_ids(["▁a", "▁city", "<0xE5>", "<0xBA>", "<0x8A>", "▁is"])
    prompt = Prompt({"input_ids": torch.tensor([tokens[:1]])}, mask_token_id=-1)
    reader = AnswerReader(tokenizer, prompt, LLaDAGenerationConfig(max_new_tokens=5), has_logprobs=True)
    assert read_in_parts(reader, tokens[:1], tokens[1:], 2) == (["", " city", "床", " is", ""], "length")
    assert reader.offset == len(" city") + 3 + len(" is"), "the bytes count one by one"


def test_it_ends_at_an_eos():
    tokenizer = word_tokenizer()
    tokens = tokenizer("a city</s>").input_ids
    prompt = Prompt({"input_ids": torch.tensor([tokens[:1]])}, mask_token_id=-1)
    for stop_at_eos, expected in ((True, ([" city", "stop", 1])), (False, ([" city", "length", 2]))):
        config = LLaDAGenerationConfig(max_new_tokens=2, eos_token_id=tokens[-1], stop_at_eos=stop_at_eos)
        reader = AnswerReader(tokenizer, prompt, config)
        parts, reason = read_in_parts(reader, tokens[:1], tokens[1:], 2)
        assert ["".join(parts), reason, reader.num_written] == expected
