# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Decoding with products in eight bits: its error, the same tokens alone and in a batch, and what it refuses.

On a CPU the same numbers are multiplied in float32. The test marked `gpu` compares that with the kernels.
"""

import copy

import peft
import pytest
import torch
from torch import nn
from transformers import CompileConfig

from benchmarks.shapes import config_of, model_class_of, random_model
from modeling_llada import LLaDAForMaskedLM
from modeling_llada.models.fp8_llada import Float8Linear, as_quantized, quantize
from modeling_llada.models.kernels_llada import Kernels, fused


SMALL = {"max_new_tokens": 16, "block_length": 8}


@pytest.fixture
def model(tiny_model):
    return tiny_model(hidden_size=64)


@pytest.fixture(params=["dense", "norms of heads", "biases", "llada2", "llada-moe"])
def family(request, tiny_model):
    """A model of each family, and of each form of the attention."""
    if request.param in ("llada2", "llada-moe"):
        config = config_of(f"tiny-{request.param}")
        return random_model(config, "cpu", torch.float32, model_class_of(config))
    changes = {"norms of heads": {"use_qk_norm": True}, "biases": {"attention_bias": True}}
    return tiny_model(hidden_size=64, **changes.get(request.param, {}))


def float8_names(model):
    return [name for name, module in model.named_modules() if isinstance(module, Float8Linear)]


def relative_error(values, expected):
    return ((values - expected).float().norm() / expected.float().norm()).item()


class TestProjection:
    @pytest.fixture
    def linear(self):
        torch.manual_seed(0)
        return nn.Linear(512, 256, bias=False).eval()

    def test_error(self, linear):
        """Both factors are rounded to three bits behind the first one."""
        inputs = torch.randn(64, 512)
        error = relative_error(Float8Linear(linear, is_added=False)(inputs), linear(inputs))
        assert error == pytest.approx(0.036, abs=0.002)

    def test_outliers_of_a_channel_and_of_a_token_cost_nothing(self, linear):
        linear.weight.data[3] *= 1000
        inputs = torch.randn(64, 512)
        inputs[5] *= 1000
        outputs, expected = Float8Linear(linear, is_added=False)(inputs), linear(inputs)
        for part in (slice(0, 5), slice(5, 6)):
            assert relative_error(outputs[part, 4:], expected[part, 4:]) < 0.04

    def test_rows_do_not_change_each_other(self, linear):
        inputs, float8 = torch.randn(3, 2, 512), Float8Linear(linear, is_added=False)
        torch.testing.assert_close(float8(inputs)[1], float8(inputs[1]), rtol=1e-5, atol=1e-5)
        assert torch.equal(as_quantized(inputs).values[1].float(), as_quantized(inputs[1]).values.float())

    def test_numbers(self):
        values, scale = quantize(torch.tensor([[448.0, -224.0, 0.0], [0.0, 0.0, 0.0]]))
        assert values.float().tolist() == [[448.0, -224.0, 0.0], [0.0, 0.0, 0.0]] and scale[0] == 1


class TestQuantizeForDecoding:
    def test_what_is_quantized(self, family):
        family.quantize_for_decoding("fp8")
        names = {name.rpartition(".")[2] for name in float8_names(family)}
        assert (
            {"q_proj", "k_proj", "v_proj", "o_proj"}
            <= names
            <= {f"{one}_proj" for one in "qkvo"}
            | {
                "gate_proj",
                "up_proj",
                "down_proj",
            }
        )
        assert type(family.lm_head) is nn.Linear
        assert not any(".gate." in name or ".experts." in name for name in float8_names(family)), "routers and experts"

    def test_logits_in_fused_steps_are_the_same(self, family, random_ids):
        ids = random_ids(2, 12)
        with torch.no_grad():
            plain = family(ids).logits
            logits = family.quantize_for_decoding("fp8")(ids).logits
            with fused(family, Kernels()):
                torch.testing.assert_close(family(ids).logits, logits, rtol=1e-3, atol=1e-3)
        assert 0 < relative_error(logits, plain) < 0.5  # random layers enlarge it

    def test_small_operations_of_a_layer(self, model, random_ids):
        """No scale has an operation of its own, and a norm is one with the sum before it."""
        names = []
        kernels = Kernels(prepare=lambda operation: (names.append(operation.__name__), operation)[1])
        model.quantize_for_decoding("fp8")
        with torch.no_grad(), fused(model, kernels):
            model(random_ids(1, 4))
        layer = ["unscale_and_rotate", "quantize", "add_norm_and_quantize", "gate_and_quantize"]
        assert names == ["norm_and_quantize", *layer, "add_norm_and_quantize", *layer, "add_unscaled"]

    def test_recorded_steps_and_batches_give_the_same_tokens(self, family, random_ids, monkeypatch):
        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
        family.quantize_for_decoding("fp8")
        ids, options = random_ids(2, 12), SMALL | {"block_cache": "dual"}
        tokens = family.generate(ids, **options)
        assert torch.equal(family.generate(ids, **options, compile_config=CompileConfig()), tokens)
        assert torch.equal(torch.cat([family.generate(row[None], **options) for row in ids]), tokens)

    def test_padding(self, model, prompt):
        model.quantize_for_decoding("fp8")
        tokens = model.generate(**prompt, **SMALL)
        for row, attended, own in zip(prompt["input_ids"], prompt["attention_mask"], tokens, strict=True):
            alone = model.generate(row[attended.bool()][None], **SMALL)[0]
            assert torch.equal(alone, own[len(own) - len(alone) :])

    def test_weights_keep_their_dtype_when_the_model_is_converted(self, model, random_ids):
        model.quantize_for_decoding("fp8")
        ids, linear = random_ids(1, 8), model.model.layers[0].mlp.down_proj
        expected, scale = model(ids).logits, linear.scale.clone()
        assert model.to(torch.bfloat16)(ids).logits.dtype == torch.bfloat16
        assert linear.weight.dtype == torch.float8_e4m3fn and torch.equal(linear.scale, scale)
        assert linear.as_linear().weight.dtype == torch.bfloat16
        assert 0 < relative_error(model.float()(ids).logits, expected) < 0.5, "norms and embedding were rounded"

    def test_and_back(self, model, random_ids):
        ids, names = random_ids(2, 12), list(model.state_dict())
        plain = model(ids).logits
        assert model.quantize_for_decoding("fp8") is model.quantize_for_decoding("fp8"), (
            "a second time nothing happens"
        )
        model.quantize_for_decoding(None)
        assert list(model.state_dict()) == names and all(type(p.data) is torch.Tensor for p in model.parameters())
        assert 0 < relative_error(model(ids).logits, plain) < 0.5
        model.train()(ids, labels=ids).loss.backward()

    def test_a_layer_is_moved_after_the_other(self, model, monkeypatch):
        moved, to = [], nn.Module.to

        def logged(module, *args):
            moved.append((type(module).__name__, len(float8_names(model))))
            return to(module, *args)

        monkeypatch.setattr(nn.Module, "to", logged)
        model.quantize_for_decoding("fp8", device="cpu")
        assert moved == [("LLaDALayer", 0), ("LLaDALayer", 7), ("LLaDAForMaskedLM", 14)]


class TestRefusals:
    def test_another_kind(self, model):
        with pytest.raises(
            ValueError, match="`kind` must be \"fp8\", or `None` for plain weights again, but got 'int3'"
        ):
            model.quantize_for_decoding("int3")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda model: model.train(), "in training mode. Call `model.eval"),
            (lambda model: model.half(), "in torch.float16, .* Load it with `dtype='bfloat16'`"),
            (lambda model: setattr(model, "_tp_size", 2), "spread over devices"),
            (
                lambda model: setattr(model.config, "quantization_config", {"quant_method": "gptq"}),
                "are quantized or sharded already",
            ),
            (
                lambda model: peft.inject_adapter_in_model(peft.LoraConfig(target_modules=["q_proj"]), model),
                "Merge them first",
            ),
        ],
    )
    def test_states_of_the_model(self, model, change, reason):
        change(model)
        with pytest.raises(ValueError, match=reason):
            model.quantize_for_decoding("fp8")
        assert not float8_names(model)

    def test_sizes(self, tiny_model):
        model = tiny_model(intermediate_size=40)
        with pytest.raises(ValueError, match=r"multiples of 16, but there are down_proj \(32, 40\)"):
            model.quantize_for_decoding("fp8")
        assert not float8_names(model)

    def test_a_device_without_such_products(self, model):
        with pytest.raises(ValueError, match="`device='meta'` has no products in eight bits"):
            model.quantize_for_decoding("fp8", device="meta")

    def test_training_and_saving(self, model, random_ids, tmp_path):
        model.quantize_for_decoding("fp8")
        with pytest.raises(ValueError, match="`save_pretrained` needs plain weights"):
            model.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match="cannot be trained"):
            model.train()(random_ids(1, 4))


@pytest.mark.gpu
class TestOnGPU:
    @pytest.fixture
    def pair(self):
        """The emulation in float32 and the kernels."""
        config = config_of("tiny")
        config.hidden_size, config.num_attention_heads, config.num_key_value_heads, config.head_dim = 128, 2, 2, 64
        config.intermediate_size, config.initializer_range = 256, 0.05
        models = [random_model(config, "cpu", torch.float32, LLaDAForMaskedLM)]
        models.append(copy.deepcopy(models[0]).cuda())
        return [model.quantize_for_decoding("fp8") for model in models]

    def test_products_and_logits_are_those_of_the_emulation(self, pair, random_ids):
        inputs, linears = torch.randn(5, 128), [model.model.layers[0].mlp.gate_proj for model in pair]
        expected, outputs = linears[0](inputs), linears[1](inputs.cuda()).cpu()
        assert relative_error(outputs, expected) < 1e-3
        with torch.no_grad():
            logits = [model(random_ids(2, 20).to(model.device)).logits.cpu() for model in pair]
        assert relative_error(logits[1], logits[0]) < 0.1

    @pytest.mark.parametrize("engine", [{}, {"compile_config": CompileConfig()}], ids=["recorded", "compiled"])
    def test_recorded_steps(self, pair, random_ids, engine):
        model = pair[1].bfloat16()
        ids = random_ids(2, 20).cuda()
        for cache in (None, "dual"):
            tokens = [
                model.generate(ids, **SMALL, block_cache=cache, **one) for one in ({"disable_compile": True}, engine)
            ]
            assert tokens[0].shape == tokens[1].shape
        with torch.no_grad(), fused(model, Kernels.compile(CompileConfig())):
            logits = model(ids).logits
        with torch.no_grad():
            assert relative_error(logits, model(ids).logits) < 0.3

    def test_memory(self, random_ids):
        """The layers are moved one by one."""
        config = config_of("tiny")
        config.hidden_size, config.intermediate_size, config.num_hidden_layers = 512, 2048, 12
        config.num_attention_heads = config.num_key_value_heads = 4
        config.head_dim = 128
        model = random_model(config, "cpu", torch.bfloat16, LLaDAForMaskedLM)
        layer = sum(one.nbytes for one in model.model.layers[0].parameters())
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        model.quantize_for_decoding("fp8", device="cuda")
        in_the_end = torch.cuda.memory_allocated() - before
        assert torch.cuda.max_memory_allocated() - before < in_the_end + 3 * layer
