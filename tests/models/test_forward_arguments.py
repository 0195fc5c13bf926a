# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The keyword arguments of a forward pass: both names of the cache, what libraries pass, and errors for everything else."""

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modeling_llada import LLaDAForMaskedLM, LLaDAModel
from modeling_llada.models.cache_llada import LLaDACache


BOTH_CLASSES = pytest.mark.parametrize("model_class", [LLaDAModel, LLaDAForMaskedLM])
BOTH_NAMES = pytest.mark.parametrize("name", ["cache", "past_key_values"])


class TestCache:
    """transformers 5.24 calls it `cache`, and older releases `past_key_values`."""

    @BOTH_CLASSES
    @BOTH_NAMES
    def test_either_name_fills_it(self, tiny_model, random_ids, model_class, name):
        model, cache = tiny_model(model_class), LLaDACache(num_layers=2)
        model(random_ids(2, 7), **{name: cache})
        assert [tuple(layer.keys.shape) for layer in cache.layers] == [(2, 2, 7, 8)] * 2

    @BOTH_NAMES
    def test_either_name_reads_it(self, tiny_model, random_ids, name):
        model, ids, window = tiny_model(), random_ids(2, 12), torch.arange(4, 8).expand(2, -1)
        cache = LLaDACache(num_layers=2)
        expected = model(ids, **{name: cache}).logits[:, 4:8]
        cache.window = window
        logits = model(ids[:, 4:8], position_ids=window, **{name: cache}).logits
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)

    @BOTH_CLASSES
    def test_both_names_at_once_are_an_error(self, tiny_model, random_ids, model_class):
        with pytest.raises(ValueError, match="`cache` and `past_key_values` are two names of one argument"):
            tiny_model(model_class)(random_ids(1, 4), cache=LLaDACache(2), past_key_values=LLaDACache(2))


@BOTH_CLASSES
class TestUnknown:
    @pytest.mark.parametrize("name", ["past_key_value", "query_position", "seq_idx", "kwargs"])
    def test_is_an_error(self, tiny_model, random_ids, model_class, name):
        with pytest.raises(TypeError, match=f"unexpected keyword argument `{name}`"):
            tiny_model(model_class)(random_ids(1, 4), **{name: torch.zeros(1, 4)})

    def test_token_types_of_a_tokenizer(self, tiny_model, random_ids, model_class):
        """Zeros say nothing; others would be ignored."""
        model, ids = tiny_model(model_class), random_ids(1, 4)
        assert torch.equal(model(ids, token_type_ids=torch.zeros_like(ids))[0], model(ids)[0])
        with pytest.raises(ValueError, match="`token_type_ids` must be zeros"):
            model(ids, token_type_ids=torch.ones_like(ids))

    @pytest.mark.parametrize("name", ["use_cache", "is_causal"])
    def test_arguments_that_cannot_be_switched_on(self, tiny_model, random_ids, model_class, name):
        model, ids = tiny_model(model_class), random_ids(1, 4)
        with pytest.raises(ValueError, match=f"`{name}=True` is not possible"):
            model(ids, **{name: True})
        for value in (False, None):
            assert torch.equal(model(ids, **{name: value})[0], model(ids)[0])

    def test_lengths_of_documents_without_their_places(self, tiny_model, random_ids, model_class):
        """They would do nothing."""
        with pytest.raises(ValueError, match="`cu_seq_lens_q` beside `cu_seq_lens_k`"):
            tiny_model(model_class)(random_ids(1, 4), max_length_q=4, max_length_k=4)


@BOTH_CLASSES
class TestKnown:
    def test_arguments_that_libraries_pass(self, tiny_model, random_ids, model_class):
        """Trainers, pipelines and PEFT pass these names, most of them with `None`."""
        model, ids = tiny_model(model_class), random_ids(1, 4)
        passed = {
            "attention_mask": torch.ones(1, 4),
            "inputs_embeds": None,
            "num_items_in_batch": torch.tensor(3),
            "output_attentions": None,
            "output_hidden_states": None,
            "return_dict": None,
            "use_cache": False,
            "cu_seq_lens_q": None,
            "max_length_q": None,
        }
        torch.testing.assert_close(model(ids, **passed)[0], model(ids)[0])

    def test_arguments_of_the_attention_function(self, tiny_model, random_ids, model_class):
        """An attention function that a user registers can have arguments of its own."""
        received = []

        def attention(module, query, key, value, attention_mask, bias_of_mine=None, **kwargs):
            received.append(bias_of_mine)
            return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **kwargs)

        model = tiny_model(model_class)
        ALL_ATTENTION_FUNCTIONS.register("mine", attention)
        try:
            model.set_attn_implementation("mine")
            model(random_ids(1, 4), bias_of_mine=7)
            assert received == [7, 7]
            with pytest.raises(TypeError, match="`bias_of_yours`"):
                model(random_ids(1, 4), bias_of_yours=7)
        finally:
            del ALL_ATTENTION_FUNCTIONS._global_mapping["mine"]

    def test_compiled(self, tiny_model, random_ids, model_class):
        model, ids = tiny_model(model_class), random_ids(1, 4)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        for name in ("cache", "past_key_values"):
            output = compiled(ids, use_cache=False, **{name: None})
            torch.testing.assert_close(output[0], model(ids)[0])


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated")
@pytest.mark.parametrize("name", ["activation_checkpointing_enable", "gradient_checkpointing_enable"])
def test_checkpointed_activations(tiny_model, name):
    """transformers 5.24 renamed the method. Both names work with every release."""
    model = tiny_model()
    getattr(model, name)({"use_reentrant": False})
    assert model.model.gradient_checkpointing
