# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA-MoE: routers and experts, the options of the official code that the published checkpoint does not use, and files."""

import json
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.golden_families import golden_of
from support.saved_tensors import assert_same_tensors, stored
from torch.nn.functional import linear, rms_norm, silu
from transformers import AutoConfig, AutoModelForMaskedLM, CompileConfig, Qwen3MoeConfig, Qwen3MoeForCausalLM
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAMoeConfig, LLaDAMoeForMaskedLM
from modeling_llada.adapters import convert_adapter
from modeling_llada.loading import merge_adapter
from modeling_llada.models.engine_llada import experts_wait, recordings_of
from modeling_llada.models.experts_llada_moe import experts_by_device


EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
# What the official code has and LLaDA-MoE-7B-A1B does not use.
VARIANTS = {
    "published": {},
    "dense layer": {"moe_layer_freq": [0, 1]},
    "shared expert": {"shared_expert_intermediate_size": 40},
    "expert bias": {"moe_router_enable_expert_bias": True},
    "partial rotation": {"partial_rotary_factor": 0.5},
    "limit": {"clip_qkv": 0.5},
    "no norms": {"use_qk_norm": False},
}
VARIANTS["all"] = {
    name: value for fields in VARIANTS.values() for name, value in fields.items() if name != "use_qk_norm"
}


@pytest.fixture
def golden():
    return golden_of("llada-moe")


@pytest.fixture
def tiny_moe():
    """Makes a tiny random model in evaluation mode; keyword arguments change config fields."""

    def make(**changes):
        torch.manual_seed(0)
        model = LLaDAMoeForMaskedLM(LLaDAMoeConfig(**TINY | EXPERTS | changes)).eval()
        for name, tensor in model.state_dict().items():
            if "norm" in name or "bias" in name:  # ones and zeros would hide that they are not used
                torch.nn.init.normal_(tensor, mean=0.5, std=0.3)
        return model

    return make


class Reference:
    """The equations of the network, on the tensors of a saved folder."""

    def __init__(self, folder):
        self.tensors, self.config = stored(folder), json.loads((folder / "config.json").read_text())

    def __call__(self, input_ids):
        hidden = self.tensors["model.embed_tokens.weight"][input_ids]
        for index in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{index}."
            hidden = hidden + self.attention(layer, self.norm(layer + "input_layernorm", hidden))
            hidden = hidden + self.feed_forward(layer, self.norm(layer + "post_attention_layernorm", hidden))
        return linear(self.norm("model.norm", hidden), self.tensors["lm_head.weight"])

    def norm(self, name, hidden):
        return rms_norm(hidden, hidden.shape[-1:], self.tensors[f"{name}.weight"], self.config["rms_norm_eps"])

    def attention(self, layer, hidden):
        heads, limit = self.config["num_attention_heads"], self.config["clip_qkv"]
        states = []
        for name in "qkv":
            state = linear(hidden, self.tensors[f"{layer}self_attn.{name}_proj.weight"])
            state = state.unflatten(-1, (-1, self.config["hidden_size"] // heads))
            if name != "v" and self.config["qk_layernorm"]:
                state = self.norm(f"{layer}self_attn.{name}_norm", state)
            state = state if limit is None else state.clamp(-limit, limit)
            state = state if name == "v" else self.rotate(state)
            states.append(state.repeat_interleave(heads // state.shape[2], dim=2).transpose(1, 2))
        scores = states[0] @ states[1].transpose(2, 3) / states[0].shape[-1] ** 0.5
        output = (scores.softmax(-1) @ states[2]).transpose(1, 2).flatten(2)
        return linear(output, self.tensors[f"{layer}self_attn.o_proj.weight"])

    def rotate(self, states):
        half = int(states.shape[-1] * self.config["partial_rotary_factor"]) // 2
        first, second, others = states.tensor_split([half, 2 * half], dim=-1)
        angles = torch.arange(states.shape[1])[:, None] * self.config["rope_theta"] ** -(torch.arange(half) / half)
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        return torch.cat([first * cos - second * sin, second * cos + first * sin, others], dim=-1)

    def feed_forward(self, layer, hidden):
        if f"{layer}mlp.gate.weight" not in self.tensors:
            return self.swiglu(f"{layer}mlp.", hidden)
        scores = linear(hidden, self.tensors[f"{layer}mlp.gate.weight"]).softmax(-1)
        scores = scores + self.tensors.get(f"{layer}mlp.expert_bias", 0.0)
        least = scores.topk(self.config["num_experts_per_tok"]).values[..., -1:]
        weights = scores.where(scores >= least, 0.0)
        experts = range(self.config["num_experts"])
        output = sum(weights[..., [i]] * self.swiglu(f"{layer}mlp.experts.{i}.", hidden) for i in experts)
        if self.config["shared_expert_intermediate_size"] is not None:
            output = output + self.swiglu(f"{layer}shared_expert.", hidden)
        return output

    def swiglu(self, name, hidden):
        gate, up, down = (self.tensors[f"{name}{part}_proj.weight"] for part in ("gate", "up", "down"))
        return linear(silu(linear(hidden, gate)) * linear(hidden, up), down)


class TestNetwork:
    @pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
    def test_equations_and_files(self, tiny_moe, random_ids, tmp_path, fields):
        """The logits of the equations, which read the saved files; these are the ones that are loaded again."""
        model, input_ids = tiny_moe(**fields), random_ids(2, 12)
        model.save_pretrained(tmp_path)
        with torch.no_grad():
            logits = model(input_ids).logits
        torch.testing.assert_close(logits, Reference(tmp_path)(input_ids), rtol=1e-4, atol=1e-4)
        reloaded, info = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
        assert type(reloaded) is LLaDAMoeForMaskedLM and not any(info.values())
        assert_same_tensors(reloaded.state_dict(), model.state_dict())
        assert torch.equal(reloaded(input_ids).logits, logits)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_qwen_3_without_its_causal_mask(self, golden, dtype):
        """To the bit, also in half precision, where the router has to compute in float32."""
        fields = golden.model.config.to_dict()
        names = (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
        )
        names += ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "rms_norm_eps", "rope_parameters")
        config = Qwen3MoeConfig(**{name: fields[name] for name in names}, experts_implementation="eager")
        qwen, model = Qwen3MoeForCausalLM(config).eval(), LLaDAMoeForMaskedLM(golden.model.config).eval()
        for one in (qwen, model):
            one.load_state_dict(golden.model.state_dict())
        frequencies = qwen.model.rotary_emb.inv_freq
        qwen.to(dtype).model.rotary_emb.inv_freq = frequencies  # which `to` has rounded
        input_ids = golden.tensors["forward.input_ids"]
        everything = torch.ones(1, 1, input_ids.shape[1], input_ids.shape[1], dtype=torch.bool)
        with torch.no_grad():
            logits = model.to(dtype)(input_ids, attention_mask=everything).logits
            assert torch.equal(logits, qwen(input_ids, attention_mask=everything).logits)

    def test_a_padded_batch(self, tiny_moe, random_ids):
        model, input_ids = tiny_moe(**VARIANTS["all"]), random_ids(2, 12)
        mask = torch.ones(2, 12, dtype=torch.long)
        mask[0, :4] = 0
        with torch.no_grad():
            batch, alone = model(input_ids, attention_mask=mask).logits[0, 4:], model(input_ids[:1, 4:]).logits[0]
        torch.testing.assert_close(batch, alone, rtol=1e-4, atol=1e-4)

    def test_gradients_reach_routers_and_experts(self, tiny_moe, random_ids):
        model, input_ids = tiny_moe(**VARIANTS["all"]).train(), random_ids(2, 12)
        model.gradient_checkpointing_enable()
        model(input_ids, labels=input_ids).loss.backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


class TestRouter:
    def test_golden_outputs(self, golden):
        layer = golden.model.model.layers[golden.values["router"]["layer"]].mlp
        inputs, expected = golden.tensors["router.block_input"], golden.tensors["router.block_output"]
        with torch.no_grad():
            logits, weights, index = layer.gate(inputs.flatten(0, 1))
            output = layer(inputs)
        torch.testing.assert_close(logits, golden.tensors["router.logits"], rtol=0, atol=1e-5)
        torch.testing.assert_close(weights, golden.tensors["router.topk_weights"], rtol=0, atol=1e-6)
        assert torch.equal(index, golden.tensors["router.topk_indices"])
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)

    def test_logits_are_recorded(self, golden):
        """The official code records none."""
        input_ids = golden.tensors["forward.input_ids"]
        with torch.no_grad():
            output = golden.model(input_ids, output_router_logits=True)
            assert golden.model(input_ids).router_logits is None
        recorded = output.router_logits
        assert [tuple(logits.shape) for logits in recorded] == [(input_ids.numel(), 8)] * 3
        expected = golden.tensors["router.logits"]
        torch.testing.assert_close(recorded[golden.values["router"]["layer"]], expected, rtol=0, atol=1e-4)

    def test_the_load_balancing_loss_is_added(self, tiny_moe, random_ids):
        model, input_ids = tiny_moe(router_aux_loss_coef=0.5), random_ids(2, 12)
        mask = torch.ones(2, 12, dtype=torch.long)
        mask[1, :5] = 0
        inputs = {"input_ids": input_ids, "attention_mask": mask, "labels": input_ids}
        with torch.no_grad():
            plain, output = model(**inputs), model(**inputs, output_router_logits=True)
        assert plain.aux_loss is None
        assert torch.equal(output.aux_loss, load_balancing_loss_func(output.router_logits, 6, 2, mask))
        torch.testing.assert_close(output.loss, plain.loss + 0.5 * output.aux_loss)

    def test_a_dense_model_has_no_routers(self, tiny_model, random_ids):
        with pytest.raises(TypeError, match="`output_router_logits`, which nothing reads"):
            tiny_model()(random_ids(1, 4), output_router_logits=True)


class TestExperts:
    def test_the_loop_of_the_official_code_is_the_default_on_a_cpu(self, golden):
        model, input_ids = golden.model, golden.tensors["forward.input_ids"]
        logits = {}
        with torch.no_grad():
            for implementation in ("by_device", "eager", "grouped_mm", "batched_mm"):
                model.set_experts_implementation(implementation)
                logits[implementation] = model(input_ids).logits
        model.set_experts_implementation("by_device")
        assert torch.equal(logits["by_device"], logits["eager"])
        for implementation in ("grouped_mm", "batched_mm"):
            torch.testing.assert_close(logits[implementation], logits["eager"], rtol=0, atol=2e-4)

    def test_an_implementation_at_loading(self, golden):
        assert golden.model.config._experts_implementation == "by_device"
        model = AutoModelForMaskedLM.from_pretrained(golden.folder, experts_implementation="batched_mm")
        assert model.config._experts_implementation == "batched_mm"
        with pytest.raises(ValueError, match="experts_implementation"):
            AutoModelForMaskedLM.from_pretrained(golden.folder, experts_implementation="quick")

    @pytest.mark.parametrize(
        "device, dtype, capability, waits",
        [
            ("cpu", torch.float32, None, False),
            ("cuda", torch.bfloat16, (9, 0), False),
            ("cuda", torch.bfloat16, (8, 0), True),
            ("cuda", torch.float32, (9, 0), True),
        ],
    )
    def test_when_they_wait_for_the_device(self, tiny_moe, monkeypatch, device, dtype, capability, waits):
        """A step is recorded if they do not."""
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        model = tiny_moe().to(dtype)
        assert experts_wait(model, torch.device(device)) is waits
        model.set_experts_implementation("batched_mm")
        assert experts_wait(model, torch.device(device)) is False
        model.set_experts_implementation("eager")
        assert experts_wait(model, torch.device(device)) is True

    def test_each_has_recorded_steps_of_its_own(self, tiny_moe, random_ids):
        model, options = tiny_moe(), {"max_new_tokens": 4, "compile_config": CompileConfig(backend="eager")}
        for count, implementation in enumerate(("grouped_mm", "batched_mm"), start=1):
            model.set_experts_implementation(implementation)
            for _ in range(2):
                model.generate(random_ids(1, 4), **options)
                assert len(recordings_of(model).by_key) == count

    def test_elsewhere_grouped_mm_is_the_default(self, tiny_moe, monkeypatch):
        layer, tokens = tiny_moe().model.layers[0].mlp, torch.randn(5, 32)
        _, weights, index = layer.gate(tokens)
        used = []
        monkeypatch.setitem(
            ALL_EXPERTS_FUNCTIONS._local_mapping, "grouped_mm", lambda *args: used.append(args) or tokens
        )
        elsewhere = SimpleNamespace(device=torch.device("cuda"))
        experts_by_device(layer.experts, elsewhere, index, weights)
        assert used == [(layer.experts, elsewhere, index, weights)]

    @pytest.mark.parametrize("name", ["published", "all"])
    def test_plans_name_modules_and_parameters(self, tiny_moe, name):
        """Tensor and expert parallelism of transformers split what is there."""
        model = tiny_moe(**VARIANTS[name])
        names = {name for name, _ in model.model.named_modules()} | {
            name for name, _ in model.model.named_parameters()
        }
        kinds = {name.replace(".0.", ".*.").replace(".1.", ".*.") for name in names}
        assert {*model.config.base_model_tp_plan, *model.config.base_model_ep_plan} <= kinds
        assert ("layers.*.shared_expert.up_proj" in model.config.base_model_tp_plan) == (name == "all")


class TestFiles:
    @pytest.fixture
    def checkpoint(self, golden, tmp_path):
        """A copy of the golden folder; a function changes its tensors."""

        def change(function):
            tensors = golden.weights
            function(tensors)
            save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
            (tmp_path / "config.json").write_text((golden.folder / "config.json").read_text())
            return tmp_path

        return change

    def test_a_state_dict_with_official_names(self, golden, tiny_moe):
        model = LLaDAMoeForMaskedLM(golden.model.config)
        assert not any(model.load_state_dict(golden.weights))
        assert_same_tensors(model.state_dict(), golden.model.state_dict())
        biased = tiny_moe(moe_router_enable_expert_bias=True)
        tensors = biased.state_dict()
        official = {
            name.replace("mlp.gate.expert_bias", "mlp.expert_bias"): tensor for name, tensor in tensors.items()
        }
        assert official.keys() != tensors.keys() and not any(biased.load_state_dict(official))

    @pytest.mark.parametrize("name", ["gate", "down"])
    def test_a_missing_expert_is_named(self, checkpoint, name):
        """The library would take the experts that follow for it, or only say that the merged weights are too small."""
        key = f"model.layers.1.mlp.experts.3.{name}_proj.weight"
        with pytest.raises(ValueError, match=f"lacks 1 weights of experts: {key}. .*fetch it again"):
            AutoModelForMaskedLM.from_pretrained(checkpoint(lambda tensors: tensors.pop(key)))

    def test_no_experts_in_a_layer(self, checkpoint):
        def remove(tensors):
            for key in [key for key in tensors if "layers.1.mlp.experts." in key]:
                del tensors[key]

        with pytest.raises(ValueError, match="lacks 2 weights of the model: model.layers.1.mlp.experts.down_proj"):
            AutoModelForMaskedLM.from_pretrained(checkpoint(remove))

    def test_another_number_of_experts_in_the_config(self, checkpoint):
        folder = checkpoint(lambda tensors: None)
        fields = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(fields | {"num_experts": 6}))
        with pytest.raises(
            ValueError, match=r"weights of another size .*down_proj \(8, 64, 32\) instead of \(6, 64, 32\)"
        ):
            AutoModelForMaskedLM.from_pretrained(folder)

    def test_weights_with_the_config_of_a_dense_model(self, checkpoint, golden_path):
        folder = checkpoint(lambda tensors: None)
        (folder / "config.json").write_text((golden_path / "config.json").read_text())
        with pytest.raises(
            ValueError, match="lacks 9 weights of the model.*its config.json describes another network"
        ):
            AutoModelForMaskedLM.from_pretrained(folder)


class TestConfig:
    def test_sizes_and_special_tokens_of_7b_a1b(self):
        """No EoT: the published files do not say it."""
        config = LLaDAMoeConfig()
        names = ("mask_token_id", "eos_token_id", "pad_token_id", "eot_token_id")
        assert [getattr(config, name) for name in names] == [156895, 156892, 156892, None]
        with torch.device("meta"):
            model = LLaDAMoeForMaskedLM(config)
        assert round(model.num_parameters() / 1e9, 3) == 7.357

    def test_files_have_official_names(self, tmp_path):
        config = LLaDAMoeConfig(**TINY | EXPERTS, partial_rotary_factor=0.5)
        config.save_pretrained(tmp_path)
        fields = json.loads((tmp_path / "config.json").read_text())
        assert (fields["expert_intermediate_size"], fields["dense_intermediate_size"]) == (24, 48)
        assert (fields["qk_layernorm"], fields["rope_theta"], fields["partial_rotary_factor"]) == (True, 50000.0, 0.5)
        assert not fields.keys() & {"moe_intermediate_size", "intermediate_size", "use_qk_norm", "rope_parameters"}
        assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"head_dim": 7}, "`head_dim`.*must be even"),
            ({"partial_rotary_factor": 0.4}, "`partial_rotary_factor` must turn an even number of the `head_dim=8`"),
            ({"moe_layer_freq": [1]}, "`moe_layer_freq` must have one number for each of the 2 layers, but got 1"),
            ({"moe_layer_freq": [1, 2]}, "`moe_layer_freq` must be a list with 1"),
            ({"num_experts_per_tok": 7}, "`num_experts_per_tok` must be at most `num_experts=6`, but got 7"),
            ({"num_experts": 0}, "`num_experts` must be"),
            ({"attention_bias": True}, "`attention_bias` must be False"),
            ({"expert_intermediate_size": 25}, "official and the canonical name of one field"),
            ({"d_model": 32}, "`d_model` is a field of another family"),
            ({"architectures": ["LLaDAModelLM"]}, "is a checkpoint of dense LLaDA. .* or use `LLaDAConfig`"),
        ],
        ids=str,
    )
    def test_values_that_cannot_be(self, fields, message):
        with pytest.raises(ValueError, match=message):
            LLaDAMoeConfig(**TINY | EXPERTS | fields)

    def test_a_dense_model_has_no_experts(self):
        with pytest.raises(ValueError, match="`num_experts` is a field of another family"):
            LLaDAConfig(**TINY, num_experts=6)
        with pytest.raises(ValueError, match="`config` is a `LLaDAMoeConfig`, of LLaDA-MoE"):
            LLaDAForMaskedLM(LLaDAMoeConfig(**TINY | EXPERTS))


class TestAdapters:
    @pytest.mark.parametrize(
        ("targets", "adapted"),
        [
            ({"target_modules": "all-linear"}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
            ({"target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}, {"experts"}),
        ],
        ids=["all-linear", "experts"],
    )
    def test_lora(self, tiny_moe, tmp_path, random_ids, targets, adapted):
        """`all-linear` are the projections of the attention: experts and routers are parameters, to be named as such."""
        model, input_ids = tiny_moe(), random_ids(2, 9)
        model.save_pretrained(tmp_path / "base")
        plain = model(input_ids).logits
        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=2, **targets, init_lora_weights=False)).eval()
        names = {
            name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if "lora_A" in name
        }
        assert names - {"base_layer"} == adapted
        model.save_pretrained(tmp_path / "adapter")
        logits = model(input_ids).logits
        assert not torch.allclose(logits, plain)
        base = AutoModelForMaskedLM.from_pretrained(tmp_path / "base")
        again = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        torch.testing.assert_close(again(input_ids).logits, logits)
        again.merge_and_unload().save_pretrained(tmp_path / "merged")
        merged = AutoModelForMaskedLM.from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(merged(input_ids).logits, logits, rtol=1e-3, atol=1e-3)
        assert load_file(tmp_path / "merged" / "model.safetensors").keys() == stored(tmp_path / "base").keys()

    @pytest.mark.parametrize("projections", [("gate", "up", "down"), ("down",), ("gate", "up")], ids="-".join)
    def test_an_official_adapter_of_single_experts(self, tiny_moe, tmp_path, random_ids, projections):
        """Converted, it gives the logits of the official modules, whose weights are the sum of both."""
        base, input_ids = tiny_moe(), random_ids(2, 9)
        base.save_pretrained(tmp_path / "base")
        weights, adapter = stored(tmp_path / "base"), {}
        experts = [f"mlp.experts.{index}.{name}_proj" for index in range(6) for name in projections]
        generator = torch.Generator().manual_seed(0)
        for layer in range(2):
            for module in ["self_attn.q_proj", "mlp.gate", *experts]:
                weight = weights[f"model.layers.{layer}.{module}.weight"]
                first = torch.randn(2, weight.shape[1], generator=generator) * 0.3
                second = torch.randn(weight.shape[0], 2, generator=generator) * 0.3
                weight += 3 / 2 * second @ first
                for name, tensor in (("A", first), ("B", second)):
                    adapter[f"base_model.model.model.layers.{layer}.{module}.lora_{name}.weight"] = tensor
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "lora_dropout": 0.1, "task_type": "CAUSAL_LM"}
        config |= {"target_modules": ["q_proj", "gate", *(f"{name}_proj" for name in projections)]}
        config |= {"base_model_name_or_path": str(tmp_path / "base")}
        (tmp_path / "official").mkdir()
        save_file(adapter, tmp_path / "official" / "adapter_model.safetensors")
        (tmp_path / "official" / "adapter_config.json").write_text(json.dumps(config))
        report = convert_adapter(tmp_path / "official", tmp_path / "converted")
        assert f"model.layers.*.mlp.experts.*.{projections[0]}_proj -> model.layers.*.mlp.experts." in str(report)

        expected = tiny_moe()
        expected.load_state_dict(weights)
        with torch.no_grad():
            logits = expected(input_ids).logits
            assert not torch.allclose(base(input_ids).logits, logits, atol=0.1)
            model = PeftModel.from_pretrained(base, tmp_path / "converted").eval()
            torch.testing.assert_close(model(input_ids).logits, logits, rtol=1e-3, atol=1e-3)
            merged = merge_adapter(
                AutoModelForMaskedLM.from_pretrained(tmp_path / "base"), str(tmp_path / "converted")
            )
            torch.testing.assert_close(merged(input_ids).logits, logits, rtol=1e-3, atol=1e-3)

        adapter.pop(f"base_model.model.model.layers.1.mlp.experts.4.{projections[0]}_proj.lora_A.weight")
        adapter.pop(f"base_model.model.model.layers.1.mlp.experts.4.{projections[0]}_proj.lora_B.weight")
        save_file(adapter, tmp_path / "official" / "adapter_model.safetensors")
        with pytest.raises(
            ValueError, match=rf"but not model.layers.1.mlp.experts.4.{projections[0]}_proj.*Add zeros"
        ):
            convert_adapter(tmp_path / "official", tmp_path / "again")
