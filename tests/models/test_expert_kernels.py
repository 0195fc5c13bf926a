# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Experts, routers and attention with norms in few kernels: the same bits, or the same tokens."""

import pytest
import torch
from torch import nn
from transformers import CompileConfig
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from benchmarks.shapes import config_of, model_class_of, random_model
from modeling_llada.models.expert_kernels_llada import grouped_experts, order_by_expert
from modeling_llada.models.kernels_llada import Kernels, fused


SMALL = {"max_new_tokens": 8, "block_length": 8, "stop_at_eos": False}


def make_model(family, device="cpu", dtype=torch.float32):
    config = config_of(f"tiny-{family}")
    config.num_experts_per_tok = 3
    model = random_model(config, device, dtype, model_class_of(config))
    model.set_experts_implementation("grouped_mm")
    return model


@pytest.fixture(params=["llada2", "llada-moe"])
def model(request):
    return make_model(request.param)


def test_the_order_of_pairs():
    order, ends, places = order_by_expert(torch.tensor([[2, 0], [3, 2]]), num_experts=5)
    assert ends.tolist() == [1, 1, 3, 4, 4], "one token of expert 0, none of 1 and 4, two of 2, one of 3"
    assert order[0] == 1 and set(order[1:3].tolist()) == {0, 3} and order[3] == 2
    assert torch.equal(order[places].flatten(), torch.arange(4))


def test_experts_are_the_same_bits_as_those_of_transformers(model):
    experts = model.model.layers[1].mlp.experts
    hidden_states, weights = torch.randn(50, 32), torch.rand(50, 3)
    index = torch.rand(50, 8).topk(3).indices
    with torch.no_grad():
        expected = ALL_EXPERTS_FUNCTIONS["grouped_mm"](experts, hidden_states, index, weights)
        assert torch.equal(grouped_experts(experts, Kernels(), hidden_states, index, weights), expected)


def test_one_product_for_queries_keys_and_values(model, random_ids):
    alone = set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda *_, name=name: alone.add(name.rpartition(".")[2]))
    ids = random_ids(2, 20)
    with torch.no_grad():
        expected = model(ids).logits
        alone.clear()
        with fused(model, Kernels()):
            torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-4)
    assert alone == {"o_proj", "down_proj", "lm_head"} - ({"down_proj"} if "shared" not in str(model) else set())


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["llada2", "llada-moe"])
def test_logits_in_bfloat16_on_a_gpu(family, random_ids):
    """The router of LLaDA2 adds up its products in float32 there without copies of its inputs."""
    model, ids = make_model(family, "cuda", torch.bfloat16), random_ids(2, 20).cuda()
    with torch.no_grad():
        router, states = model.model.layers[1].mlp.gate, torch.randn(64, 32, device="cuda", dtype=torch.bfloat16)
        expected, choice = model(ids).logits, router(states)
        with fused(model, Kernels.compile(CompileConfig())):
            torch.testing.assert_close(router(states)[0], choice[0], rtol=1e-5, atol=1e-5)
            error = (model(ids).logits - expected).float().norm() / expected.float().norm()
    assert error < 0.03
    for options in ({}, {"compile_config": CompileConfig()}):
        assert model.generate(ids, **SMALL, **options).shape == (2, 28)


def compiled_and_eager(model, ids, backend):
    options = [{"compile_config": CompileConfig(backend=backend)}, {"disable_compile": True}]
    return [model.generate(ids, **SMALL, **one) for one in options]


def test_recorded_steps_give_the_tokens_of_eager_ones(model, random_ids, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    assert torch.equal(*compiled_and_eager(model, random_ids(2, 8), "eager"))


@pytest.mark.slow
def test_compiled_steps_give_the_tokens_of_eager_ones(random_ids):
    assert torch.equal(*compiled_and_eager(make_model("llada2"), random_ids(2, 8), "inductor"))
