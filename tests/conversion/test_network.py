# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The biases of Qwen2, and the norms and wide heads of Qwen3, in all that is built on the network."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.autoregressive import autoregressive_model
from transformers import AutoModelForMaskedLM, BitsAndBytesConfig, CompileConfig

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.conversion import from_autoregressive
from modeling_llada.export import export_checkpoint
from modeling_llada.training import autoregressive_twin
from modeling_llada.training.sft.checks import PROJECTIONS


OPTIONS = {"max_new_tokens": 12, "block_length": 4}


@pytest.fixture(scope="module", params=["qwen2", "qwen3"])
def model(request):
    """Shared by the tests: do not change it."""
    return from_autoregressive(autoregressive_model(request.param), mask_token_id=3)


@pytest.fixture(scope="module")
def prompt():
    input_ids = torch.randint(4, 40, (3, 10), generator=torch.Generator().manual_seed(1))
    return {"input_ids": input_ids, "attention_mask": (torch.arange(10) >= torch.tensor([[0], [2], [5]])).long()}


@pytest.mark.parametrize("block_cache", ["dual", "prefix", "vicinity"])
def test_a_cache_that_is_refreshed_at_every_step_changes_nothing(model, prompt, block_cache):
    cached = model.generate(**prompt, **OPTIONS, block_cache=block_cache, cache_refresh_interval=1)
    assert torch.equal(cached, model.generate(**prompt, **OPTIONS))


def test_a_padded_batch_equals_single_rows(model, prompt):
    batch = model.generate(**prompt, **OPTIONS)
    for row, padding in enumerate((0, 2, 5)):
        assert torch.equal(
            model.generate(prompt["input_ids"][row : row + 1, padding:], **OPTIONS)[0], batch[row, padding:]
        )


def test_static_steps_equal_the_eager_ones(model, prompt, monkeypatch):
    """Projections with biases, or with norms behind them, are not fused."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    options = OPTIONS | {"block_cache": "dual"}
    static = model.generate(**prompt, **options, compile_config=CompileConfig(backend="eager"))
    assert torch.equal(static, model.generate(**prompt, **options, disable_compile=True))


def test_config_json_says_only_what_differs(model, tmp_path):
    model.save_pretrained(tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    is_qwen3 = model.config.use_qk_norm
    assert fields["include_qkv_bias"] is not is_qwen3
    assert fields.get("use_qk_norm") == (True if is_qwen3 else None)
    assert fields.get("head_dim") == (16 if is_qwen3 else None)
    assert not {"attention_bias", "head_dim", "use_qk_norm"} & set(LLaDAConfig().to_diff_dict())
    assert LLaDAConfig(include_qkv_bias=True).attention_bias is True


def test_the_official_layout_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "model")
    field = "use_qk_norm=True" if model.config.use_qk_norm else "attention_bias=True"
    with pytest.raises(ValueError, match=f"`layout='official'` is for .* without .*, but the config has `{field}`"):
        export_checkpoint(tmp_path / "model", tmp_path / "out", layout="official", include_tokenizer=False)
    export_checkpoint(tmp_path / "model", tmp_path / "out", include_tokenizer=False)
    exported = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(exported[name], value) for name, value in model.state_dict().items())


def test_a_lora_adapter(model, prompt, tmp_path):
    model.save_pretrained(tmp_path)
    adapted = get_peft_model(
        LLaDAForMaskedLM.from_pretrained(tmp_path), LoraConfig(target_modules="all-linear", init_lora_weights=False)
    )
    names = {name.partition(".lora_A")[0].rpartition(".")[2] for name in adapted.state_dict() if "lora_A" in name}
    assert names == set(PROJECTIONS)
    expected = adapted(**prompt).logits
    assert adapted.peft_config["default"].base_model_name_or_path == str(tmp_path)
    torch.testing.assert_close(adapted.merge_and_unload()(**prompt).logits, expected, rtol=1e-4, atol=1e-4)


def test_four_bits(model, prompt, tmp_path):
    model.save_pretrained(tmp_path)
    quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    small = LLaDAForMaskedLM.from_pretrained(tmp_path, quantization_config=quantization, device_map="cpu")
    with torch.no_grad():
        first, second = small(**prompt).logits, model(**prompt).logits
    assert torch.nn.functional.cosine_similarity(first, second, dim=-1).mean() > 0.9


def test_a_llama_is_no_twin(model):
    with pytest.raises(ValueError, match="which Llama does not have"):
        autoregressive_twin(model.config)
