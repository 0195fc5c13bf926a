# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA-V from its parts: a language model, a SigLIP tower, and the projector that stage 1 has trained."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.golden_v import FOLDER
from transformers import SiglipConfig, SiglipModel, SiglipVisionConfig, SiglipVisionModel

from modeling_llada import LLaDAForMaskedLM, LLaDAVForConditionalGeneration


TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 70,
    "patch_size": 14,
}
TEXT_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}


def implementations_of(model) -> set[str]:
    """The kinds of attention that the layers of a model compute."""
    modules = [module for module in model.modules() if type(module).__name__ in ("LLaDAAttention", "SiglipAttention")]
    return {module.config._attn_implementation for module in modules}


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return SiglipVisionModel(SiglipVisionConfig(**TOWER)).eval()


class TestFromParts:
    def test_a_folder_of_each(self, tiny_model, tower, tmp_path):
        language = tiny_model()
        language.save_pretrained(tmp_path / "language")
        tower.save_pretrained(tmp_path / "tower")
        model = LLaDAVForConditionalGeneration.from_parts(tmp_path / "language", tmp_path / "tower")
        input_ids = torch.tensor([[5, 6, 7, 98]])
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(input_ids).logits, language(input_ids).logits)
        assert not [name for name, value in model.named_buffers() if value.is_meta]
        model.save_pretrained(tmp_path / "model")
        again, info = LLaDAVForConditionalGeneration.from_pretrained(tmp_path / "model", output_loading_info=True)
        assert not any(info.values())
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in again.state_dict().items())

    @pytest.mark.parametrize("kind", ["SiglipVisionModel", "SiglipModel", "given"])
    def test_the_last_layer_and_the_head_are_dropped(self, tiny_model, tower, tmp_path, kind):
        if kind == "SiglipModel":
            whole = SiglipModel(SiglipConfig(vision_config=TOWER, text_config=TEXT_TOWER)).eval()
            whole.vision_model.load_state_dict(tower.state_dict())
            whole.save_pretrained(tmp_path)
        elif kind == "SiglipVisionModel":
            tower.save_pretrained(tmp_path)
        model = LLaDAVForConditionalGeneration.from_parts(tiny_model(), tower if kind == "given" else tmp_path)
        assert model.config.vision_config.num_hidden_layers == 2
        pixels = torch.randn(1, 3, 70, 70)
        with torch.no_grad():
            expected = tower(pixels, output_hidden_states=True).hidden_states[-2]
            got = model.model.vision_tower.eval()(pixels, output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(got, expected)

    def test_a_tower_without_a_head_keeps_its_layers(self, tiny_model, tower):
        """It is that of a LLaDA-V."""
        first = LLaDAVForConditionalGeneration.from_parts(tiny_model(), tower)
        second = LLaDAVForConditionalGeneration.from_parts(tiny_model(), first.model.vision_tower)
        assert second.config.vision_config.num_hidden_layers == 2

    def test_fields_of_the_config(self, tiny_model, tower):
        model = LLaDAVForConditionalGeneration.from_parts(tiny_model(), tower, patch_merge_type="flat")
        assert model.config.patch_merge_type == "flat" and model.config.image_token_id == 99
        with pytest.raises(ValueError, match="`patch_merge_type` must be one of"):
            LLaDAVForConditionalGeneration.from_parts(tiny_model(), tower, patch_merge_type="unpad")

    def test_the_dtype_and_the_tied_head_are_those_of_the_language_model(self, tower):
        poet = LLaDAForMaskedLM.from_pretrained(FOLDER.parents[2] / "checkpoints/llada-poet", dtype=torch.bfloat16)
        model = LLaDAVForConditionalGeneration.from_parts(poet, tower)
        assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
        assert model.lm_head.weight is model.model.embed_tokens.weight
        assert model.generation_config.to_diff_dict() == poet.generation_config.to_diff_dict()

    def test_the_layers_follow_its_config_and_share_their_weights(self, tiny_model, tower):
        """Also when the attention is chosen later; the language model keeps its own."""
        language = tiny_model(attn_implementation="eager")
        model = LLaDAVForConditionalGeneration.from_parts(language, tower)
        assert implementations_of(model) == {"eager"}
        model.set_attn_implementation("sdpa")
        assert implementations_of(model) == {"sdpa"} and implementations_of(language) == {"eager"}
        own = dict(language.named_parameters())
        assert all(value is own[name] for name, value in model.named_parameters() if name in own)

    def test_placeholders_stand_behind_the_entries_of_the_tokenizer(self, tower):
        folder = FOLDER.parents[2] / "checkpoints/llada-poet"
        model = LLaDAVForConditionalGeneration.from_parts(folder, tower)
        assert (model.config.image_token_id, model.config.video_token_id) == (6400, 6401)

    def test_a_tower_that_lacks_weights(self, tiny_model, tower, tmp_path):
        tower.save_pretrained(tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        stored.pop(next(name for name in stored if name.endswith("patch_embedding.bias")))
        save_file(stored, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(
            ValueError, match="`vision_model=.* lacks 1 weights of a `SiglipVisionModel`, such as embeddings"
        ):
            LLaDAVForConditionalGeneration.from_parts(tiny_model(), tmp_path)


@pytest.fixture
def model():
    """The golden model with another projector."""
    config = LLaDAVForConditionalGeneration.config_class.from_pretrained(FOLDER)
    return LLaDAVForConditionalGeneration(config)


@pytest.fixture(scope="module")
def weights():
    """A projector with the keys of stage 1."""
    stored = load_file(FOLDER / "model.safetensors")
    return {name: value for name, value in stored.items() if "mm_projector" in name}


class CallsPrint:
    """What a pickle can ask for: any call."""

    def __reduce__(self):
        return print, ("a pickle that runs code",)


class TestProjector:
    @pytest.mark.parametrize("name", ["mm_projector.bin", "mm_projector.safetensors", "stage1.safetensors"])
    @pytest.mark.parametrize("prefix", ["model.", ""])
    def test_stage_1(self, model, weights, tmp_path, name, prefix):
        stored = {prefix + key.removeprefix("model."): value for key, value in weights.items()}
        save = torch.save if name.endswith(".bin") else save_file
        save(stored, tmp_path / name)
        model.load_projector(tmp_path / name if name.startswith("stage1") else tmp_path)
        projector = model.model.multi_modal_projector
        for ours, theirs in (("linear_1", 0), ("linear_2", 2)):
            for kind in ("weight", "bias"):
                got = projector.get_parameter(f"{ours}.{kind}")
                assert torch.equal(got, weights[f"model.mm_projector.{theirs}.{kind}"])
                assert got.requires_grad

    def test_our_own_names_and_another_dtype(self, model, tmp_path):
        projector = model.model.multi_modal_projector
        stored = {
            f"model.multi_modal_projector.{name}": value.half() for name, value in projector.state_dict().items()
        }
        save_file(stored, tmp_path / "projector.safetensors")
        model.load_projector(tmp_path / "projector.safetensors")
        assert torch.equal(projector.linear_1.bias, stored["model.multi_modal_projector.linear_1.bias"].float())

    def test_a_pickle_that_needs_more_than_tensors(self, model, tmp_path, capsys):
        torch.save({"model.mm_projector.0.weight": CallsPrint()}, tmp_path / "mm_projector.bin")
        with pytest.raises(ValueError, match="holds more than tensors, which is not read"):
            model.load_projector(tmp_path)
        assert "runs code" not in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["mm_projector.bin", "mm_projector.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"abc" * 10, bytes(64)], ids=["empty", "text", "zeros"])
    def test_a_damaged_file(self, model, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="is damaged, or holds more than tensors"):
            model.load_projector(tmp_path / name)

    def test_a_truncated_file(self, model, weights, tmp_path):
        torch.save(weights, tmp_path / "mm_projector.bin")
        content = (tmp_path / "mm_projector.bin").read_bytes()
        (tmp_path / "mm_projector.bin").write_bytes(content[:5000])
        with pytest.raises(ValueError, match="is damaged"):
            model.load_projector(tmp_path)

    def test_no_file(self, model, tmp_path):
        with pytest.raises(ValueError, match="`path` must be a file, or a folder with mm_projector.bin"):
            model.load_projector(tmp_path)

    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda weights: [*weights.values()], "must hold tensors by name"),
            (lambda weights: {}, "has no tensors"),
            (lambda weights: weights | {"model.embed_tokens.weight": torch.zeros(2)}, "but has embed_tokens.weight"),
            (lambda weights: dict(list(weights.items())[:2]), r"`linear_2.bias` has the shape None there and \(64,\)"),
            (lambda weights: {name: value[:3] for name, value in weights.items()}, r"has the shape \(3,\) there"),
        ],
        ids=["a list", "empty", "other keys", "a half", "other shapes"],
    )
    def test_other_content(self, model, weights, tmp_path, change, message):
        torch.save(change(weights), tmp_path / "mm_projector.bin")
        before = model.model.multi_modal_projector.linear_1.bias.clone()
        with pytest.raises(ValueError, match=message):
            model.load_projector(tmp_path)
        assert torch.equal(model.model.multi_modal_projector.linear_1.bias, before)

    def test_a_whole_checkpoint(self, model):
        with pytest.raises(ValueError, match="Load a whole checkpoint with `from_pretrained`"):
            model.load_projector(FOLDER / "model.safetensors")
