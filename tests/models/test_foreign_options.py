# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Options of other decoders: values that ask for nothing pass, and any other is an error that names its own cure."""

import pytest
import torch
from support.mock_model import PROMPT, MockModel, context_script
from transformers import GenerationConfig

from modeling_llada import LLaDAGenerationConfig
from modeling_llada.models.foreign_options_llada import CURES
from modeling_llada.models.options_llada import OPTIONS


OWN_NAMES = {option.name for option in OPTIONS}
# What each asks for, and a part of its cure.
FOREIGN = {
    "max_length": (50, "`max_new_tokens`"),
    "min_new_tokens": (5, "`confidence_eos_eot_inf=True`"),
    "min_length": (5, "`confidence_eos_eot_inf=True`"),
    "num_beams": (4, "`num_return_sequences`"),
    "num_beam_groups": (2, "`num_return_sequences`"),
    "penalty_alpha": (0.6, "`num_return_sequences`"),
    "use_cache": (True, "`block_cache"),
    "cache_implementation": ("static", "`block_cache"),
    "prompt_lookup_num_tokens": (3, "`draft_steps`"),
    "output_scores": (True, "`output_trajectory=True`"),
    "output_hidden_states": (True, "`model(input_ids, ...)`"),
    "max_time": (3.0, "`stopping_criteria=[MaxTimeCriteria(seconds)]`"),
    "guidance_scale": (3.0, "`cfg_scale`"),
    "repetition_penalty": (1.2, "`logits_processor` of your own"),
    "no_repeat_ngram_size": (2, "`logits_processor` of your own"),
    "bad_words_ids": ([[1]], "`logits_processor` of your own"),
    "typical_p": (0.9, "TypicalLogitsWarper"),
    "top_h": (0.4, "TopHLogitsWarper"),
    "decoder_start_token_id": (1, "leave it out"),
    "my_own_option": (1, "`LLaDAGenerationConfig` lists the options"),
}
# Names that only a call can have.
AT_THE_CALL = {
    "gen_length": (128, "`max_new_tokens`"),
    "threshold": (0.9, "`confidence_threshold`"),
    "factor": (1.0, "`confidence_factor`"),
    "mask_id": (5, "`mask_token_id`"),
    "dual_cache": (True, "`block_cache`"),
    "block_size": (32, "`block_length`"),
    "assistant_model": ("gpt2", "`draft_steps`"),
    "past_key_values": (object(), "`block_cache"),
    "inputs_embeds": (torch.zeros(1, 3, 8), "`input_ids`"),
    "inputs": (PROMPT, "`input_ids`"),
    "seed": (7, "`generator="),
    "stop": ("。", "`stop_strings`"),
}
NEUTRAL = {
    "max_length": None,
    "num_beams": 1,
    "use_cache": False,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "guidance_scale": 1.0,
    "min_new_tokens": 0,
    "min_length": 0,
    "output_scores": False,
    "no_repeat_ngram_size": 0,
    "penalty_alpha": 0.0,
    "stop_strings": [],
}


@pytest.fixture
def model():
    return MockModel(context_script())


@pytest.mark.parametrize("name", FOREIGN | AT_THE_CALL)
def test_at_the_call(model, name):
    value, cure = (FOREIGN | AT_THE_CALL)[name]
    with pytest.raises(ValueError, match=f"`model_kwargs`.*`{name}=") as error:
        model.generate(PROMPT, **{name: value})
    assert cure in str(error.value) and not model.calls
    with pytest.raises(ValueError, match=name):
        LLaDAGenerationConfig(**{name: value})


@pytest.mark.parametrize("name", FOREIGN)
def test_in_a_plain_config(model, name):
    value, cure = FOREIGN[name]
    with pytest.raises(ValueError, match=f"`generation_config`.*`{name}=") as error:
        model.generate(PROMPT, generation_config=GenerationConfig(**{name: value}))
    assert cure in str(error.value) and not model.calls


@pytest.mark.parametrize("name", NEUTRAL)
def test_values_that_ask_for_nothing(model, name):
    options = {name: NEUTRAL[name]}
    expected = model.generate(PROMPT, max_new_tokens=2)
    for call in (options, {"generation_config": GenerationConfig(**options)}):
        assert torch.equal(model.generate(PROMPT, max_new_tokens=2, **call), expected)
    LLaDAGenerationConfig(**options)


@pytest.mark.parametrize("length", [20, 21])
def test_a_typed_length_is_never_taken_for_the_default_of_the_library(model, length):
    for call in ({"max_length": length}, {"generation_config": GenerationConfig(max_length=length)}):
        with pytest.raises(ValueError, match="`max_length=.*use `max_new_tokens`"):
            model.generate(PROMPT, **call)


def test_each_name_has_its_own_cure(model):
    with pytest.raises(ValueError) as error:
        model.generate(PROMPT, gen_length=8, threshold=0.9)
    assert "`gen_length=8`: use `max_new_tokens`. `threshold=0.9`: use `confidence_threshold`." in str(error.value)


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("stepz", "`steps` meant"),
        ("temprature", "`temperature` meant"),
        ("max_lenght", "`max_length` meant[?] Then use `max_new"),
    ],
)
def test_a_name_with_a_typing_error(model, typed, meant):
    with pytest.raises(ValueError, match=f"`{typed}=1`: is {meant}"):
        model.generate(PROMPT, **{typed: 1})


def test_no_value_hides_a_typing_error(model):
    with pytest.raises(ValueError, match="`stop_at_eoss=False`: is `stop_at_eos` meant"):
        model.generate(PROMPT, stop_at_eoss=False)


def test_the_cures_name_options_that_exist():
    assert not OWN_NAMES & CURES.keys()
