# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""iLLaDA: the network of Llama without a causal mask, also in half precision, and what its config refuses."""

import json

import pytest
import torch
from conftest import TINY
from support.golden_families import golden_of
from support.saved_tensors import stored
from transformers import AutoConfig, AutoModelForMaskedLM, LlamaConfig, LlamaForCausalLM

from modeling_llada import ILLaDAConfig, ILLaDAForMaskedLM, LLaDAConfig, LLaDAForMaskedLM, LLaDAVConfig
from modeling_llada.adapters import convert_adapter
from modeling_llada.models.families_llada import family_of


@pytest.fixture
def tiny_illada():
    torch.manual_seed(0)
    return ILLaDAForMaskedLM(ILLaDAConfig(**TINY)).eval()


class TestNetwork:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_llama_without_its_causal_mask(self, tiny_illada, random_ids, dtype):
        """To the bit, since queries and keys are rotated in the dtype of the model. LLaDA rotates them in float32."""
        fields = tiny_illada.config.to_dict()
        names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        names += (
            "num_key_value_heads",
            "max_position_embeddings",
            "rms_norm_eps",
            "rope_parameters",
            "tie_word_embeddings",
        )
        llama = LlamaForCausalLM(LlamaConfig(**{name: fields[name] for name in names})).eval()
        llama.load_state_dict(tiny_illada.state_dict())
        frequencies = llama.model.rotary_emb.inv_freq
        llama.to(dtype).model.rotary_emb.inv_freq = frequencies  # which `to` has rounded
        for layer in llama.model.layers:
            layer.self_attn.is_causal = False
        input_ids = random_ids(2, 40)
        everything = torch.ones(1, 1, 40, 40, dtype=torch.bool)
        with torch.no_grad():
            logits = tiny_illada.to(dtype)(input_ids, attention_mask=everything).logits
            assert torch.equal(logits, llama(input_ids, attention_mask=everything).logits)

    @pytest.mark.parametrize("tied", [True, False])
    def test_save_and_reload(self, tmp_path, random_ids, tied):
        tiny_illada = ILLaDAForMaskedLM(ILLaDAConfig(**TINY, tie_word_embeddings=tied)).eval()
        tiny_illada.save_pretrained(tmp_path)
        model = AutoModelForMaskedLM.from_pretrained(tmp_path)
        assert type(model) is ILLaDAForMaskedLM
        assert (model.lm_head.weight is model.model.embed_tokens.weight) == tied
        assert ("lm_head.weight" in stored(tmp_path)) == (not tied)
        assert model.config.architectures == ["ILLaDAForMaskedLM"]
        assert model.generation_config.mask_token_id == TINY["mask_token_id"]
        assert torch.equal(model(random_ids(1, 9)).logits, tiny_illada(random_ids(1, 9)).logits)


class TestGenerate:
    @pytest.mark.parametrize("steps_of_a_block", [8, 3])
    def test_appended_blocks(self, steps_of_a_block):
        """As in the paper of iLLaDA: a block of masks is appended and filled, then the next one. No mask is behind it."""
        golden = golden_of("illada")
        prompt, attention_mask, _ = golden.prompt_of(golden.values["cases"][4])
        options = {"block_length": 8, "stop_at_eos": False}
        output = golden.model.generate(
            prompt, attention_mask, max_new_tokens=32, steps=4 * steps_of_a_block, suffix_window=0, **options
        )
        for _ in range(4):
            steps = {"max_new_tokens": 8, "steps": steps_of_a_block}
            prompt = golden.model.generate(prompt, attention_mask, **steps, **options)
            attention_mask = torch.cat([attention_mask, torch.ones(3, 8, dtype=torch.long)], dim=1)
        assert torch.equal(output, prompt)


class TestConfig:
    def test_sizes_of_8b_and_special_tokens(self):
        """No EOS: the published files do not say it, and that of another family would be a word here."""
        config = ILLaDAConfig()
        assert (config.mask_token_id, config.eos_token_id, config.pad_token_id, config.eot_token_id) == (
            5,
            None,
            None,
            None,
        )
        assert (config.vocab_size, config.num_key_value_heads, config.intermediate_size) == (155136, 8, 14336)
        assert config.tie_word_embeddings

    def test_special_tokens_of_the_file_win(self, tmp_path):
        ILLaDAConfig(**TINY).save_pretrained(tmp_path)
        config = AutoConfig.from_pretrained(tmp_path)
        names = ("mask_token_id", "eos_token_id", "pad_token_id", "bos_token_id")
        assert [getattr(config, name) for name in names] == [TINY[name] for name in names]

    @pytest.mark.parametrize(
        "fields",
        [
            {"attention_bias": True},
            {"mlp_bias": True},
            {"layer_norm_eps": 1e-5},
            {"resid_pdrop": 0.1},
            {"use_qk_norm": True},
        ],
    )
    def test_switches_that_are_not_implemented(self, fields):
        with pytest.raises(ValueError, match=f"`{next(iter(fields))}` must be .*not implemented"):
            ILLaDAConfig(**TINY | fields)

    def test_an_odd_head_dim(self):
        with pytest.raises(ValueError, match="`head_dim`.*must be even.*got 7"):
            ILLaDAConfig(**TINY | {"head_dim": 7})

    def test_architectures_of_another_family(self):
        with pytest.raises(ValueError, match="is a checkpoint of iLLaDA.*or use `ILLaDAConfig`"):
            LLaDAConfig(**TINY, architectures=["ILLaDAForCausalLM"])
        with pytest.raises(ValueError, match="is a checkpoint of LLaDA2. .*or use `LLaDA2MoeConfig`"):
            LLaDAConfig(**TINY, architectures=["LLaDA2MoeModelLM"])

    def test_a_model_of_another_family(self, tiny_config):
        with pytest.raises(
            ValueError, match="`config` is a `LLaDAConfig`, of dense LLaDA. `ILLaDAForMaskedLM` is for iLLaDA"
        ):
            ILLaDAForMaskedLM(tiny_config())
        with pytest.raises(ValueError, match="`config` is a `ILLaDAConfig`, of iLLaDA"):
            LLaDAForMaskedLM(ILLaDAConfig(**TINY))

    def test_no_eyes_for_it(self):
        with pytest.raises(ValueError, match="must be that of a dense LLaDA.*`ILLaDAConfig`"):
            LLaDAVConfig.from_language_config(ILLaDAConfig(**TINY))

    def test_a_subclass_is_no_family(self, tmp_path):
        class Mine(LLaDAConfig):
            pass

        LLaDAConfig(**TINY).save_pretrained(tmp_path)
        assert type(LLaDAConfig.from_pretrained(tmp_path)) is LLaDAConfig
        assert type(Mine.from_pretrained(tmp_path)) is Mine


@pytest.mark.parametrize(
    ("fields", "family"),
    [
        ({"architectures": ["LLaDAModelLM"], "model_type": "llada"}, "llada"),
        ({"architectures": ["LLaDAMoEModelLM"], "model_type": "llada"}, "llada_moe"),
        ({"architectures": ["ILLaDAForCausalLM"], "model_type": "illada"}, "illada"),
        ({"architectures": ["LLaDA2MoeModelLM"], "model_type": "llada2_moe"}, "llada2"),
        ({"model_type": "llada2_moe_veomni"}, "llada2"),
        ({"architectures": ["LlavaLLaDAModelLM"], "model_type": "llava_llada"}, "llava_llada"),
        ({"num_experts": 64, "expert_intermediate_size": 1024, "model_type": "llada"}, "llada_moe"),
        ({"d_model": 4096, "n_heads": 32, "model_type": "llada"}, "llada"),
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "llama"),
        ({}, None),
    ],
)
def test_family_of(fields, family):
    assert family_of(fields) == family


def test_an_adapter_needs_no_conversion(tiny_illada, tmp_path, random_ids):
    """The official modules have the names of ours."""
    from peft import LoraConfig, PeftModel, get_peft_model

    model = get_peft_model(tiny_illada, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)).eval()
    model.save_pretrained(tmp_path / "adapter")
    expected = model(random_ids(1, 9)).logits
    with pytest.raises(ValueError, match="nothing to convert. Load it as it is"):
        convert_adapter(tmp_path / "adapter", tmp_path / "converted")
    model = PeftModel.from_pretrained(model.unload(), tmp_path / "adapter").eval()
    assert torch.equal(model(random_ids(1, 9)).logits, expected)
    names = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["target_modules"]
    assert {name.rpartition(".")[2] for name in names} == {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    }
