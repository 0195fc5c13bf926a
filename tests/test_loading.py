# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checkpoints and adapters, loaded with their tokenizers."""

import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.golden_v import FOLDER as LLADA_V
from support.golden_v import golden_image
from transformers import BertConfig

from modeling_llada import LLaDAForMaskedLM, LLaDAGenerationConfig, LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.adapters import convert_adapter
from modeling_llada.loading import find_device, load_checkpoint, load_processor, load_with_processor, sees_images


@pytest.mark.parametrize("damage", ["no config", "no tokenizer", "no weights", "truncated weights", "other family"])
def test_unreadable_checkpoint(poet_folder, tmp_path, damage):
    folder = shutil.copytree(poet_folder, tmp_path / "model")
    weights = folder / "model.safetensors"
    if damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "no tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        BertConfig().save_pretrained(folder)
    with pytest.raises(ValueError, match=f"cannot load '{folder}': "):
        load_checkpoint(folder, "cpu")


def test_a_folder_that_does_not_exist():
    with pytest.raises(ValueError, match="there is no such folder"):
        load_checkpoint("./nothing", "cpu")


def test_home_folder(poet_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(poet_folder.parent))
    assert not load_checkpoint(f"~/{poet_folder.name}", "cpu")[0].training


def test_the_dtype_on_the_cpu(poet_folder):
    assert load_checkpoint(poet_folder, "cpu")[0].dtype == torch.float32
    assert load_checkpoint(poet_folder, "cpu", "bfloat16")[0].dtype == torch.bfloat16


def test_a_device_that_is_not_available():
    assert find_device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match="`device` 'cuda:99' is not available here"):
        find_device("cuda:99")


class TestImages:
    def test_a_model_that_sees_images_has_a_processor(self):
        model, _ = load_checkpoint(LLADA_V, "cpu")
        assert isinstance(model, LLaDAVForConditionalGeneration) and not model.training
        assert isinstance(load_processor(LLADA_V), LLaDAVProcessor)

    def test_an_adapter_has_that_of_its_base(self, tmp_path):
        model, _ = load_checkpoint(LLADA_V, "cpu")
        model.name_or_path = model.config.name_or_path = str(LLADA_V)
        layers = r"model\.layers\..*q_proj"
        get_peft_model(model, LoraConfig(target_modules=layers)).save_pretrained(tmp_path)
        assert isinstance(load_processor(tmp_path), LLaDAVProcessor)
        assert isinstance(load_checkpoint(tmp_path, "cpu")[0], LLaDAVForConditionalGeneration)

    def test_a_model_of_text_has_none(self, poet_folder):
        assert load_processor(poet_folder) is None


class TestAdapter:
    @pytest.fixture
    def adapter(self, request, poet_folder, tmp_path, monkeypatch):
        """An adapter whose config names its base by a relative path, and the adapted model."""
        (tmp_path / "base").symlink_to(poet_folder)
        monkeypatch.chdir(tmp_path)
        base = LLaDAForMaskedLM.from_pretrained("base", dtype=torch.float32)
        targets = ["q_proj", getattr(request, "param", "v_proj")]
        adapted = get_peft_model(base, LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
        adapted.save_pretrained("adapter")
        monkeypatch.chdir("/")
        return tmp_path / "adapter", adapted.eval()

    def test_it_is_merged_into_its_base(self, adapter):
        """The base and its tokenizer are found beside the adapter."""
        folder, adapted = adapter
        LLaDAGenerationConfig(max_new_tokens=3).save_pretrained(folder)
        model, tokenizer = load_checkpoint(folder, "cpu")
        input_ids = tokenizer("床前明月光，", return_tensors="pt").input_ids
        with torch.no_grad():
            expected = adapted(input_ids=input_ids).logits
            torch.testing.assert_close(model(input_ids).logits, expected, atol=1e-3, rtol=0)
        assert type(model) is LLaDAForMaskedLM
        assert model.generate(input_ids).shape == (1, 9), "its own generation config"

    @pytest.mark.parametrize("adapter", ["v_proj", "o_proj"], indirect=True)  # officially v_proj and attn_out
    def test_weights_of_other_modules_are_refused(self, adapter):
        """PEFT would only warn, and the result would be the base."""
        folder, _ = adapter
        convert_adapter(folder, folder.parent / "official", to="official")
        with pytest.raises(ValueError, match="its weights are not those of the modules .* `llada convert-adapter`"):
            load_checkpoint(folder.parent / "official", "cpu")

    @pytest.mark.parametrize(
        ("base", "message"), [('"nowhere"', "cannot load"), ("null", "does not name the checkpoint below it")]
    )
    def test_without_its_base(self, tmp_path, base, message):
        (tmp_path / "adapter_config.json").write_text(f'{{"base_model_name_or_path": {base}, "peft_type": "LORA"}}')
        with pytest.raises(ValueError, match=message):
            load_checkpoint(tmp_path, "cpu")


class TestWithProcessor:
    """A model that sees images comes with its processor, and another one with its tokenizer."""

    def test_a_public_folder(self, llada_v):
        model, processor = llada_v
        assert type(model) is LLaDAVForConditionalGeneration and not model.training
        assert type(processor) is LLaDAVProcessor
        assert model.dtype == torch.float32

    def test_a_saved_folder(self, llada_v, tmp_path):
        for part in llada_v:
            part.save_pretrained(tmp_path)
        model, processor = load_with_processor(tmp_path, "cpu")
        inputs = processor(text="<image>?", images=golden_image("A"), return_tensors="pt")
        expected = llada_v[0].generate(**inputs, max_new_tokens=4)
        assert torch.equal(model.generate(**inputs, max_new_tokens=4), expected)

    def test_a_text_model_has_a_tokenizer(self, poet_folder, tiny_poet):
        assert type(load_with_processor(poet_folder, "cpu")[1]) is type(tiny_poet[1])
        assert not sees_images(poet_folder) and sees_images(LLADA_V)

    def test_a_processor_that_cannot_be_read(self, llada_v, tmp_path):
        for part in llada_v:
            part.save_pretrained(tmp_path)
        (tmp_path / "processor_config.json").write_text("{")
        with pytest.raises(ValueError, match=f"cannot load '{tmp_path}': "):
            load_with_processor(tmp_path, "cpu")

    def test_an_adapter(self, llada_v, tmp_path):
        base = LLaDAVForConditionalGeneration.from_pretrained(LLADA_V, dtype=torch.float32)
        targets = r"model\.layers\..*(q_proj|v_proj)"
        adapted = get_peft_model(base, LoraConfig(r=2, target_modules=targets, init_lora_weights=False)).eval()
        adapted.save_pretrained(tmp_path)
        model, processor = load_with_processor(tmp_path, "cpu")
        inputs = processor(text="<image>?", images=golden_image("A"), return_tensors="pt")
        with torch.no_grad():
            torch.testing.assert_close(model(**inputs).logits, adapted(**inputs).logits, atol=1e-3, rtol=0)
        assert type(processor) is LLaDAVProcessor and sees_images(tmp_path)

    def test_an_adapter_with_its_own_processor(self, llada_v, tmp_path):
        """It may have been trained with another chat template, for instance."""
        base = LLaDAVForConditionalGeneration.from_pretrained(LLADA_V, dtype=torch.float32)
        get_peft_model(base, LoraConfig(r=2, target_modules=r"model\.layers\..*q_proj")).save_pretrained(tmp_path)
        assert load_processor(tmp_path).chat_template == llada_v[1].chat_template
        own = LLaDAVProcessor.from_pretrained(LLADA_V, chat_template="{{ messages[0]['content'] }}")
        own.save_pretrained(tmp_path)
        assert load_processor(tmp_path).chat_template == own.chat_template != llada_v[1].chat_template
