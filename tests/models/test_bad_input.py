# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Bad input of `generate` is a ValueError that names the argument, before any forward pass.

Damaged and foreign checkpoints are in test_conversion.py, configs in test_configuration.py.
"""

import numpy as np
import pytest
import torch
from support.mock_model import EOS, MASK, PAD, MockModel, context_script
from transformers.utils import logging

from modeling_llada import LLaDAGenerationConfig


PROMPT = torch.tensor([[2, 3, 4], [5, 6, 7]])


@pytest.fixture
def refuses():
    """Calls `generate` and expects an error that names `argument` in backticks, without a forward pass."""

    def call(argument, input_ids=PROMPT, config=None, **options):
        model = MockModel(context_script(), **(config or {}))
        with pytest.raises(ValueError) as error:
            model.generate(input_ids, **options)
        assert f"`{argument}" in str(error.value), str(error.value)
        assert not model.calls
        return str(error.value)

    return call


@pytest.fixture
def messages_of(monkeypatch):
    """Collects what a remote file logs."""

    def collect(module, method):
        messages = []
        logger = logging.get_logger(f"modeling_llada.models.{module}")
        monkeypatch.setattr(logger, method, lambda message, *args: messages.append(message))
        return messages

    return collect


NAN, INFINITY = float("nan"), float("inf")
BAD_VALUES = {
    "max_new_tokens": (-1, 2.5, True, "8"),
    "steps": (0, -3, 1.5),
    "block_length": (0, 4.0),
    "num_return_sequences": (0, 10**12),
    "temperature": (-0.1, NAN, INFINITY, np.float32("inf"), "hot", True),
    "cfg_scale": (-1.0, NAN, INFINITY),
    "remasking": ("low_entropy", 3, np.array(["random", "margin"])),
    "top_k": (-1, 2.5, True),
    "top_p": (-0.1, 1.1, NAN),
    "min_p": (1.5, "0.1"),
    "stop_strings": ("", 3, ["。", ""], [b"x"]),
    "confidence_threshold": (-0.1, 1.1, NAN),
    "confidence_factor": (-1.0,),
    "entropy_bound": (-0.5,),
    "leap_threshold": (-0.1, 1.1, "near"),
    "leap_radius": (0, 2.0, True),
    "min_commits": (0, 1.5, True),
    "edit_threshold": (-0.1, 1.1, NAN, "often"),
    "max_post_edit_steps": (-1, 2.5),
    "stutter_penalty": (-1.0, "high"),
    "insert_delete": (1, "yes"),
    "block_cache": ("delayed", True, 32),
    "cache_refresh_interval": (0, 2.5),
    "suffix_window": (-1, 8.0, "all"),
    "disable_compile": ("yes",),
    "compile_config": (True, {"mode": "default"}),
    "do_sample": ("yes",),
    "stop_at_eos": ("no",),
    "logits_eos_inf": (2,),
    "confidence_eos_eot_inf": ("x",),
    "return_dict_in_generate": ("dict",),
    "output_trajectory": ("all",),
    "eos_token_id": ("</s>", [], [1, -1], 1.5, 2**63),
    "eot_token_id": (-1, [1, 2**63]),
    "pad_token_id": ([1, 2],),
    "mask_token_id": (-1,),
}
BAD_OPTIONS = [{name: value} for name, values in BAD_VALUES.items() for value in values]


class TestOptions:
    @pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
    def test_value_out_of_range(self, refuses, options):
        (name,) = options
        refuses(name, **options)
        with pytest.raises(ValueError, match=f"`{name}`"):
            LLaDAGenerationConfig(**options)

    @pytest.mark.parametrize(
        "rules",
        [
            {"confidence_threshold": 0.9, "confidence_factor": 1.0},
            {"confidence_threshold": 0.9, "entropy_bound": 0.1},
            {"confidence_factor": 1.0, "entropy_bound": 0.0},
            {"confidence_threshold": 0.0, "confidence_factor": 0.0, "entropy_bound": 0.0},
        ],
        ids=str,
    )
    def test_two_parallel_rules_at_once(self, refuses, rules):
        message = refuses("confidence_threshold", **rules)
        assert all(f"{name}={value}" in message for name, value in rules.items())

    @pytest.mark.parametrize("leap_threshold", [0.9, 0.95])
    def test_a_leap_threshold_that_is_not_below_the_threshold(self, refuses, leap_threshold):
        options = {"confidence_threshold": 0.9, "leap_threshold": leap_threshold}
        assert "`confidence_threshold`" in refuses("leap_threshold", **options)
        with pytest.raises(ValueError, match="`leap_threshold` must be below"):
            LLaDAGenerationConfig(**options)

    @pytest.mark.parametrize(
        "option, value, refined",
        [
            ("leap_threshold", 0.75, "confidence_threshold"),
            ("cache_refresh_interval", 2, "block_cache"),
            ("max_post_edit_steps", 4, "edit_threshold"),
            ("stutter_penalty", 1.5, "edit_threshold"),
        ],
    )
    def test_an_option_that_refines_an_unset_one(self, refuses, option, value, refined):
        assert f"`{refined}`" in refuses(option, **{option: value})
        # In a config it is allowed, because `generate` can set the option that it refines.
        config = LLaDAGenerationConfig(**{option: value})
        assert f"`{refined}`" in refuses(option, generation_config=config)

    def test_sampling_at_temperature_zero(self, refuses):
        refuses("do_sample=True", do_sample=True, temperature=0.0)

    @pytest.mark.parametrize("name", ["step", "gen_length", "mask_id", "num_beams", "max_length", "penalty"])
    def test_unknown_option(self, refuses, name):
        assert name in refuses("model_kwargs", **{name: 40})
        with pytest.raises(ValueError, match=name):
            LLaDAGenerationConfig(**{name: 40})

    @pytest.mark.parametrize("option", ["logits_eos_inf", "confidence_eos_eot_inf"])
    def test_eos_options_without_an_eos(self, refuses, option):
        refuses("eos_token_id", config={"eos_token_id": None}, **{option: True})

    @pytest.mark.parametrize("option", ["logits_eos_inf", "confidence_eos_eot_inf"])
    def test_eos_options_with_an_eos_outside_the_vocabulary(self, refuses, option):
        """The reference code contains the ids of LLaDA-8B, which are wrong for another vocabulary."""
        refuses(option, eos_token_id=126081, **{option: True})
        refuses(option, eos_token_id=[3, 32], **{option: True})

    def test_every_token_is_suppressed(self, refuses):
        """The mask token is never proposed, so it does not count."""
        refuses("suppress_tokens", suppress_tokens=list(range(MASK + 1)))
        refuses("suppress_tokens", suppress_tokens=list(range(MASK)))

    def test_no_mask_id(self, refuses):
        refuses("mask_token_id", config={"mask_token_id": None})

    def test_a_mask_id_outside_the_vocabulary(self, refuses):
        refuses("mask_token_id", mask_token_id=32)
        refuses("mask_token_id", config={"mask_token_id": 126336})

    def test_a_pad_id_outside_the_vocabulary(self, refuses):
        """It would be written into the answers."""
        refuses("pad_token_id", pad_token_id=32)


class TestPrompt:
    @pytest.mark.parametrize(
        "input_ids",
        [
            None,
            [[1, 2, 3]],
            "text",
            torch.tensor([1, 2, 3]),
            torch.zeros(1, 2, 3, dtype=torch.long),
            torch.tensor([[1.0, 2.0]]),
            torch.tensor([[True, False]]),
        ],
        ids=["none", "list", "text", "1-D", "3-D", "float", "bool"],
    )
    def test_no_ids(self, refuses, input_ids):
        refuses("input_ids", input_ids)

    @pytest.mark.parametrize("shape", [(1, 0), (0, 3), (0, 0)], ids=str)
    def test_empty(self, refuses, shape):
        assert "empty" in refuses("input_ids", torch.zeros(shape, dtype=torch.long))

    @pytest.mark.parametrize("token_id", [-1, -100, 32, 126336])
    def test_ids_out_of_range(self, refuses, token_id):
        refuses("input_ids", torch.tensor([[2, token_id, 4]]), max_new_tokens=2)

    def test_longer_than_the_context(self, refuses):
        config = {"max_position_embeddings": 16}
        message = refuses("max_new_tokens", config=config, max_new_tokens=14)
        assert "max_position_embeddings=16" in message and "3 + 14" in message
        refuses("max_new_tokens", torch.full((1, 17), 2), config=config, max_new_tokens=0)

    def test_just_as_long_as_the_context(self):
        model = MockModel(context_script(), max_position_embeddings=16)
        assert model.generate(PROMPT, max_new_tokens=13, stop_at_eos=False).shape == (2, 16)

    def test_padding_does_not_count(self):
        """A padded row only uses the positions of its own tokens."""
        model = MockModel(context_script(), max_position_embeddings=4)
        mask = torch.tensor([[0, 0, 1], [0, 1, 1]])
        assert model.generate(PROMPT, attention_mask=mask, max_new_tokens=2).shape == (2, 5)


class TestAttentionMask:
    @pytest.mark.parametrize(
        "attention_mask",
        [
            torch.ones(2, 4),
            torch.ones(1, 3),
            torch.ones(3),
            torch.ones(2, 1, 3, 3),
            [[1, 1, 1], [1, 1, 1]],
        ],
        ids=["length", "batch", "1-D", "4-D", "list"],
    )
    def test_another_shape_than_the_prompt(self, refuses, attention_mask):
        refuses("attention_mask", attention_mask=attention_mask)

    @pytest.mark.parametrize(
        "row", [[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0]], ids=["right", "inside", "both sides", "all"]
    )
    def test_zeros_elsewhere_than_on_the_left(self, refuses, row):
        """With right padding the answer would not follow the prompt."""
        message = refuses("attention_mask", attention_mask=torch.tensor([[1, 1, 1], row]))
        assert "padding_side = 'left'" in message


@pytest.mark.parametrize(
    ("options", "warns"),
    [
        ({}, True),
        ({"temperature": 0.8}, False),
        ({"remasking": "random"}, False),
        ({"remasking": lambda confidence, mask, budget: mask}, False),
    ],
    ids=["default", "temperature", "random", "callable"],
)
def test_equal_completions_are_warned_of(options, warns, messages_of):
    messages = messages_of("generation_inputs_llada", "warning_once")
    MockModel(context_script()).generate(PROMPT, max_new_tokens=1, num_return_sequences=2, **options)
    assert [("`num_return_sequences=2`" in message) for message in messages] == [True] * warns


class TestPads:
    """Rows that begin or end with the pad token and come without a mask, as `generate(tokenizer(...).input_ids)` gives."""

    @pytest.mark.parametrize("row", [[PAD, 2, 3], [2, 3, PAD]], ids=["left", "right"])
    def test_are_warned_of_once(self, row, messages_of):
        prompt = torch.tensor([[2, 3, 4], row])
        messages = messages_of("generation_inputs_llada", "warning_once")
        MockModel(context_script()).generate(prompt, max_new_tokens=1)
        assert len(messages) == 1 and "`attention_mask`" in messages[0] and "generate(**inputs)" in messages[0]

    def test_are_not_warned_of_with_a_mask_or_inside(self, messages_of):
        messages = messages_of("generation_inputs_llada", "warning_once")
        model = MockModel(context_script())
        model.generate(torch.tensor([[PAD, 2]]), attention_mask=torch.tensor([[0, 1]]), max_new_tokens=1)
        model.generate(torch.tensor([[2, PAD, 3]]), max_new_tokens=1)
        assert not messages


@pytest.mark.parametrize(
    "zeros", [torch.zeros(2, 3, dtype=torch.long), [[0, 0, 0]] * 2, None], ids=["tensor", "list", "none"]
)
def test_token_types_of_a_tokenizer(refuses, zeros):
    """Zeros say nothing; others would be ignored."""
    model = MockModel(context_script())
    expected = model.generate(PROMPT, max_new_tokens=2)
    assert torch.equal(model.generate(PROMPT, max_new_tokens=2, token_type_ids=zeros), expected)
    refuses("token_type_ids", token_type_ids=torch.tensor([[0, 0, 1]] * 2))


class TestIntegersOfAnySize:
    @pytest.mark.parametrize(
        "name", ["steps", "block_length", "suffix_window", "leap_radius", "cache_refresh_interval", "top_k"]
    )
    def test_work(self, name, tiny_model):
        options = {"max_new_tokens": 4, "confidence_threshold": 0.9, "leap_threshold": 0.1, "temperature": 1.0}
        sequences = [
            tiny_model().generate(
                PROMPT, **options | {"block_cache": "dual", name: value}, generator=torch.Generator().manual_seed(0)
            )
            for value in (100, 2**64)
        ]
        assert torch.equal(*sequences)


class TestGenerator:
    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    @pytest.mark.parametrize(
        "generator", [42, [1, 2], "seed", [torch.Generator(), 3]], ids=["int", "ints", "str", "mixed"]
    )
    def test_something_else_than_a_generator(self, refuses, generator, temperature):
        refuses("generator", generator=generator, temperature=temperature)

    def test_as_many_as_rows(self, refuses):
        refuses("generator", generator=[torch.Generator()], temperature=1.0)
        refuses("generator", generator=[torch.Generator()] * 2, num_return_sequences=2, temperature=1.0)


class TestLogits:
    """What they are is known only after a forward pass."""

    @pytest.mark.parametrize(
        "broken",
        [
            lambda ids, scores: scores * torch.nan,
            lambda ids, scores: scores.index_fill(1, torch.tensor([7]), torch.nan),
            lambda ids, scores: scores.index_fill(1, torch.tensor([7]), torch.inf),
            lambda ids, scores: scores - torch.inf,
            lambda ids, scores: scores.index_fill(1, torch.arange(MASK), -torch.inf),  # all but the mask token
        ],
        ids=["nan", "one nan", "one inf", "all ruled out", "all but the mask"],
    )
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"temperature": 1.0, "top_p": 0.9},
            {"confidence_eos_eot_inf": True, "eos_token_id": 0},
            {"draft_steps": 2},
        ],
        ids=str,
    )
    def test_nan_and_infinite(self, broken, options):
        with pytest.raises(ValueError, match="NaN or infinite.*`logits_processor`.*`cfg_scale`"):
            MockModel(context_script()).generate(PROMPT, max_new_tokens=4, logits_processor=[broken], **options)

    def test_a_processor_that_leaves_one_token_is_right(self):
        """Also where that is the end token, whose confidence is taken without end tokens."""
        only = [lambda ids, scores: torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor([EOS]), 0.0)]
        sequences = MockModel(context_script()).generate(
            PROMPT, max_new_tokens=2, logits_processor=only, confidence_eos_eot_inf=True, stop_at_eos=False
        )
        assert (sequences[:, 3:] == EOS).all()

    @pytest.mark.parametrize(
        "processor",
        [lambda ids, scores: None, lambda ids, scores: scores[:, :5], lambda ids, scores: scores.long()],
        ids=["none", "shape", "integers"],
    )
    def test_processors_that_return_something_else(self, processor):
        with pytest.raises(ValueError, match="`logits_processor` must return scores of shape"):
            MockModel(context_script()).generate(PROMPT, max_new_tokens=4, logits_processor=[processor, torch.add])


class TestCallable:
    """Its result can only be checked after the first forward pass."""

    @pytest.mark.parametrize(
        "commit",
        [
            lambda confidence, mask, budget: mask.float(),
            lambda confidence, mask, budget: mask[:, :2],
            lambda confidence, mask, budget: mask.nonzero(),
            lambda confidence, mask, budget: None,
            lambda confidence, mask, budget: mask.tolist(),
        ],
        ids=["float", "shape", "indices", "none", "list"],
    )
    def test_no_boolean_mask(self, commit):
        model = MockModel(context_script())
        with pytest.raises(ValueError, match="`remasking` must return"):
            model.generate(PROMPT, max_new_tokens=4, remasking=commit)
        assert len(model.calls) == 1

    def test_in_a_config(self):
        """A config is saved as JSON, so a callable goes to `generate` itself."""
        with pytest.raises(ValueError, match="`remasking`"):
            LLaDAGenerationConfig(remasking=lambda confidence, mask, budget: mask)


def test_the_model_of_these_tests_accepts_good_input():
    """This shows that each error above is due to the change that its test made."""
    model = MockModel(context_script())
    sequences = model.generate(PROMPT, attention_mask=torch.ones_like(PROMPT), max_new_tokens=4, steps=2)
    assert sequences.shape == (2, 7) and not (sequences == MASK).any()
