# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The configuration of LLaDA-V: the public config.json, what it leaves out, and what it cannot be."""

import copy
import json

import pytest
from support.golden_v import CONFIG, FOLDER
from transformers import AutoConfig, CLIPVisionConfig, SiglipConfig, SiglipVisionConfig

from modeling_llada import LLaDAConfig, LLaDAVConfig


SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = SIZES | {"image_size": 56, "patch_size": 14}


def small(**fields):
    tokens = {"vocab_size": 128, "mask_token_id": 127, "eos_token_id": 0, "pad_token_id": 0}
    return LLaDAVConfig(**SIZES | tokens | {"vision_config": VISION} | fields)


class TestPublic:
    def test_tokens_come_from_the_tokenizer(self):
        """The BOS of the file is a token of another vocabulary, and all others are constants of the public code."""
        config = AutoConfig.from_pretrained(FOLDER)
        assert CONFIG["bos_token_id"] == 128000 and config.bos_token_id == 300
        assert (config.mask_token_id, config.eos_token_id, config.pad_token_id, config.eot_token_id) == (
            319,
            301,
            301,
            302,
        )
        assert (config.image_token_id, config.video_token_id, config.num_input_ids) == (320, 321, 322)

    def test_the_tokenizer_of_a_processor_has_the_placeholders(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps(CONFIG))
        tokenizer = json.loads((FOLDER / "tokenizer.json").read_text())
        tokenizer["added_tokens"] += [
            tokenizer["added_tokens"][0] | {"content": content, "id": 320 + number}
            for number, content in enumerate(("<image>", "<video>"))
        ]
        (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
        assert AutoConfig.from_pretrained(tmp_path).image_token_id == 320

    def test_the_public_vocabulary_needs_no_tokenizer(self):
        fields = {name: value for name, value in CONFIG.items() if "token_id" not in name}
        config = LLaDAVConfig.from_dict(
            fields | {"vocab_size": 126464, "bos_token_id": 128000, "eos_token_id": 126081}
        )
        assert (config.bos_token_id, config.mask_token_id, config.eot_token_id) == (126080, 126336, 126348)
        assert config.image_token_id == 126349
        assert config.unused_token_ids == list(range(126349, 126464))
        assert config.generation_defaults == {
            "eos_token_id": 126348,
            "suppress_tokens": [126080, 126081, 126346, 126347],
            "skip_after_eos": True,
        }

    def test_the_same_without_a_public_file(self):
        """As a language model of the public vocabulary gets it that is given eyes."""
        config = LLaDAVConfig.from_language_config(LLaDAConfig(**SIZES))
        assert config.unused_token_ids == list(range(126349, 126464))
        assert config.generation_defaults == {}
        assert config.architectures == ["LLaDAVForConditionalGeneration"]

    def test_pinpoints(self):
        pinpoints = {
            "pairs": [[70 * columns, 70 * rows] for columns in range(1, 7) for rows in range(1, 7)],
            "range": "(1x1),...,(6x6)",
            "absent": None,
        }
        found = [
            LLaDAVConfig.from_dict(CONFIG | {"image_grid_pinpoints": value, "_name_or_path": str(FOLDER)})
            for value in pinpoints.values()
        ]
        assert all(config.image_grid_pinpoints == found[0].image_grid_pinpoints for config in found)
        assert found[0].image_grid_pinpoints[:2] == [[70, 70], [140, 70]]  # (height, width), in the public order

    def test_it_is_saved_with_all_that_was_found(self, tmp_path):
        config = AutoConfig.from_pretrained(FOLDER)
        config.save_pretrained(tmp_path)
        again = AutoConfig.from_pretrained(tmp_path)
        for one in (config, again):
            one.name_or_path = ""
        assert again.to_dict() == config.to_dict()


class TestFields:
    def test_defaults_are_those_of_the_public_tower(self):
        config = LLaDAVConfig(**SIZES)
        vision = config.vision_config
        assert (vision.hidden_size, vision.num_hidden_layers, vision.image_size) == (1152, 26, 384)
        assert len(config.image_grid_pinpoints) == 36 and config.image_grid_pinpoints[-1] == [2304, 2304]
        assert (config.vision_aspect_ratio, config.max_tiles, config.patch_merge_type) == (
            "anyres_max_4",
            4,
            "spatial_unpad",
        )

    @pytest.mark.parametrize("vision_config", [VISION, SiglipVisionConfig(**VISION)], ids=["dict", "config"])
    def test_the_tower_has_no_head(self, vision_config):
        """Its weights are in no public file. A given config is not changed."""
        before = copy.deepcopy(vision_config)
        vision = small(vision_config=vision_config).vision_config
        assert vision.vision_use_head is False and vision.hidden_size == 32
        assert vision_config == before if isinstance(before, dict) else vision_config.to_dict() == before.to_dict()

    def test_placeholders_stand_behind_the_embedding_by_default(self):
        config = small()
        assert (config.image_token_id, config.video_token_id, config.num_input_ids) == (128, 129, 130)
        assert config.unused_token_ids == []
        config = small(image_token_id=100, tokenizer_vocab_size=120)
        assert config.video_token_id == 101
        assert config.unused_token_ids == [100, 101, *range(120, 128)]

    @pytest.mark.parametrize(
        "fields, message",
        [
            ({"image_token_id": -1}, "`image_token_id`"),
            ({"image_token_id": 127}, "`image_token_id` must be a token of its own, but 127 is `mask_token_id` too"),
            ({"image_token_id": 5, "video_token_id": 5}, "but 5 is `.*_token_id` too"),
            ({"image_token_id": 126}, "`video_token_id` must be a token of its own, but 127 is `mask_token_id` too"),
            ({"image_token_id": 3, "eos_token_id": [0, 3]}, "but 3 is `eos_token_id` too"),
            ({"patch_merge_type": "spatial"}, "`patch_merge_type` must be one of spatial_unpad, flat"),
            ({"vision_aspect_ratio": "pad"}, "`vision_aspect_ratio`"),
            ({"image_grid_pinpoints": [[56]]}, "`image_grid_pinpoints` must be a list of pairs"),
            ({"vision_config": SiglipConfig()}, "`vision_config` must be a `SiglipVisionConfig`.* the type 'siglip'"),
            ({"vision_config": CLIPVisionConfig()}, "`vision_config` must be a `SiglipVisionConfig`"),
            ({"vision_config": {"model_type": "siglip2_vision_model"}}, "the type 'siglip2_vision_model'"),
        ],
        ids=str,
    )
    def test_value_that_cannot_be(self, fields, message):
        with pytest.raises(ValueError, match=message):
            small(**fields)

    def test_a_field_that_is_set_later_is_checked_too(self):
        with pytest.raises(ValueError, match="`patch_merge_type` must be one of"):
            small().patch_merge_type = "unpad"

    def test_the_text_class_refuses_it(self):
        with pytest.raises(ValueError, match="is a checkpoint of LLaDA-V"):
            LLaDAConfig(architectures=["LlavaLLaDAModelLM"])

    def test_a_checkpoint_of_text(self, tmp_path):
        LLaDAConfig(**SIZES).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="`model_type` must be 'llava_llada', but it is 'llada'.*from_parts"):
            LLaDAVConfig.from_pretrained(tmp_path)
