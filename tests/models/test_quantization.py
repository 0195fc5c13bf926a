# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Quantized weights: loaded from the official layout, saved under its names, and loaded again."""

import logging
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModel, AutoTokenizer, BitsAndBytesConfig, TorchAoConfig


def devices(package: str) -> list:
    """The CPU, and the GPU where somebody has installed the package beside it."""
    is_missing = pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")
    return ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, is_missing])]


@pytest.fixture
def official_folder(tiny_model, tmp_path):
    """A random checkpoint in the official layout, of sizes that the 4-bit kernels of a CPU accept."""
    model = tiny_model(hidden_size=64, intermediate_size=128, initializer_range=0.1)
    model.save_pretrained(tmp_path / "official")
    return tmp_path / "official"


@pytest.fixture(autouse=True)
def quiet():
    """bitsandbytes warns at every layer that it casts the inputs."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


@torch.no_grad()
def logits_of(model, input_ids):
    return model(input_ids.to(model.device)).logits


def assert_only_the_layers_are_quantized(model):
    """The embedding, the norms and the head keep their precision; transformers leaves out the head by default."""
    assert type(model.lm_head) is nn.Linear and type(model.lm_head.weight.data) is torch.Tensor
    assert model.lm_head.weight.is_floating_point() and model.model.embed_tokens.weight.is_floating_point()
    for layer in model.model.layers:
        for linear in (layer.self_attn.q_proj, layer.self_attn.o_proj, layer.mlp.gate_proj, layer.mlp.down_proj):
            assert type(linear) is not nn.Linear or type(linear.weight.data) is not torch.Tensor


def assert_close_to(exact, quantized, input_ids, tolerance):
    """Quantized weights, but the same network: a weight in the wrong place would exceed the tolerance by far."""
    expected, got = logits_of(exact, input_ids), logits_of(quantized, input_ids).to(exact.device)
    error = (got - expected).norm() / expected.norm()
    assert 0 < error < tolerance, error


def assert_official_names(folder):
    names = list(load_file(folder / "model.safetensors"))
    assert "model.transformer.ff_out.weight" in names
    assert all(name.startswith("model.transformer.") for name in names), names
    assert not any("_proj" in name and "self_attn" in name or ".mlp." in name for name in names), names
    return names


def assert_reloads_equal(model, folder, prompt):
    """The logits and tokens are the same, and no quantization config is needed, because config.json has it."""
    again, info = AutoModel.from_pretrained(folder, device_map=model.device, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert again.config.quantization_config.quant_method == model.config.quantization_config.quant_method
    assert torch.equal(logits_of(again, prompt), logits_of(model, prompt))
    options = {"max_new_tokens": 12, "block_length": 6}
    assert torch.equal(again.generate(prompt, **options), model.generate(prompt, **options))
    sampled = [
        one.generate(prompt, temperature=1.0, generator=torch.Generator().manual_seed(0), **options)
        for one in (model, again)
    ]
    assert torch.equal(*sampled)


class TestTorchAo:
    @pytest.mark.parametrize("device", devices("torchao"))
    def test_int8(self, golden_path, golden_model, golden, random_ids, tmp_path, device):
        from torchao.quantization import Int8WeightOnlyConfig

        quantization_config = TorchAoConfig(Int8WeightOnlyConfig())
        model = AutoModel.from_pretrained(
            golden_path, quantization_config=quantization_config, dtype=torch.float32, device_map=device
        )
        assert_only_the_layers_are_quantized(model)
        assert_close_to(golden_model, model, golden.tensors["forward.input_ids"], tolerance=0.2)
        exact = load_file(golden_path / "model.safetensors")["model.transformer.blocks.0.ff_out.weight"]
        rounded = model.model.layers[0].mlp.down_proj.weight.dequantize().cpu()
        assert (exact - rounded).abs().max() <= exact.abs().max() / 127
        model.save_pretrained(tmp_path)
        assert "model.transformer.blocks.1.ff_out._weight_qdata" in assert_official_names(tmp_path)
        assert_reloads_equal(model, tmp_path, random_ids(2, 6))


class TestBitsAndBytes:
    @pytest.mark.parametrize("double", [False, True], ids=["", "double"])
    @pytest.mark.parametrize("device", devices("bitsandbytes"))
    def test_nf4(self, official_folder, random_ids, tmp_path, device, double):
        quantization_config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=double,
            bnb_4bit_compute_dtype=torch.float32,
        )
        exact = AutoModel.from_pretrained(official_folder, dtype=torch.float32)
        model = AutoModel.from_pretrained(
            official_folder, quantization_config=quantization_config, dtype=torch.float32, device_map=device
        )
        assert_only_the_layers_are_quantized(model)
        assert type(model.model.layers[0].mlp.down_proj).__name__ == "Linear4bit"
        # Saved before the first forward pass, which repacks the weights on a CPU with AVX-512 BF16. bitsandbytes 0.50 saves
        # repacked weights with the scales of other rows.
        model.save_pretrained(tmp_path / "saved")
        assert_close_to(exact, model, random_ids(2, 6), tolerance=0.4)
        names = assert_official_names(tmp_path / "saved")
        assert "model.transformer.blocks.1.ff_out.weight.quant_state.bitsandbytes__nf4" in names
        assert "model.transformer.blocks.1.q_proj.weight.absmax" in names
        assert_reloads_equal(model, tmp_path / "saved", random_ids(2, 6))

    @pytest.mark.parametrize("device", devices("bitsandbytes"))
    def test_int8(self, golden_path, golden_model, golden, random_ids, tmp_path, device):
        model = AutoModel.from_pretrained(
            golden_path,
            quantization_config=BitsAndBytesConfig(load_in_8bit=True),
            dtype=torch.float32,
            device_map=device,
        )
        assert_only_the_layers_are_quantized(model)
        assert type(model.model.layers[0].mlp.down_proj).__name__ == "Linear8bitLt"
        assert_close_to(golden_model, model, golden.tensors["forward.input_ids"], tolerance=0.2)
        model.save_pretrained(tmp_path)
        assert "model.transformer.blocks.1.ff_out.SCB" in assert_official_names(tmp_path)
        assert_reloads_equal(model, tmp_path, random_ids(2, 6))

    def test_a_quantized_poet_still_recites(self):
        folder = Path(__file__).parents[2] / "checkpoints" / "llada-poet"
        model = AutoModel.from_pretrained(
            folder,
            quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
            device_map="cpu",
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
        inputs = tokenizer("床前明月光，", return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=6)
        assert tokenizer.decode(output[0]) == "床前明月光，疑是地上霜。"
        # 15 million parameters; the tied embedding, a sixth of them, is not quantized.
        assert model.get_memory_footprint() < 15e6 * 0.8
