# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Answers of a small random model to random schemas, expressions and a grammar, with random options of decoding."""

import json
import re
from functools import cache

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from lark import Lark
from support.byte_level_tokenizer import byte_level_tokenizer
from support.expressions import NUM_CASES, patterns
from support.schemas import schemas_with_values

from modeling_llada import Constraint, LLaDAConfig, LLaDAForMaskedLM


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink a failure would take minutes
TOKENIZER = byte_level_tokenizer(mask_token="<|mask|>")
GRAMMAR = 'start: item ("+" item)*\nitem: /[0-9]/ | "(" start ")" | "-" item'


@cache
def model_of(seed: int) -> LLaDAForMaskedLM:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    tokens = {f"{name}_token_id": getattr(TOKENIZER, f"{name}_token_id") for name in ("mask", "eos", "pad")}
    config = LLaDAConfig(
        vocab_size=len(TOKENIZER), max_position_embeddings=512, initializer_range=0.8, **sizes, **tokens
    )
    return LLaDAForMaskedLM(config).eval()


@st.composite
def options(draw):
    """Options of decoding that go with a constraint, in multiples of a block of 16."""
    rule = draw(st.sampled_from([{"steps": 4}, {"steps": 16}, {"confidence_threshold": 0.5}, {"entropy_bound": 1.0}]))
    return rule | {
        "remasking": draw(st.sampled_from(["low_confidence", "random", "margin", "entropy"])),
        "temperature": draw(st.sampled_from([0.0, 0.5, 1.0])),
        "block_length": draw(st.sampled_from([16, None])),
        "block_cache": draw(st.sampled_from([None, "prefix", "dual"])),
        "cfg_scale": draw(st.sampled_from([0.0, 1.0])),
    }


def answer(constraint: Constraint, options: dict, seed: int) -> str:
    length = -(-constraint.min_length // 16) * 16 + 16
    generator = torch.Generator().manual_seed(seed)
    prompt = torch.tensor([[5, 6, 7]])
    tokens = model_of(seed % 5).generate(
        prompt, max_new_tokens=length, constraint=constraint, generator=generator, **options
    )
    return TOKENIZER.decode(tokens[0, 3:], skip_special_tokens=True)


def check_schema(schema, options, seed):
    Draft202012Validator(schema).validate(
        json.loads(answer(Constraint.from_json_schema(schema, TOKENIZER), options, seed))
    )


def check_pattern(pattern, options, seed):
    assert re.fullmatch(pattern, answer(Constraint.from_regex(pattern, TOKENIZER), options, seed))


seeds = st.integers(0, 1000)
schemas = schemas_with_values().map(lambda pair: pair[0])


@given(schemas, options(), seeds)
@settings(max_examples=5, deadline=None, phases=PHASES)
def test_answers_validate(schema, options, seed):
    check_schema(schema, options, seed)


@pytest.mark.slow
@given(schemas, options(), seeds)
@settings(max_examples=NUM_CASES, deadline=None, phases=PHASES)
def test_many_answers_validate(schema, options, seed):
    check_schema(schema, options, seed)


@given(patterns(), options(), seeds)
@settings(max_examples=5, deadline=None, phases=PHASES)
def test_answers_match(pattern, options, seed):
    check_pattern(pattern, options, seed)


@pytest.mark.slow
@given(patterns(), options(), seeds)
@settings(max_examples=NUM_CASES, deadline=None, phases=PHASES)
def test_many_answers_match(pattern, options, seed):
    check_pattern(pattern, options, seed)


@given(options(), seeds)
@settings(max_examples=5, deadline=None, phases=PHASES)
def test_answers_are_derived(options, seed):
    Lark(GRAMMAR, parser="earley").parse(answer(Constraint.from_grammar(GRAMMAR, TOKENIZER), options, seed))
