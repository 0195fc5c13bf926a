# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDAGenerationConfig: who wins when options come from several places, and what is written to disk."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from support.mock_model import EOS, MASK, PAD, MockModel, context_script
from transformers import AutoModel, GenerationConfig
from transformers.utils import logging

from modeling_llada import LLaDAGenerationConfig


PROMPT = torch.tensor([[2, 3, 4]])


@pytest.fixture
def model():
    return MockModel(context_script())


def resolved(model, generation_config=None, **kwargs):
    """The options that a call of `generate` would use."""
    return model._merge_generation_config(generation_config, kwargs)


class TestMerging:
    """Keyword arguments > `generation_config` > the model's own > its config > defaults."""

    def test_defaults(self, model):
        config = resolved(model)
        assert config.max_new_tokens == 128
        assert config.steps is None and config.block_length is None
        assert config.sampling_temperature == 0.0
        assert config.remasking == "low_confidence" and config.stop_at_eos is True
        assert (config.mask_token_id, config.eos_token_id, config.pad_token_id) == (MASK, EOS, PAD)

    def test_each_layer_wins_over_the_next(self, model):
        assert model.generate(PROMPT).shape == (1, 131)
        model.generation_config.max_new_tokens = 4
        assert model.generate(PROMPT).shape == (1, 7)
        config = LLaDAGenerationConfig(max_new_tokens=5)
        assert model.generate(PROMPT, generation_config=config).shape == (1, 8)
        assert model.generate(PROMPT, generation_config=config, max_new_tokens=6).shape == (1, 9)

    def test_an_unset_option_does_not_hide_the_layer_below(self, model):
        model.generation_config.steps = 3
        model.generate(PROMPT, generation_config=LLaDAGenerationConfig(max_new_tokens=6))
        assert len(model.calls) == 3

    def test_none_at_the_call_resets_an_option(self, model):
        model.generation_config.steps = 3
        model.generation_config.max_new_tokens = 6
        model.generate(PROMPT, steps=None)
        assert len(model.calls) == 6
        assert resolved(model, max_new_tokens=None).max_new_tokens == 128
        assert resolved(model, remasking=None).remasking == "low_confidence"

    def test_none_for_a_special_token_means_unknown_to_the_caller(self, model):
        """Pipelines pass `pad_token_id=None` when the tokenizer has none."""
        assert resolved(model, pad_token_id=None, eos_token_id=None).eos_token_id == EOS

    def test_special_tokens_at_the_call(self, model):
        config = resolved(model, eos_token_id=[5, 6], mask_token_id=7)
        assert (config.eos_token_id, config.mask_token_id) == ([5, 6], 7)

    def test_a_parallel_rule_replaces_that_of_a_lower_layer(self, model):
        model.generation_config.confidence_threshold, model.generation_config.leap_threshold = 0.9, 0.7
        assert resolved(model, confidence_threshold=0.8).leap_threshold == 0.7  # it refines the typed rule too
        for config in (
            resolved(model, entropy_bound=0.1),
            resolved(model, LLaDAGenerationConfig(entropy_bound=0.1)),
            resolved(model, LLaDAGenerationConfig(confidence_factor=1.0), entropy_bound=0.1),
        ):
            rules = (
                config.confidence_threshold,
                config.leap_threshold,
                config.confidence_factor,
                config.entropy_bound,
            )
            assert rules == (None, None, None, 0.1)
        with pytest.raises(ValueError, match="At most one"):
            resolved(model, entropy_bound=0.1, confidence_factor=1.0)

    @pytest.mark.parametrize(
        "refinement, refined",
        [
            ({"leap_threshold": 0.75}, {"confidence_threshold": 0.9}),
            ({"cache_refresh_interval": 4}, {"block_cache": "dual"}),
        ],
        ids=str,
    )
    def test_a_refinement_and_what_it_refines_may_come_from_two_layers(self, model, refinement, refined):
        for below, above in ((refinement, refined), (refined, refinement)):
            model.generation_config = LLaDAGenerationConfig(**below)
            config = resolved(model, **above)
            assert {name: getattr(config, name) for name in refinement | refined} == refinement | refined
        (name,) = refined
        with pytest.raises(ValueError, match=f"refines `{name}`"):
            resolved(model, LLaDAGenerationConfig(**refinement), **{name: None})
        # Each can be reset.
        (option,) = refinement
        model.generation_config = LLaDAGenerationConfig(**refinement, **refined)
        assert getattr(resolved(model, **{name: None, option: None}), option) is None

    def test_a_leap_threshold_of_another_layer_has_to_be_below_as_well(self, model):
        model.generation_config.confidence_threshold = 0.7
        with pytest.raises(ValueError, match="`leap_threshold` must be below `confidence_threshold`"):
            resolved(model, leap_threshold=0.75)

    def test_the_given_config_is_not_changed(self, model):
        config = LLaDAGenerationConfig(max_new_tokens=4)
        before = vars(config).copy()
        model.generate(PROMPT, generation_config=config, steps=2, eos_token_id=5)
        assert vars(config) == before

    @pytest.mark.parametrize(
        "kwargs", [{"tokenizer": object()}, {"disable_compile": True}, {"use_cache": False}, {"synced_gpus": False}]
    )
    def test_arguments_without_effect_that_libraries_pass(self, model, kwargs):
        model.generate(PROMPT, max_new_tokens=1, **kwargs)


class TestTemperature:
    """`do_sample` follows from `temperature > 0`; `False` forces argmax."""

    @pytest.mark.parametrize(
        "options, temperature",
        [
            ({}, 0.0),
            ({"temperature": 0.0}, 0.0),
            ({"temperature": 0.7}, 0.7),
            ({"temperature": 1}, 1.0),
            ({"temperature": np.float32(0.5)}, 0.5),
            ({"temperature": 0.7, "do_sample": True}, 0.7),
            ({"temperature": 0.7, "do_sample": False}, 0.0),
            ({"do_sample": False}, 0.0),
            ({"do_sample": True}, 1.0),
        ],
        ids=str,
    )
    def test_sampling_temperature(self, model, options, temperature):
        assert LLaDAGenerationConfig(**options).sampling_temperature == temperature
        assert resolved(model, **options).sampling_temperature == temperature

    def test_a_flag_is_no_number(self):
        """`do_sample=0` would not be `False`, and sample."""
        with pytest.raises(ValueError, match="`do_sample` must be `True` or `False`, but got 0"):
            LLaDAGenerationConfig(do_sample=0, temperature=0.7)

    def test_do_sample_without_a_temperature_is_a_contradiction_at_zero(self):
        with pytest.raises(ValueError, match="`do_sample=True`"):
            LLaDAGenerationConfig(do_sample=True, temperature=0.0)

    @pytest.mark.parametrize(
        "saved, typed, temperature",
        [
            # generation_config.json always says `do_sample`: a temperature that is typed must still have its effect.
            ({"do_sample": False}, {"temperature": 0.5}, 0.5),
            ({"do_sample": True, "temperature": 0.7}, {"temperature": 0.0}, 0.0),
            ({"do_sample": True, "temperature": 0.7}, {"temperature": 0.2}, 0.2),
            ({"do_sample": True, "temperature": 0.7}, {"do_sample": False}, 0.0),
            ({"do_sample": False, "temperature": 0.7}, {}, 0.0),
            ({"do_sample": False, "temperature": 0.7}, {"do_sample": True}, 0.7),
            ({"do_sample": False}, {"do_sample": True}, 1.0),
            ({"do_sample": True, "temperature": 0.7}, {"steps": 3}, 0.7),
        ],
        ids=str,
    )
    def test_a_typed_option_overrules_a_saved_one(self, model, saved, typed, temperature):
        model.generation_config = LLaDAGenerationConfig(**saved)
        assert resolved(model, **typed).sampling_temperature == temperature
        assert resolved(model, LLaDAGenerationConfig(**typed)).sampling_temperature == temperature


class TestPlainGenerationConfig:
    """Configs as TRL, pipelines and older checkpoints pass them."""

    # As `GRPOTrainer.__init__` builds it from the defaults of `GRPOConfig`.
    GRPO = {
        "max_new_tokens": 6,
        "do_sample": True,
        "pad_token_id": PAD,
        "bos_token_id": None,
        "eos_token_id": [EOS],
        "temperature": 0.9,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": None,
        "repetition_penalty": 1.0,
        "cache_implementation": None,
        "disable_compile": True,
    }

    def test_trl(self, model):
        config = GenerationConfig(**self.GRPO)
        assert resolved(model, config).sampling_temperature == 0.9
        sequences = model.generate(input_ids=PROMPT, attention_mask=PROMPT.ne(0), generation_config=config)
        assert sequences.shape == (1, 9)

    def test_our_options_among_its_extra_attributes(self, model):
        """`GRPOConfig(generation_kwargs={"steps": ...})` arrives so."""
        config = GenerationConfig(**self.GRPO, steps=2, block_length=3)
        model.generate(PROMPT, generation_config=config, stop_at_eos=False)
        assert len(model.calls) == 2

    def test_something_else_is_refused(self, model):
        with pytest.raises(ValueError, match="`generation_config` must be .* but got dict"):
            model.generate(PROMPT, generation_config={"steps": 2})
        assert not model.calls

    def test_an_empty_one_changes_nothing(self, model):
        assert vars(resolved(model, GenerationConfig())) == vars(resolved(model))


class TestFiles:
    def test_do_sample_and_max_new_tokens_are_always_written(self, tmp_path):
        """Otherwise text-generation pipelines fill in `do_sample=True, temperature=0.7, max_new_tokens=256`."""
        LLaDAGenerationConfig().save_pretrained(tmp_path)
        written = json.loads((tmp_path / "generation_config.json").read_text())
        written.pop("transformers_version", None)
        assert written == {"do_sample": False, "max_new_tokens": 128}

    def test_do_sample_says_what_will_happen(self):
        assert LLaDAGenerationConfig(temperature=0.7).to_diff_dict()["do_sample"] is True
        assert LLaDAGenerationConfig(temperature=0.7, do_sample=False).to_diff_dict()["do_sample"] is False

    OPTIONS = {
        "max_new_tokens": 32,
        "steps": 16,
        "block_length": 8,
        "temperature": 0.7,
        "cfg_scale": 0.5,
        "remasking": "entropy",
        "confidence_threshold": 0.9,
        "leap_threshold": 0.75,
        "leap_radius": 3,
        "block_cache": "vicinity",
        "cache_refresh_interval": 4,
        "suffix_window": 64,
        "disable_compile": True,
        "logits_eos_inf": True,
        "stop_at_eos": False,
        "num_return_sequences": 2,
        "eos_token_id": [1, 2],
        "eot_token_id": 3,
        "mask_token_id": 98,
    }

    def test_one_that_was_read_from_a_file_can_be_used(self, model, tmp_path):
        LLaDAGenerationConfig(max_new_tokens=3, steps=2).save_pretrained(tmp_path)
        read = LLaDAGenerationConfig.from_pretrained(tmp_path)
        assert resolved(model, read).steps == 2

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))])
    def test_copies(self, duplicate):
        config = LLaDAGenerationConfig(**self.OPTIONS)
        assert vars(duplicate(config)) == vars(config)
        assert duplicate(config) == config and config != LLaDAGenerationConfig()
        assert "confidence_threshold" in repr(config)

    def test_update_checks_the_values(self):
        """TRL updates the model's own config before it samples."""
        config = LLaDAGenerationConfig()
        assert config.update(steps=4, num_beams=1) == {"num_beams": 1}
        assert config.steps == 4
        with pytest.raises(ValueError, match="`steps`"):
            config.update(steps=0)

    def test_a_model_that_only_infills_reloads(self, tiny_model, tmp_path):
        """The library's own class refuses `max_new_tokens=0`."""
        model = tiny_model()
        model.generation_config.max_new_tokens = 0
        model.save_pretrained(tmp_path)
        assert AutoModel.from_pretrained(tmp_path).generation_config.max_new_tokens == 0

    def test_a_model_saves_and_reloads_its_options(self, tiny_model, tmp_path):
        model = tiny_model()
        model.generation_config = LLaDAGenerationConfig(**self.OPTIONS)
        model.save_pretrained(tmp_path)
        again = AutoModel.from_pretrained(tmp_path)
        assert type(again.generation_config) is LLaDAGenerationConfig
        for name, value in self.OPTIONS.items():
            assert getattr(again.generation_config, name) == value, name

    def test_a_new_model_knows_its_special_tokens(self, tiny_model):
        config = tiny_model(eot_token_id=5).generation_config
        assert type(config) is LLaDAGenerationConfig
        assert (config.mask_token_id, config.eos_token_id, config.eot_token_id) == (98, 1, 5)
        assert (config.pad_token_id, config.bos_token_id) == (1, 0)

    def test_a_checkpoint_without_generation_config(self, golden_model):
        assert type(golden_model.generation_config) is LLaDAGenerationConfig
        assert golden_model.generation_config.eos_token_id == 301

    def test_an_autoregressive_generation_config_beside_the_weights(self, tiny_model, tmp_path, monkeypatch):
        """Loading must not fail for it; what we do not have is left out with a warning."""
        tiny_model().save_pretrained(tmp_path)
        written = {
            "do_sample": True,
            "temperature": 0.6,
            "typical_p": 0.95,
            "max_new_tokens": 9,
            "eos_token_id": [1, 7],
        }
        (tmp_path / "generation_config.json").write_text(json.dumps(written))
        warnings = []
        logger = logging.get_logger("modeling_llada.models.generation_config_llada")
        monkeypatch.setattr(logger, "warning", lambda message, *args: warnings.append(message))
        model = AutoModel.from_pretrained(tmp_path)
        assert len(warnings) == 1 and "typical_p" in warnings[0]
        assert model.generation_config.sampling_temperature == 0.6
        assert model.generation_config.eos_token_id == [1, 7]
        assert model.generate(torch.tensor([[2, 3]])).shape == (1, 11)

    def test_a_config_given_to_from_pretrained(self, tiny_model, tmp_path):
        tiny_model().save_pretrained(tmp_path)
        config = LLaDAGenerationConfig(max_new_tokens=7)
        assert AutoModel.from_pretrained(tmp_path, generation_config=config).generation_config.max_new_tokens == 7

    def test_a_damaged_file_is_an_error(self, tiny_model, tmp_path):
        """The library would take the default options in silence, or end in an error that names no file."""
        tiny_model().save_pretrained(tmp_path)
        whole = dict.fromkeys([b"", b'{"steps": ', b"\xff\xfe{}", b"[]", b"3", b"null", b'"steps"'], "JSON")
        fields = {
            b'{"pad_token_id": -1}': "`pad_token_id`",
            b'{"steps": 0}': "`steps`",
            b'{"remasking": []}': "`remask",
        }
        for content, name in (whole | fields).items():
            (tmp_path / "generation_config.json").write_bytes(content)
            with pytest.raises(ValueError, match=f"generation_config.json of .* cannot be used: .*{name}"):
                AutoModel.from_pretrained(tmp_path)

    @pytest.mark.parametrize("content", [b'\xef\xbb\xbf{"steps": 3}', b'{"steps": 3, "validate": 1, "update": 1}'])
    def test_a_file_with_a_byte_order_mark_or_the_names_of_methods(self, tiny_model, tmp_path, content):
        tiny_model().save_pretrained(tmp_path)
        (tmp_path / "generation_config.json").write_bytes(content)
        assert AutoModel.from_pretrained(tmp_path).generation_config.steps == 3
