# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The common model tests of transformers, for the mask predictor and for the bare network.

tests/models/test_transformers_suite.py copies this file next to `test_modeling_common.py` and runs it there.
"""

from unittest import TestCase, skip

import torch

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAModel

from .test_modeling_common import ModelTesterMixin, ids_tensor


class ModelTester:
    """What the tests ask for: a tiny config, and inputs for it."""

    batch_size, seq_length = 3, 7
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4

    def __init__(self, is_training: bool) -> None:
        self.is_training = is_training

    def prepare_config_and_inputs_for_common(self) -> tuple[LLaDAConfig, dict[str, torch.Tensor]]:
        # The tests drop the last 15 rows of the embedding, so the special tokens have the smallest ids.
        config = LLaDAConfig(
            vocab_size=99,
            hidden_size=self.hidden_size,
            intermediate_size=48,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=2,
            max_position_embeddings=64,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
            mask_token_id=2,
        )
        input_ids = ids_tensor([self.batch_size, self.seq_length], config.vocab_size - 3) + 3
        return config, {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}


class CommonTests(ModelTesterMixin):
    all_generative_model_classes = ()  # `generate` is our own: its options are not those of `GenerationMixin`

    @skip("`from_pretrained` refuses a checkpoint without the weights of the backbone: test_conversion.py")
    def test_can_init_all_missing_weights(self):
        pass

    @skip("the test saves a checkpoint without weights, which `from_pretrained` refuses")
    def test_model_weights_reload_no_missing_tied_weights(self):
        pass


class MaskPredictorTest(CommonTests, TestCase):
    all_model_classes = (LLaDAForMaskedLM,)

    def setUp(self):
        self.model_tester = ModelTester(is_training=True)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        return inputs | {"labels": inputs["input_ids"]} if return_labels else inputs


class BareModelTest(CommonTests, TestCase):
    all_model_classes = (LLaDAModel,)

    def setUp(self):
        self.model_tester = ModelTester(is_training=False)  # it has no loss
