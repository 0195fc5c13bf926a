# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The common model tests of transformers, for the mask predictor and for the bare network, and for those that see images.

tests/models/test_transformers_suite.py copies this file next to `test_modeling_common.py` and runs it there.
"""

from unittest import TestCase, skip

import torch

from modeling_llada import (
    ILLaDAConfig,
    ILLaDAForMaskedLM,
    LLaDA2MoeConfig,
    LLaDA2MoeForMaskedLM,
    LLaDAConfig,
    LLaDAForMaskedLM,
    LLaDAModel,
    LLaDAMoeConfig,
    LLaDAMoeForMaskedLM,
    LLaDAVConfig,
    LLaDAVForConditionalGeneration,
    LLaDAVModel,
)

from .test_modeling_common import ModelTesterMixin, floats_tensor, ids_tensor


class ModelTester:
    """What the tests ask for: a tiny config, and inputs for it."""

    batch_size, seq_length = 3, 7
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4
    config_class, fields = LLaDAConfig, {}

    def __init__(self, is_training: bool) -> None:
        self.is_training = is_training

    def prepare_config_and_inputs_for_common(self) -> tuple[LLaDAConfig, dict[str, torch.Tensor]]:
        # The tests drop the last 15 rows of the embedding, so the special tokens have the smallest ids.
        config = self.config_class(
            **self.fields,
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


class ILLaDAModelTester(ModelTester):
    config_class = ILLaDAConfig


class MoeModelTester(ModelTester):
    """The same with experts, and with the parts that the published checkpoint does not use."""

    config_class = LLaDAMoeConfig
    fields = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 16,
        "moe_router_enable_expert_bias": True,
    }


class LLaDA2ModelTester(ModelTester):
    """The same with a dense layer, groups of experts, and a shared one."""

    config_class = LLaDA2MoeConfig
    fields = {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "n_group": 2,
        "topk_group": 1,
        "head_dim": 16,
    }


class VisionModelTester(ModelTester):
    """The same with an image of one tile in each row: 4 features, with `image_newline` behind them."""

    config_class = LLaDAVConfig
    num_image_tokens = 5
    fields = {
        "image_token_id": 5,  # the tests fill rows with smaller ids
        "video_token_id": 6,
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
        },
    }

    def __init__(self, is_training: bool, has_images: bool = True) -> None:
        super().__init__(is_training)
        self.has_images = has_images

    def prepare_config_and_inputs_for_common(self) -> tuple[LLaDAVConfig, dict[str, torch.Tensor]]:
        config, inputs = super().prepare_config_and_inputs_for_common()
        inputs["input_ids"] = inputs["input_ids"].clamp(min=7)
        if not self.has_images:
            return config, inputs
        inputs["input_ids"][:, 1 : 1 + self.num_image_tokens] = config.image_token_id
        tiles = floats_tensor([self.batch_size, 1, 3, 8, 8])
        sizes, counts = torch.full((self.batch_size, 2), 8), torch.ones(self.batch_size, dtype=torch.long)
        return config, inputs | {"pixel_values": tiles, "image_sizes": sizes, "num_tiles": counts}


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


class ILLaDATest(MaskPredictorTest):
    all_model_classes = (ILLaDAForMaskedLM,)

    def setUp(self):
        self.model_tester = ILLaDAModelTester(is_training=True)


class MoeTest(MaskPredictorTest):
    all_model_classes = (LLaDAMoeForMaskedLM,)

    def setUp(self):
        self.model_tester = MoeModelTester(is_training=True)


class LLaDA2Test(MaskPredictorTest):
    all_model_classes = (LLaDA2MoeForMaskedLM,)

    def setUp(self):
        self.model_tester = LLaDA2ModelTester(is_training=True)


# These pass `input_ids` alone, or other ones than those of the images, or ask for the states of the vision tower, or for a
# gradient of its last norm, which nothing reads.
NOT_WITH_IMAGES = (
    "test_eager_matches_sdpa",
    "test_get_image",
    "test_get_video",
    "test_inputs_embeds",
    "test_resize_tokens",
    "test_training_gradient_checkpointing",
)


def leave_out(test_class: type, prefixes: tuple[str, ...]) -> None:
    for name in dir(test_class):
        if name.startswith(prefixes):
            setattr(test_class, name, None)


class VisionTest(MaskPredictorTest):
    all_model_classes = (LLaDAVForConditionalGeneration,)

    def setUp(self):
        self.model_tester = VisionModelTester(is_training=True)


class BareVisionTest(CommonTests, TestCase):
    all_model_classes = (LLaDAVModel,)

    def setUp(self):
        self.model_tester = VisionModelTester(is_training=False)


class VisionWithoutImagesTest(MaskPredictorTest):
    all_model_classes = (LLaDAVForConditionalGeneration,)

    def setUp(self):
        self.model_tester = VisionModelTester(is_training=True, has_images=False)


leave_out(
    ILLaDATest, ("test_batching", "test_eager_matches_sdpa")
)  # they set `layer_norm_eps`, which its config refuses
leave_out(VisionTest, NOT_WITH_IMAGES)
leave_out(BareVisionTest, NOT_WITH_IMAGES)
leave_out(VisionWithoutImagesTest, ("test_get_image", "test_get_video", "test_training"))  # no gradient for the tower
