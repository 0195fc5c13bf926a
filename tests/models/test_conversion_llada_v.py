# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Loading LLaDA-V: every public folder gives the right logits or a clear error, and never a part that is random."""

import json
import shutil

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.golden_v import CONFIG, FOLDER, golden_tensors
from support.llada_v import MASK, golden_llada_v, stack_images
from support.saved_tensors import assert_same_tensors, stored
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    BitsAndBytesConfig,
    TorchAoConfig,
)

from modeling_llada import LLaDAForMaskedLM, LLaDAVConfig, LLaDAVForConditionalGeneration, LLaDAVModel


AUTO_CLASSES = (AutoModel, AutoModelForImageTextToText, AutoModelForMaskedLM, AutoModelForCausalLM)
TOWER = "model.vision_tower.vision_tower.vision_model."
VISION = json.loads((FOLDER / "vision_config.json").read_text())
LANGUAGE_LAYERS = r".*model\.layers\.\d+\..*(q_proj|v_proj|down_proj)"


@pytest.fixture(scope="module")
def weights():
    return load_file(FOLDER / "model.safetensors")


@pytest.fixture
def folder(tmp_path, weights):
    """Writes a public folder, by default the golden one."""

    def write(weights=weights, config=CONFIG, vision_config=VISION, where="folder"):
        folder = tmp_path / where
        folder.mkdir(parents=True)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config))
        if vision_config is not None:
            (folder / "vision_config.json").write_text(json.dumps(vision_config))
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(FOLDER / name, folder)
        return folder

    return write


def without(weights, part):
    return {name: value for name, value in weights.items() if part not in name}


def with_a_picture(model):
    """Inputs about the golden picture A, with the placeholders of this model."""
    tensors = golden_tensors()
    images = stack_images([tensors["pixel_values.anyres.A"]], [(100, 60)])
    (features,) = model.get_image_features(**images).pooler_output
    placeholders = [model.config.image_token_id] * len(features)
    return {"input_ids": torch.tensor([[70, 71, *placeholders, 60, MASK, MASK]]), **images}


@torch.no_grad()
def logits(model):
    return model.eval()(**with_a_picture(model)).logits.float()


def assert_equals_the_golden_model(model):
    assert torch.equal(logits(model), logits(golden_llada_v()))


def load(folder, auto_class=AutoModelForImageTextToText, **options):
    model, info = auto_class.from_pretrained(folder, output_loading_info=True, **options)
    assert not any(info.values()), info
    return model


class TestPublicFolder:
    @pytest.mark.parametrize("auto_class", [*AUTO_CLASSES, LLaDAVForConditionalGeneration])
    def test_every_class(self, auto_class):
        model = load(FOLDER, auto_class)
        assert type(model) is LLaDAVForConditionalGeneration
        assert_equals_the_golden_model(model)

    def test_the_backbone_alone(self, tmp_path):
        model = load(FOLDER, LLaDAVModel)
        assert_same_tensors(model.state_dict(), golden_llada_v().model.state_dict())
        model.save_pretrained(tmp_path)
        assert type(load(tmp_path, AutoModel)) is LLaDAVModel
        _, info = LLaDAVForConditionalGeneration.from_pretrained(tmp_path, output_loading_info=True)
        assert info["missing_keys"] == {"lm_head.weight"} and not info["unexpected_keys"]

    @pytest.mark.parametrize("auto_class", [LLaDAForMaskedLM])
    def test_the_class_of_text(self, auto_class):
        with pytest.raises(ValueError, match="of LLaDA-V, which has a vision tower"):
            auto_class.from_pretrained(FOLDER)

    def test_shards(self, tmp_path, weights):
        golden_llada_v().save_pretrained(tmp_path, max_shard_size="200KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
        assert_same_tensors(stored(tmp_path), weights)
        assert_equals_the_golden_model(load(tmp_path))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, folder, weights, dtype):
        half = {name: value.to(dtype) for name, value in weights.items()}
        path = folder(half, CONFIG | {"torch_dtype": str(dtype).removeprefix("torch.")})
        model = load(path)
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}
        assert load(path, dtype="float32").dtype == torch.float32
        error = (logits(model) - logits(golden_llada_v())).norm() / logits(golden_llada_v()).norm()
        assert error < (0.01 if dtype == torch.float16 else 0.1)
        model.save_pretrained(path.parent / "again")
        assert_same_tensors(stored(path.parent / "again"), half)

    @pytest.mark.parametrize("options", [{"device_map": "cpu"}, {"low_cpu_mem_usage": True}], ids=str)
    def test_ways_of_loading(self, options):
        assert_equals_the_golden_model(load(FOLDER, **options))

    def test_a_tower_on_the_disk(self, tmp_path):
        parts = ("embed_tokens", "layers", "norm", "rotary_emb", "multi_modal_projector", "image_newline")
        device_map = {f"model.{part}": "cpu" for part in parts} | {"lm_head": "cpu", "model.vision_tower": "disk"}
        with pytest.warns(UserWarning, match="do not match any submodules"):  # `image_newline` is in no module
            model = load(FOLDER, device_map=device_map, offload_folder=tmp_path)
        assert model.model.vision_tower.device.type == "meta"
        with torch.no_grad():
            inputs = with_a_picture(golden_llada_v())
            got, expected = model(**inputs).logits, golden_llada_v()(**inputs).logits
        assert torch.equal(got, expected)

    @pytest.mark.parametrize("auto_class", [LLaDAVForConditionalGeneration, LLaDAVModel])
    def test_a_subfolder(self, folder, auto_class):
        model = load(folder(where="folder/inside").parent, auto_class, subfolder="inside")
        assert model.config.vision_config.hidden_size == 32 and model.config.mask_token_id == MASK

    def test_a_hub_id_in_the_cache(self, folder, tmp_path, monkeypatch):
        commit = "a" * 40
        folder(where=f"models--org--eyes/snapshots/{commit}")
        (tmp_path / "models--org--eyes/refs").mkdir()
        (tmp_path / "models--org--eyes/refs/main").write_text(commit)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        for auto_class in (AutoModelForImageTextToText, LLaDAVForConditionalGeneration):
            assert_equals_the_golden_model(load("org/eyes", auto_class))
            assert_equals_the_golden_model(load("org/eyes", auto_class, revision=commit))


class TestVisionTower:
    """Its sizes come from vision_config.json or from the tensors. SigLIP's last layer and head are dropped, also if a file
    still has them."""

    @pytest.fixture
    def last_layer(self, weights):
        layer = {name: value for name, value in weights.items() if f"{TOWER}encoder.layers.1." in name}
        return {name.replace(".layers.1.", ".layers.2."): value.clone() for name, value in layer.items()}

    def test_the_last_layer_and_the_head_may_be_there(self, folder, weights, last_layer):
        head = {f"{TOWER}head.probe": torch.zeros(1, 1, 32), f"{TOWER}head.layernorm.bias": torch.zeros(32)}
        model = load(folder(weights | last_layer | head))
        assert_equals_the_golden_model(model)
        assert len(model.model.vision_tower.encoder.layers) == 2

    def test_a_config_of_siglip_as_vision_config(self, folder):
        assert_equals_the_golden_model(load(folder(vision_config={"model_type": "siglip", "vision_config": VISION})))

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"hidden_size": 48}, r"weights of another size.*patch_embedding.bias \(32,\) instead of \(48,\)"),
            ({"image_size": 84}, r"has 1 weights of another size.*position_embedding.weight \(25, 32\) instead"),
            ({"num_hidden_layers": 4}, "lacks 16 weights of the model: model.vision_tower.encoder.layers.2"),
            ({"model_type": "siglip2_vision_model"}, "`model_type` in the vision_config.json .* is another network"),
            ({"num_attention_heads": None}, "the vision_config.json of .* lacks num_attention_heads"),
        ],
        ids=["width", "image size", "layers", "type", "no heads"],
    )
    def test_another_tower_than_the_tensors(self, folder, change, message):
        path = folder(vision_config=VISION | change)
        with pytest.raises(ValueError, match=message):
            AutoModel.from_pretrained(path)

    def test_two_layers_too_many(self, folder, weights, last_layer):
        more = last_layer | {name.replace("rs.2.", "rs.3."): value.clone() for name, value in last_layer.items()}
        with pytest.raises(ValueError, match="has 16 weights too many: model.vision_tower.encoder.layers.3"):
            AutoModel.from_pretrained(folder(weights | more))

    def test_a_width_that_is_not_published_needs_the_number_of_heads(self, folder):
        with pytest.raises(
            ValueError, match="a width of 32, and no tensor tells its number of heads. Put a vision_config"
        ):
            AutoModel.from_pretrained(folder(vision_config=None))

    @pytest.mark.parametrize("layers", [3, 26, 27])
    def test_the_published_sizes_come_from_the_tensors(self, folder, weights, layers):
        """Only their shapes are read, so one layer of the width is enough here."""
        tower = {
            "embeddings.patch_embedding.weight": torch.empty(1152, 3, 14, 14),
            "embeddings.position_embedding.weight": torch.empty(729, 1152),
            "encoder.layers.0.mlp.fc1.weight": torch.empty(4304, 1152),
            **{f"encoder.layers.{layer}.layer_norm1.bias": torch.empty(2) for layer in range(layers)},
        }
        path = folder(
            {TOWER + name: value.to(torch.float8_e4m3fn) for name, value in tower.items()}, vision_config=None
        )
        vision = LLaDAVConfig.from_pretrained(path).vision_config
        assert (vision.hidden_size, vision.intermediate_size, vision.num_attention_heads) == (1152, 4304, 16)
        assert (vision.image_size, vision.patch_size, vision.num_hidden_layers) == (384, 14, min(layers, 26))


class TestDamagedFolder:
    @pytest.mark.parametrize(
        "part, number",
        [
            ("mm_projector.2", 2),
            ("image_newline", 1),
            ("vision_tower", 37),
            ("post_layernorm", 2),
            ("layers.1.mlp.fc1", 2),
        ],
    )
    def test_missing_weights(self, folder, weights, part, number):
        path = folder(without(weights, part))
        with pytest.raises(ValueError, match=f"lacks {number} weights of the model"):
            AutoModel.from_pretrained(path)

    def test_a_flat_checkpoint_has_no_newline(self, folder, weights):
        """As that of stage 1. Stage 2 begins with a random one, as in the public code."""
        path = folder(without(weights, "image_newline"), CONFIG | {"mm_patch_merge_type": "flat"})
        model = load(path)
        assert model.config.patch_merge_type == "flat"
        assert 0.08 < model.model.image_newline.std() < 0.17  # 1 / sqrt(64)

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"mm_projector_type": "linear"}, "`mm_projector_type` must be 'mlp2x_gelu'"),
            ({"mm_patch_merge_type": "spatial"}, "`mm_patch_merge_type` must be 'spatial_unpad'"),
            ({"mm_newline_position": "frame"}, "`mm_newline_position` must be 'grid'"),
            ({"mm_resampler_type": "qformer"}, "`mm_resampler_type` must be None"),
        ],
    )
    def test_other_variants_of_llava(self, folder, change, message):
        with pytest.raises(ValueError, match=message):
            AutoModel.from_pretrained(folder(config=CONFIG | change))


class TestStateDict:
    def test_both_names(self, weights):
        own = golden_llada_v().state_dict()
        for state_dict in (weights, own):
            model = LLaDAVForConditionalGeneration(golden_llada_v().config)
            model.load_state_dict(dict(state_dict))
            assert_same_tensors(model.state_dict(), own)

    def test_the_backbone(self, weights):
        model = LLaDAVModel(golden_llada_v().config)
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in without(weights, "lm_head").items()}
        )
        assert_same_tensors(model.state_dict(), golden_llada_v().model.state_dict())

    def test_an_unknown_part_of_the_projector(self, weights):
        model = LLaDAVForConditionalGeneration(golden_llada_v().config)
        with pytest.raises(RuntimeError, match=r"Unexpected key.*mm_projector\.4"):
            model.load_state_dict(weights | {"model.mm_projector.4.bias": torch.zeros(2)})


class TestNewModel:
    def test_a_random_newline_is_as_long_as_an_embedding_of_stage_2(self):
        torch.manual_seed(0)
        model = LLaDAVForConditionalGeneration(golden_llada_v().config)
        assert 0.08 < model.model.image_newline.std() < 0.17

    @pytest.mark.parametrize("use_reentrant", [False, True])
    def test_gradient_checkpointing(self, use_reentrant):
        def gradients(checkpointing):
            model = load(FOLDER).train()
            if checkpointing:
                model.enable_input_require_grads()
                model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
            inputs = with_a_picture(model)
            labels = torch.where(inputs["input_ids"] == MASK, 5, -100)
            model(**inputs, labels=labels).loss.backward()
            return {name: parameter.grad for name, parameter in model.named_parameters()}

        expected, got = gradients(False), gradients(True)
        # The state before it is the one that is taken.
        assert all("post_layernorm" in name for name, gradient in expected.items() if gradient is None)
        for name, gradient in expected.items():
            if gradient is not None:
                torch.testing.assert_close(got[name], gradient, msg=name)


class TestResize:
    """A placeholder keeps its id, which the tokenizer of the processor has too, whether a row is added for it or not."""

    @pytest.mark.parametrize("rows, unused", [(320, []), (321, [320]), (322, [320, 321]), (330, [320, 321])])
    def test_placeholders_keep_their_ids(self, tmp_path, rows, unused):
        model = load(FOLDER)
        model.resize_token_embeddings(rows)
        model.save_pretrained(tmp_path)
        again = load(tmp_path)
        for one in (model, again):
            assert (one.config.image_token_id, one.config.video_token_id) == (320, 321)
            assert one.config.unused_token_ids == unused
            assert torch.equal(logits(one)[..., :320], logits(golden_llada_v()))

    def test_fewer_rows(self):
        """As the public loader does it: only entries of the tokenizer keep a row."""
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = LLaDAVConfig(
            **sizes, vocab_size=99, mask_token_id=2, eos_token_id=1, image_token_id=90, vision_config=VISION
        )
        model = LLaDAVForConditionalGeneration(config)
        model.resize_token_embeddings(90)
        assert (config.vocab_size, config.image_token_id, config.num_input_ids) == (90, 90, 92)
        inputs = with_a_picture(model) | {"num_return_sequences": 2}
        inputs["input_ids"] = inputs["input_ids"].where(inputs["input_ids"] != MASK, 2)
        assert model.generate(**inputs, max_new_tokens=4)[:, -4:].max() < 90


class TestTiedHead:
    def test_it_is_stored_once(self, folder, weights, tmp_path):
        model = load(folder(without(weights, "lm_head"), CONFIG | {"tie_word_embeddings": True}))
        assert model.lm_head.weight is model.model.embed_tokens.weight
        model.save_pretrained(tmp_path / "again")
        assert_same_tensors(stored(tmp_path / "again"), without(weights, "lm_head"))
        assert torch.equal(logits(load(tmp_path / "again")), logits(model))


class TestQuantized:
    @pytest.mark.parametrize("library", ["torchao", "bitsandbytes"])
    @pytest.mark.filterwarnings("ignore")
    def test_it_comes_back_under_the_public_names(self, tmp_path, library):
        from torchao.quantization import Int8WeightOnlyConfig

        config = TorchAoConfig(Int8WeightOnlyConfig())
        if library == "bitsandbytes":
            config = BitsAndBytesConfig(load_in_8bit=True)
        model = load(FOLDER, quantization_config=config, dtype=torch.float32, device_map="cpu")
        error = (logits(model) - logits(golden_llada_v())).norm() / logits(golden_llada_v()).norm()
        assert 0 < error < 0.2
        model.save_pretrained(tmp_path)
        names = load_file(tmp_path / "model.safetensors").keys()
        assert any(name.startswith("model.mm_projector.0.") for name in names)
        assert any(name.startswith(f"{TOWER}encoder.layers.0.self_attn.q_proj.") for name in names)
        assert torch.equal(logits(load(tmp_path, device_map="cpu")), logits(model))


class TestAdapter:
    @pytest.fixture
    def adapted(self):
        config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=LANGUAGE_LAYERS)
        torch.manual_seed(0)
        model = get_peft_model(load(FOLDER), config)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        return model

    def test_it_is_on_the_language_model_alone(self, adapted):
        trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
        assert len(trained) == 2 * 3 * 2 and all(".model.layers." in name for name in trained)

    @pytest.mark.parametrize("way", ["PeftModel", "load_adapter", "AutoPeftModel", "AutoModel"])
    def test_reload(self, adapted, tmp_path, way):
        adapted.save_pretrained(tmp_path)
        if way == "PeftModel":
            again = PeftModel.from_pretrained(load(FOLDER), tmp_path)
        elif way == "load_adapter":
            again = load(FOLDER)
            again.load_adapter(str(tmp_path))
        else:
            again = (AutoPeftModelForCausalLM if way == "AutoPeftModel" else AutoModel).from_pretrained(tmp_path)
        assert (logits(adapted) - logits(golden_llada_v())).abs().max() > 0.1
        torch.testing.assert_close(logits(again), logits(adapted))

    def test_merged_it_is_a_checkpoint_like_any_other(self, adapted, tmp_path, weights):
        expected = logits(adapted)
        adapted.merge_and_unload().save_pretrained(tmp_path)
        assert stored(tmp_path).keys() == weights.keys()
        torch.testing.assert_close(logits(load(tmp_path)), expected, rtol=1e-4, atol=1e-4)
