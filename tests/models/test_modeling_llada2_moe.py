# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LLaDA2: routers, blocks, the published sampler of 2.0, block routing of 2.2, and files."""

import itertools
import json

import pytest
import torch
from conftest import TINY
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from support.golden_families import golden_of
from support.saved_tensors import assert_same_tensors, stored
from support.tiny_llada2 import EXPERTS, ROUTED_BY_BLOCKS
from support.tiny_llada2 import tiny_llada2 as make_tiny_llada2
from torch.nn.functional import cross_entropy, linear, rms_norm, silu
from transformers import AutoConfig, AutoModelForMaskedLM, BitsAndBytesConfig, CompileConfig, TorchAoConfig

from modeling_llada import LLaDA2MoeConfig, LLaDA2MoeForMaskedLM, LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.adapters import convert_adapter


VARIANTS = {
    "published": {},
    "no groups": {"n_group": None, "topk_group": None},
    "no dense layer": {"first_k_dense_replace": 0},
    "no shared expert": {"num_shared_experts": 0},
    "two shared experts": {"num_shared_experts": 2},
    "no bias": {"moe_router_enable_expert_bias": False},
    "full rotation": {"partial_rotary_factor": 1.0},
    "no norms": {"use_qk_norm": False},
}


@pytest.fixture
def golden():
    return golden_of("llada2")


@pytest.fixture(scope="module")
def routed_by_blocks(tmp_path_factory):
    """The golden checkpoint with the config of LLaDA2.2."""
    golden, folder = golden_of("llada2"), tmp_path_factory.mktemp("2.2")
    (folder / "config.json").write_text((golden.folder / "config_2_2.json").read_text())
    (folder / "model.safetensors").symlink_to(golden.folder / "model.safetensors")
    mask = golden.values["special_ids"]["mask"]
    return AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, mask_token_id=mask).eval()


@pytest.fixture
def tiny_llada2():
    """Makes a tiny random model; keyword arguments change config fields."""
    return make_tiny_llada2


def blocks_of(length, block_length, batch=1):
    return (torch.arange(length) // block_length).expand(batch, -1)


def padded(prompts, pad):
    """Prompts as a batch with padding on the left."""
    length = max(map(len, prompts))
    rows = torch.stack([torch.nn.functional.pad(row, (length - len(row), 0), value=pad) for row in prompts])
    attended = [[0] * (length - len(row)) + [1] * len(row) for row in prompts]
    return {"input_ids": rows, "attention_mask": torch.tensor(attended)}


class Reference:
    """The equations of the network, on the tensors of a saved folder."""

    def __init__(self, folder):
        self.tensors, self.config = stored(folder), json.loads((folder / "config.json").read_text())

    def __call__(self, input_ids, block_length):
        hidden = self.tensors["model.word_embeddings.weight"][input_ids]
        for index in range(self.config["num_hidden_layers"]):
            layer = f"model.layers.{index}."
            hidden = hidden + self.attention(layer, self.norm(layer + "input_layernorm", hidden), block_length)
            hidden = hidden + self.feed_forward(layer, self.norm(layer + "post_attention_layernorm", hidden))
        return linear(self.norm("model.norm", hidden), self.tensors["lm_head.weight"])

    def norm(self, name, hidden):
        return rms_norm(hidden, hidden.shape[-1:], self.tensors[f"{name}.weight"], self.config["rms_norm_eps"])

    def attention(self, layer, hidden, block_length):
        heads, groups = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        fused = linear(hidden, self.tensors[f"{layer}attention.query_key_value.weight"])
        states = list(fused.unflatten(-1, (-1, self.config["head_dim"])).split([heads, groups, groups], dim=2))
        for index, name in enumerate(("query", "key")):
            if self.config.get("use_qk_norm", True):
                states[index] = self.norm(f"{layer}attention.{name}_layernorm", states[index])
            states[index] = self.rotate(states[index])
        query, key, value = (
            state.repeat_interleave(heads // state.shape[2], dim=2).transpose(1, 2) for state in states
        )
        block = torch.arange(hidden.shape[1]) // block_length
        hidden_keys = block > block[:, None]
        scores = (query @ key.transpose(2, 3) / key.shape[-1] ** 0.5).masked_fill(hidden_keys, -torch.inf)
        output = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        return linear(output, self.tensors[f"{layer}attention.dense.weight"])

    def rotate(self, states):
        half = int(states.shape[-1] * self.config["partial_rotary_factor"]) // 2
        first, second, others = states.tensor_split([half, 2 * half], dim=-1)
        angles = torch.arange(states.shape[1])[:, None] * self.config["rope_theta"] ** -(torch.arange(half) / half)
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        return torch.cat([first * cos - second * sin, second * cos + first * sin, others], dim=-1)

    def feed_forward(self, layer, hidden):
        if f"{layer}mlp.gate.weight" not in self.tensors:
            return self.swiglu(f"{layer}mlp.", hidden)
        scores = linear(hidden, self.tensors[f"{layer}mlp.gate.weight"]).sigmoid()
        weights = torch.stack([self.weights_of(layer, token) for token in scores.flatten(0, 1)]).view_as(scores)
        experts = range(self.config["num_experts"])
        output = sum(weights[..., [i]] * self.swiglu(f"{layer}mlp.experts.{i}.", hidden) for i in experts)
        if self.config["num_shared_experts"]:
            output = output + self.swiglu(f"{layer}mlp.shared_experts.", hidden)
        return output

    def weights_of(self, layer, scores):
        """The weight of each expert for one token."""
        choice = scores + self.tensors.get(f"{layer}mlp.gate.expert_bias", 0.0)
        size = len(scores) // self.config["n_group"]
        groups = [range(first, first + size) for first in range(0, len(scores), size)]
        groups.sort(key=lambda group: -sum(sorted(choice[list(group)].tolist())[-2:]))
        left = [expert for group in groups[: self.config["topk_group"]] for expert in group]
        chosen = sorted(left, key=lambda expert: -choice[expert])[: self.config["num_experts_per_tok"]]
        weights = torch.zeros_like(scores)
        weights[chosen] = scores[chosen] / scores[chosen].sum() * self.config["routed_scaling_factor"]
        return weights

    def swiglu(self, name, hidden):
        gate, up, down = (self.tensors[f"{name}{part}_proj.weight"] for part in ("gate", "up", "down"))
        return linear(silu(linear(hidden, gate)) * linear(hidden, up), down)


class TestNetwork:
    @pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
    def test_equations_and_files(self, tiny_llada2, random_ids, tmp_path, fields):
        """The logits of the equations, which read the saved files; these are the ones that are loaded again."""
        model, input_ids = tiny_llada2(**fields), random_ids(2, 12)
        model.save_pretrained(tmp_path)
        with torch.no_grad():
            logits = model(input_ids, block_length=5).logits
        torch.testing.assert_close(logits, Reference(tmp_path)(input_ids, 5), rtol=1e-4, atol=1e-4)
        reloaded, info = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
        assert type(reloaded) is LLaDA2MoeForMaskedLM and not any(info.values())
        assert_same_tensors(reloaded.state_dict(), model.state_dict())
        assert torch.equal(reloaded(input_ids, block_length=5).logits, logits)

    def test_without_blocks_every_position_sees_every_other(self, golden):
        """As in the official code without a mask."""
        input_ids = golden.tensors["forward.input_ids"]
        with torch.no_grad():
            logits = golden.model(input_ids).logits
        torch.testing.assert_close(logits, golden.tensors["forward.logits_full"], rtol=0, atol=2e-4)

    @pytest.mark.parametrize("implementation", ["sdpa", "eager"])
    def test_a_mask_of_blocks(self, golden, implementation):
        """Boolean for sdpa; eager attention adds it."""
        block = torch.arange(40) // 8
        mask = (block <= block[:, None])[None, None]
        if implementation == "eager":
            mask = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
        golden.model.set_attn_implementation(implementation)
        with torch.no_grad():
            inputs = golden.tensors["forward.input_ids"]
            logits = golden.model(inputs, attention_mask=mask).logits
            by_length = golden.model(inputs, block_length=8).logits
        golden.model.set_attn_implementation("sdpa")
        torch.testing.assert_close(logits, golden.logits, rtol=0, atol=2e-4)
        assert torch.equal(logits, by_length)

    def test_the_pass_of_block_diffusion_training(self, golden):
        """dFactory's: noisy tokens and clean ones in one row, whose positions repeat, and the mask between them."""
        tensors, expected = golden.tensors, golden.values["train"]["loss"]
        input_ids = torch.cat([tensors["train.noisy_ids"], tensors["train.clean_ids"]], dim=1)
        positions, mask = torch.arange(32).repeat(2).expand(2, -1), tensors["train.mask_bool"][None, None]
        with torch.no_grad():
            logits = golden.model(input_ids, attention_mask=mask, position_ids=positions).logits[:, :32]
        torch.testing.assert_close(logits, tensors["train.logits_noisy_half"], rtol=0, atol=2e-4)
        loss = cross_entropy(logits.flatten(0, 1), tensors["train.labels"].flatten())
        assert loss.item() == pytest.approx(expected, abs=1e-4)

    def test_gradients_reach_routers_and_experts(self, tiny_llada2, random_ids):
        model, input_ids = tiny_llada2().train(), random_ids(2, 12)
        model.gradient_checkpointing_enable()
        model(input_ids, labels=input_ids, block_length=4).loss.backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())

    def test_half_precision_keeps_the_bias_of_experts(self, golden, tmp_path):
        """It decides between experts that are nearly equal. Files have it in float32."""
        model = AutoModelForMaskedLM.from_pretrained(golden.folder, dtype="bfloat16")
        model.save_pretrained(tmp_path)
        saved = stored(tmp_path)
        for name, tensor in golden.weights.items():
            kept = tensor if name.endswith("expert_bias") else tensor.bfloat16()
            assert torch.equal(saved[name], kept) and saved[name].dtype == kept.dtype

    def test_a_model_that_is_made_or_moved_in_half_precision(self, tiny_llada2):
        model = tiny_llada2()
        gate = model.model.layers[1].mlp.gate
        before = gate.expert_bias.clone()
        assert torch.equal(model.to(torch.bfloat16).model.layers[1].mlp.gate.expert_bias, before)
        assert gate.weight.dtype == torch.bfloat16 and "expert_bias" in gate.state_dict()
        made = AutoModelForMaskedLM.from_config(model.config, dtype=torch.bfloat16)
        assert made.model.layers[1].mlp.gate.expert_bias.dtype == torch.float32

    @pytest.mark.parametrize("name", ["published", "no dense layer", "no shared expert"])
    def test_plans_name_modules_and_parameters(self, tiny_llada2, name):
        """Tensor and expert parallelism of transformers split what is there."""
        model = tiny_llada2(**VARIANTS[name])
        names = {name for name, _ in model.model.named_modules()} | {
            name for name, _ in model.model.named_parameters()
        }
        kinds = {name.replace(".0.", ".*.").replace(".1.", ".*.") for name in names}
        assert {*model.config.base_model_tp_plan, *model.config.base_model_ep_plan} <= kinds


class TestRouter:
    def test_golden_outputs(self, golden):
        layer = golden.model.model.layers[golden.values["router"]["layer"]].mlp
        inputs, expected = golden.tensors["router.block_input"], golden.tensors["router.block_output"]
        with torch.no_grad():
            logits, weights, index = layer.gate(inputs.flatten(0, 1))
            output = layer(inputs)
        torch.testing.assert_close(logits, golden.tensors["router.logits"], rtol=0, atol=1e-5)
        assert_same_choice(golden, "router", weights, index)
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)

    def test_float32_also_in_half_precision(self, golden):
        layer = AutoModelForMaskedLM.from_pretrained(golden.folder, dtype="bfloat16").model.layers[1].mlp
        inputs = golden.tensors["router.block_input"].flatten(0, 1).bfloat16()
        logits, weights, _ = layer.gate(inputs)
        assert torch.equal(logits, linear(inputs.float(), layer.gate.weight.float()))
        assert weights.dtype == torch.float32 and layer(inputs[None]).dtype == torch.bfloat16

    def test_float32_also_under_autocast(self, golden):
        """As trainers compute in bfloat16."""
        layer = golden.model.model.layers[1].mlp
        inputs = golden.tensors["router.block_input"]
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            logits, weights, index = layer.gate(inputs.flatten(0, 1))
            layer(inputs)
        for found, expected in zip((logits, weights, index), layer.gate(inputs.flatten(0, 1)), strict=True):
            assert torch.equal(found, expected)

    def test_logits_are_recorded(self, golden):
        input_ids = golden.tensors["forward.input_ids"]
        with torch.no_grad():
            output = golden.model(input_ids, labels=input_ids, output_router_logits=True, **golden.forward_options)
        assert [tuple(logits.shape) for logits in output.router_logits] == [(80, 16)] * 2
        torch.testing.assert_close(output.router_logits[1], golden.tensors["router.logits"], rtol=0, atol=1e-4)
        assert output.aux_loss is None, "a bias balances the experts, and no loss"

    def test_implementations_of_the_experts(self, golden):
        with torch.no_grad():
            for implementation in ("eager", "grouped_mm", "batched_mm"):
                golden.model.set_experts_implementation(implementation)
                logits = golden.model(golden.tensors["forward.input_ids"], **golden.forward_options).logits
                torch.testing.assert_close(logits, golden.logits, rtol=0, atol=2e-4)
        golden.model.set_experts_implementation("by_device")


def assert_same_choice(golden, name, weights, index):
    """The order of the chosen experts has no meaning."""
    expected, order = golden.tensors[f"{name}.topk_indices"].sort(-1)
    index, own_order = index.sort(-1)
    assert torch.equal(index, expected)
    weights, expected = weights.gather(-1, own_order), golden.tensors[f"{name}.topk_weights"].gather(-1, order)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-6)


class TestBlockRouting:
    def test_golden_outputs(self, golden, routed_by_blocks):
        gate = routed_by_blocks.model.layers[golden.values["router"]["layer"]].mlp.gate
        inputs = golden.tensors["router.block_input"]
        with torch.no_grad():
            _, weights, index = gate(inputs.flatten(0, 1), block_of_token=blocks_of(40, 8, batch=2))
            logits = routed_by_blocks(golden.tensors["forward.input_ids"], block_length=8).logits
        assert_same_choice(golden, "router_block", weights, index)
        expected = golden.tensors["forward_block_routing.logits_block_causal"]
        torch.testing.assert_close(logits, expected, rtol=0, atol=2e-4)
        assert (expected - golden.logits).abs().max() > 10, "it is not optional"

    @pytest.mark.parametrize("side", ["left", "right"])
    @pytest.mark.parametrize("has_positions", [False, True])
    def test_padding_takes_no_part(self, tiny_llada2, random_ids, side, has_positions):
        """It has the positions of real tokens, and any number of tokens."""
        model, input_ids = tiny_llada2(**ROUTED_BY_BLOCKS), random_ids(1, 11)
        for number in (1, 4, 6):
            pads = {"left": (number, 0), "right": (0, number)}[side]
            batch = torch.nn.functional.pad(input_ids, pads, value=7)
            mask = torch.nn.functional.pad(torch.ones_like(input_ids), pads)
            positions = (mask.cumsum(-1) - 1).clamp(min=0) if has_positions else None
            with torch.no_grad():
                logits = model(batch, attention_mask=mask, position_ids=positions, block_length=4).logits
                alone = model(input_ids, block_length=4).logits
            torch.testing.assert_close(logits[mask.bool()], alone[0], rtol=1e-4, atol=1e-4)

    def test_a_part_of_the_positions(self, tiny_llada2, random_ids):
        """The last layer routes whole blocks, which have large numbers, also where nothing else is asked for."""
        model, input_ids = tiny_llada2(**ROUTED_BY_BLOCKS), random_ids(2, 24)
        positions = torch.tensor([[20, 21, 22, 23], [12, 13, 14, 15]])
        with torch.no_grad():
            logits = model(input_ids, block_length=4).logits
            part = model(input_ids, block_length=4, query_positions=positions).logits
        torch.testing.assert_close(part, logits.take_along_dim(positions[..., None], dim=1), rtol=1e-4, atol=1e-4)

    def test_noisy_and_clean_tokens_are_blocks_of_their_own(self, tiny_llada2, random_ids):
        """Also where a row has one block, so that the clean one follows a noisy one with the same positions."""
        model, noisy, clean = tiny_llada2(**ROUTED_BY_BLOCKS), random_ids(1, 4), random_ids(1, 4, seed=1)
        mask = torch.block_diag(torch.ones(4, 4), torch.ones(4, 4)).bool()[None, None]
        with torch.no_grad():
            both = model(
                torch.cat([noisy, clean], dim=1),
                attention_mask=mask,
                position_ids=torch.arange(4).repeat(2)[None],
            ).logits
            alone = torch.cat([model(noisy).logits, model(clean).logits], dim=1)
        torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-4)

    def test_another_block_length_is_refused(self, routed_by_blocks):
        with pytest.raises(ValueError, match="`block_length` must be 8 for this model.*got 16. Leave it out"):
            routed_by_blocks.generate(torch.tensor([[1, 2]]), block_length=16)
        with pytest.raises(ValueError, match="`block_length` must be 8 for this model"):
            routed_by_blocks(torch.tensor([[1, 2]]), block_length=4)


class TestGenerate:
    @pytest.mark.parametrize("block_cache", ["prefix", None])
    @pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 11, 18])
    def test_published_samplers(self, golden, routed_by_blocks, number, block_cache):
        """Those of LLaDA2.0, and SGLang's, which makes one more forward pass for each block: it keeps no count of masks."""
        case, prompt = golden.values["cases"][number], golden.tensors[f"case{number}.prompt"]
        model = routed_by_blocks if "expert_capacity" in case else golden.model
        output = model.generate(
            prompt,
            max_new_tokens=case["gen_length"],
            block_length=case["block_length"],
            steps=case.get("steps"),
            confidence_threshold=case["threshold"],
            eos_token_id=case.get("eos_id", golden.values["special_ids"]["eos"]),
            block_cache=block_cache,
            return_dict_in_generate=True,
        )
        answer, expected = output.sequences[:, prompt.shape[1] :], golden.tensors[f"case{number}.answer"]
        assert torch.equal(answer[:, : expected.shape[1]], expected)
        assert (answer[:, expected.shape[1] :] == golden.values["special_ids"]["pad"]).all()
        passes = case["forward_passes"]
        if case["version"] != "2.0":
            first, stop = prompt.shape[1], prompt.shape[1] + case["gen_length"]
            passes -= -(-stop // case["block_length"]) - first // case["block_length"]
        assert output.num_forward_passes.tolist() == [passes]

    @pytest.mark.parametrize("routes_blocks", [False, True], ids=["2.0", "2.2"])
    def test_a_row_of_a_padded_batch_equals_the_row_by_itself(
        self, golden, routed_by_blocks, monkeypatch, routes_blocks
    ):
        """Also with recorded steps. On a CPU the static step is run as it stands, in the place of a replay."""
        monkeypatch.setattr(torch, "compile", lambda function, **kwargs: function)
        model = routed_by_blocks if routes_blocks else golden.model
        parts = ((15, 16), (18, 10), (16, 6))  # at most so many tokens of the prompt of a case
        prompts = [golden.tensors[f"case{number}.prompt"][0, :length] for number, length in parts]
        options = {"max_new_tokens": 20, "block_length": 8, "confidence_threshold": 0.5, "stop_at_eos": False}
        alone = [model.generate(prompt[None], **options, block_cache=None)[0, -20:] for prompt in prompts]
        for block_cache, compile_config in itertools.product(("prefix", None), (None, CompileConfig())):
            output = model.generate(
                **padded(prompts, pad=312), **options, block_cache=block_cache, compile_config=compile_config
            )
            assert torch.equal(output[:, -20:], torch.stack(alone))

    def test_the_blocks_of_training_are_the_default(self, golden, routed_by_blocks, random_ids):
        """With the keys and values of finished blocks, which are exact."""
        assert golden.model.config.generation_defaults == {"block_length": 32, "block_cache": "prefix"}
        assert routed_by_blocks.config.generation_defaults["block_length"] == 8
        prompt, options = random_ids(1, 5), {"max_new_tokens": 9, "stop_at_eos": False}
        expected = golden.model.generate(prompt, block_length=32, block_cache=None, **options)
        assert torch.equal(golden.model.generate(prompt, **options), expected)


class TestFiles:
    @pytest.fixture
    def merged(self, golden, tmp_path):
        """The checkpoint as dFactory has it, with the experts of a layer in three tensors, and their names and config."""
        tensors = {name: tensor for name, tensor in golden.weights.items() if ".mlp.experts." not in name}
        for layer in (1, 2):
            for name in ("gate", "up", "down"):
                experts = [f"model.layers.{layer}.mlp.experts.{index}.{name}_proj.weight" for index in range(16)]
                merged = torch.stack([golden.weights[expert] for expert in experts])
                tensors[f"model.layers.{layer}.mlp.experts.{name}_proj"] = merged
        fields = json.loads((golden.folder / "config.json").read_text()) | {"model_type": "llada2_moe_veomni"}
        (tmp_path / "merged").mkdir()
        (tmp_path / "merged" / "config.json").write_text(json.dumps(fields))
        save_file(tensors, tmp_path / "merged" / "model.safetensors", metadata={"format": "pt"})
        return tmp_path / "merged"

    def test_merged_experts_of_dfactory(self, golden, merged, tmp_path):
        """They load, and are written in the official layout."""
        model, info = AutoModelForMaskedLM.from_pretrained(merged, output_loading_info=True)
        assert not any(info.values())
        assert_same_tensors(model.state_dict(), golden.model.state_dict())
        model.save_pretrained(tmp_path / "saved")
        assert_same_tensors(stored(tmp_path / "saved"), golden.weights)

    def test_a_state_dict_with_official_names(self, golden, merged):
        for tensors in (golden.weights, stored(merged)):
            model = LLaDA2MoeForMaskedLM(golden.model.config)
            assert not any(model.load_state_dict(tensors))
            assert_same_tensors(model.state_dict(), golden.model.state_dict())

    def test_a_missing_expert_is_named(self, golden, tmp_path):
        tensors, key = golden.weights, "model.layers.1.mlp.experts.3.up_proj.weight"
        del tensors[key]
        save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
        (tmp_path / "config.json").write_text((golden.folder / "config.json").read_text())
        with pytest.raises(ValueError, match=f"lacks 1 weights of experts: {key}"):
            AutoModelForMaskedLM.from_pretrained(tmp_path)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"num_key_value_heads": 4}, r"another size .*v_proj.weight \(0, 64\) instead of \(64, 64\)"),
            ({"num_experts": 12}, r"another size .*\(16, 64, 32\) instead of \(12, 64, 32\)"),
            ({"first_k_dense_replace": 0}, "lacks .* weights of the model"),
        ],
        ids=str,
    )
    def test_the_config_of_another_network(self, golden, tmp_path, fields, message):
        before = json.loads((golden.folder / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(before | fields))
        (tmp_path / "model.safetensors").symlink_to(golden.folder / "model.safetensors")
        with pytest.raises(ValueError, match=message):
            AutoModelForMaskedLM.from_pretrained(tmp_path)

    def test_quantization(self, tiny_llada2, tmp_path):
        """bitsandbytes quantizes each projection by itself. torchao would quantize the queries, and lose keys and values."""
        pytest.importorskip("bitsandbytes")
        torchao = pytest.importorskip("torchao.quantization")
        exact = tiny_llada2(hidden_size=64, intermediate_size=64, head_dim=16)
        exact.save_pretrained(tmp_path / "exact")
        options = {"device_map": "cpu", "dtype": torch.float32}
        config = BitsAndBytesConfig(load_in_8bit=True)
        model = AutoModelForMaskedLM.from_pretrained(tmp_path / "exact", quantization_config=config, **options)
        hidden = torch.randn(1, 5, 64, generator=torch.Generator().manual_seed(0))
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            got, expected = (one.model.layers[1].self_attn.get_submodule(name)(hidden) for one in (model, exact))
            assert 0 < (got - expected).norm() / expected.norm() < 0.05
        with pytest.raises(ValueError, match="`save_pretrained` needs plain weights for LLaDA2"):
            model.save_pretrained(tmp_path / "again")
        with pytest.raises(ValueError, match="must be a `BitsAndBytesConfig` for LLaDA2.*'torchao'"):
            config = TorchAoConfig(torchao.Int8WeightOnlyConfig())
            AutoModelForMaskedLM.from_pretrained(tmp_path / "exact", quantization_config=config, **options)

    def test_lora(self, tiny_llada2, tmp_path, random_ids):
        """`all-linear` are the attention, the dense layers and the shared experts; experts are named as parameters."""
        model, input_ids = tiny_llada2(), random_ids(2, 9)
        model.save_pretrained(tmp_path / "base")
        torch.manual_seed(0)
        targets = {"target_modules": "all-linear", "target_parameters": ["mlp.experts.down_proj"]}
        model = get_peft_model(model, LoraConfig(r=2, **targets, init_lora_weights=False)).eval()
        model.save_pretrained(tmp_path / "adapter")
        logits = model(input_ids).logits
        base = AutoModelForMaskedLM.from_pretrained(tmp_path / "base")
        again = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        torch.testing.assert_close(again(input_ids).logits, logits)
        again.merge_and_unload().save_pretrained(tmp_path / "merged")
        merged = AutoModelForMaskedLM.from_pretrained(tmp_path / "merged")
        torch.testing.assert_close(merged(input_ids).logits, logits, rtol=1e-3, atol=1e-3)
        assert stored(tmp_path / "merged").keys() == stored(tmp_path / "base").keys()


class TestAdapters:
    @pytest.fixture
    def official(self, tiny_llada2, tmp_path):
        """Makes an adapter of official modules, and the model whose weights are the sum of both."""

        def make(*kinds):
            base = tiny_llada2()
            base.save_pretrained(tmp_path / "base")
            weights, adapter = stored(tmp_path / "base"), {}
            modules = [
                name.removesuffix(".weight") for name in weights if any(f".{kind}.weight" in name for kind in kinds)
            ]
            generator = torch.Generator().manual_seed(0)
            for module in modules:
                weight = weights[f"{module}.weight"]
                first = torch.randn(2, weight.shape[1], generator=generator) * 0.3
                second = torch.randn(weight.shape[0], 2, generator=generator) * 0.3
                weight += 3 / 2 * second @ first
                adapter |= {f"base_model.model.{module}.lora_A.weight": first}
                adapter |= {f"base_model.model.{module}.lora_B.weight": second}
            config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "task_type": "CAUSAL_LM"}
            config |= {"target_modules": list(kinds), "base_model_name_or_path": str(tmp_path / "base")}
            (tmp_path / "official").mkdir()
            save_file(adapter, tmp_path / "official" / "adapter_model.safetensors")
            (tmp_path / "official" / "adapter_config.json").write_text(json.dumps(config))
            expected = tiny_llada2()
            expected.load_state_dict(weights)
            return base, expected

        return make

    @pytest.mark.parametrize(
        "kinds",
        [("query_key_value", "dense"), ("query_key_value", "gate_proj", "up_proj", "down_proj")],
        ids=["attention", "experts"],
    )
    def test_official_modules(self, official, tmp_path, random_ids, kinds):
        """Queries, keys and values are one module in the official code, and each expert is one."""
        base, expected = official(*kinds)
        input_ids = random_ids(2, 9)
        report = convert_adapter(tmp_path / "official", tmp_path / "converted")
        assert "model.layers.*.attention.query_key_value -> model.layers.*.self_attn.q_proj" in str(report)
        with torch.no_grad():
            logits, plain = expected(input_ids).logits, base(input_ids).logits
            model = PeftModel.from_pretrained(base, tmp_path / "converted").eval()
            assert not torch.allclose(plain, logits, atol=0.1)
            torch.testing.assert_close(model(input_ids).logits, logits, rtol=1e-3, atol=1e-3)

    def test_the_base_model_has_to_be_known(self, official, tmp_path):
        official("query_key_value")
        path = tmp_path / "official" / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": None}))
        with pytest.raises(ValueError, match="`base_model_name_or_path=None` is none. Set it in adapter_config.json"):
            convert_adapter(tmp_path / "official", tmp_path / "converted")


class TestConfig:
    def test_sizes_and_special_tokens_of_mini(self):
        config = LLaDA2MoeConfig()
        names = ("mask_token_id", "eos_token_id", "pad_token_id", "eot_token_id")
        assert [getattr(config, name) for name in names] == [156895, 156892, 156892, None]
        with torch.device("meta"):
            model = LLaDA2MoeForMaskedLM(config)
        assert round(model.num_parameters() / 1e9, 1) == 16.3
        assert config.rope_parameters["partial_rotary_factor"] == 0.5

    def test_files(self, tmp_path):
        config = LLaDA2MoeConfig(**TINY | EXPERTS, **ROUTED_BY_BLOCKS)
        config.save_pretrained(tmp_path)
        fields = json.loads((tmp_path / "config.json").read_text())
        assert (fields["rope_theta"], fields["partial_rotary_factor"], fields["block_size"]) == (600000.0, 0.5, 4)
        assert not fields.keys() & {"attention_bias", "rope_parameters", "use_qk_norm", "delete_token_id"}
        assert AutoConfig.from_pretrained(tmp_path).to_diff_dict() == config.to_diff_dict()

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"head_dim": 7}, "`head_dim`.*must be even"),
            ({"partial_rotary_factor": 0.25}, "`partial_rotary_factor` must turn .* `head_dim=12`.*, but got 3"),
            ({"rotary_dim": 4}, "`rotary_dim` must be `head_dim` times `partial_rotary_factor`, 6, but got 4"),
            ({"num_experts_per_tok": 9}, "`num_experts_per_tok` must be at most `num_experts=8`, but got 9"),
            (
                {"num_experts_per_tok": 5},
                "`num_experts_per_tok` must be at most 4, .* `topk_group=2` groups, but got 5",
            ),
            ({"n_group": 3}, "`n_group` must divide `num_experts=8` into groups of at least two, but got 3"),
            ({"n_group": 8}, "`n_group` must divide .* at least two, but got 8"),
            ({"topk_group": 5}, "`topk_group` must be at most `n_group=4`, but got 5"),
            ({"expert_capacity": 4}, "`block_size` must be set with `expert_capacity=4`"),
            ({"expert_capacity": 1, "block_size": 4}, r"`expert_capacity` must be in .*\[2, 8\], but got 1"),
            ({"num_experts": 0}, "`num_experts` must be"),
            ({"use_qkv_bias": True}, "`use_qkv_bias` must be False, .*not implemented"),
            ({"norm_head": True}, "`norm_head` must be False"),
            ({"score_function": "softmax"}, "`score_function` must be 'sigmoid'"),
            ({"d_model": 32}, "`d_model` is a field of another family"),
            ({"architectures": ["LLaDAModelLM"]}, "is a checkpoint of dense LLaDA. .* or use `LLaDAConfig`"),
        ],
        ids=str,
    )
    def test_values_that_cannot_be(self, fields, message):
        with pytest.raises(ValueError, match=message):
            LLaDA2MoeConfig(**TINY | EXPERTS | fields)

    def test_another_network(self):
        with pytest.raises(ValueError, match="`config` is a `LLaDA2MoeConfig`, of LLaDA2"):
            LLaDAForMaskedLM(LLaDA2MoeConfig(**TINY | EXPERTS))
        with pytest.raises(ValueError, match="`config` is a `LLaDAConfig`, of dense LLaDA"):
            LLaDA2MoeForMaskedLM(LLaDAConfig(**TINY))


class TestBadInput:
    def test_blocks_beside_a_mask_or_a_cache(self, golden):
        ids = golden.tensors["forward.input_ids"]
        with pytest.raises(ValueError, match="`block_length` makes the mask of whole rows.*4-D `attention_mask`"):
            golden.model(ids, attention_mask=torch.ones(1, 1, 40, 40, dtype=torch.bool), block_length=8)

    @pytest.mark.parametrize("block_length", [0, 2.5, True])
    def test_a_length_that_is_none(self, golden, block_length):
        with pytest.raises(ValueError, match="`block_length` must be an integer of at least 1"):
            golden.model(golden.tensors["forward.input_ids"], block_length=block_length)

    def test_an_attention_without_such_a_mask(self, tiny_llada2, random_ids):
        model = tiny_llada2()
        model.set_attn_implementation("flex_attention")
        with pytest.raises(ValueError, match="`attn_implementation` must be sdpa or eager for this model"):
            model(random_ids(1, 4), block_length=4)
