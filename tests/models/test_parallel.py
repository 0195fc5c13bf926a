# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Models on several processes (tensor parallelism), or on several devices and the disk (`device_map`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import accelerate
import pytest
import torch
from conftest import TINY
from packaging.version import Version
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard
from transformers import AutoModel, AutoModelForMaskedLM
from transformers.distributed import DistributedConfig

from modeling_llada import LLaDA2MoeConfig, LLaDAConfig, LLaDAForMaskedLM, LLaDAMoeConfig


SCRIPT = Path(__file__).parents[1] / "support" / "tensor_parallel_script.py"
ATTENTIONS = ("eager", "sdpa")
EXPERTS = {
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "moe_layer_freq": [0, 1],
    "shared_expert_intermediate_size": 40,
    "moe_router_enable_expert_bias": True,
}
EXPERTS_OF_LLADA2 = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "head_dim": 12}
EXPERTS_OF_LLADA2 |= {"n_group": 3, "topk_group": 2}


def run_on_two_processes(device, *folders):
    """The line of JSON that `tensor_parallel_script.py` prints."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT)]
    finished = subprocess.run(
        [*command, "--device", device, *map(str, folders)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-5000:]
    return json.loads(finished.stdout.splitlines()[-1])


def assert_equal_to_one_process(result, device):
    """Checks that the weights are split, and that everything else is the same."""
    assert (result["device"], result["processes"]) == (device, 2)
    assert result["share of the weights"] < 0.6
    assert result["logits"] and result["log-likelihood"] and result["saved"]
    assert set(result["tokens"].values()) == set(result["tokens agree"].values()) == {True}, result


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """
    Models with grouped-query attention on two processes; one has tied embeddings, one biases, norms of queries and keys, and
    wide heads, and two experts.
    """
    folder = tmp_path_factory.mktemp("models")
    wide = {"attention_bias": True, "use_qk_norm": True, "head_dim": 16}
    tiny = TINY | {"vocab_size": 100}  # the number of processes has to divide it, as it does for LLaDA-8B
    configs = {
        "untied": LLaDAConfig(**tiny),
        "tied": LLaDAConfig(**tiny | {"tie_word_embeddings": True}),
        "wide": LLaDAConfig(**tiny | wide),
        "moe": LLaDAMoeConfig(**tiny | EXPERTS),
        "llada2": LLaDA2MoeConfig(**tiny | EXPERTS_OF_LLADA2),
    }
    for name, config in configs.items():
        torch.manual_seed(0)
        model = AutoModelForMaskedLM.from_config(config)
        for parameter in model.parameters():
            if parameter.ndim == 1:  # biases that are 0, and norms that are 1, would hide a wrong share of them
                torch.nn.init.normal_(parameter, mean=0.5, std=0.5)
        model.save_pretrained(folder / name)
    return run_on_two_processes("cpu", *(folder / name for name in configs))


@pytest.fixture
def one_process():
    """A group of processes that contains only this one."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


class TestFullySharded:
    @pytest.mark.parametrize("tied", [False, True])
    def test_saves_the_folder_that_the_model_would(self, one_process, tied, tmp_path):
        """FSDP gives the model a class of its own, and collects a tied head as a copy of the embedding."""
        model = LLaDAForMaskedLM(LLaDAConfig(**(TINY | {"tie_word_embeddings": tied})))
        model.save_pretrained(tmp_path / "plain")
        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
        sharded = type(model)
        assert sharded is not LLaDAForMaskedLM
        weights = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
        assert "lm_head.weight" in weights
        model.save_pretrained(tmp_path / "sharded", state_dict=weights)
        assert type(model) is sharded

        saved = [{path.name: path for path in (tmp_path / name).iterdir()} for name in ("plain", "sharded")]
        assert saved[0].keys() == saved[1].keys()
        for name in saved[0].keys() - {"model.safetensors"}:
            assert saved[0][name].read_bytes() == saved[1][name].read_bytes(), name
        expected, found = (load_file(files["model.safetensors"]) for files in saved)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
class TestTensorParallelism:
    @pytest.mark.parametrize("attention", ATTENTIONS)
    @pytest.mark.parametrize("name", ["untied", "tied", "wide", "moe", "llada2"])
    def test_equals_one_process(self, results, name, attention):
        assert_equal_to_one_process(results[f"{name}, {attention}"], "cpu")

    def test_each_process_has_some_of_the_experts(self, results):
        """In newer releases of transformers, expert parallelism has a size of its own."""
        if "ep_size" in vars(DistributedConfig()):
            assert_equal_to_one_process(results["moe, experts"], "cpu")
            assert_equal_to_one_process(results["llada2, experts"], "cpu")

    def test_processes_draw_the_same_noise_without_a_generator(self, results):
        """Each process has its own random state. With different noise, each would give the shared network another canvas."""
        for result in results.values():
            assert result["tokens agree without a generator"]
            assert result["scores agree without a generator"]

    @pytest.mark.gpu
    @pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
    def test_on_two_gpus(self):
        results = run_on_two_processes("cuda", Path(__file__).parents[2] / "checkpoints" / "llada-poet")
        for attention in ATTENTIONS:
            result = results[f"llada-poet, {attention}"]
            assert_equal_to_one_process(result, "cuda")
            assert result["tokens agree without a generator"] and result["scores agree without a generator"]


PARTS = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.2", "model.norm", "model.rotary_emb")
ON_CPU = dict.fromkeys((*PARTS, "lm_head"), "cpu")
OFFLOADED = {
    "last layers": ON_CPU | {"model.layers.1": "disk", "model.layers.2": "disk"},
    "embedding": ON_CPU | {"model.embed_tokens": "disk"},
    "head": ON_CPU | {"lm_head": "disk"},
    "everything": {"": "disk"},
}


def results_of(model, prompt):
    """Greedy, sampled and guided tokens, and a score."""

    def generator():
        return torch.Generator().manual_seed(1)

    return [
        model.generate(prompt, max_new_tokens=12),
        model.generate(prompt, max_new_tokens=12, temperature=1.0, generator=generator()),
        model.generate(prompt, max_new_tokens=12, cfg_scale=0.5, remasking="random", generator=generator()),
        model.log_likelihood(prompt, prompt, num_samples=4, generator=generator()).log_likelihood,
    ]


class TestDeviceMap:
    @pytest.fixture
    def prompt(self, random_ids):
        return random_ids(2, 6)

    def test_auto(self, golden_path, golden_model, prompt):
        model = AutoModel.from_pretrained(golden_path, dtype=torch.float32, device_map="auto")
        for got, expected in zip(results_of(model, prompt), results_of(golden_model, prompt), strict=True):
            torch.testing.assert_close(got.cpu(), expected)

    @pytest.mark.filterwarnings("ignore:Attempting to save a model with offloaded modules")
    @pytest.mark.parametrize("part", OFFLOADED)
    def test_offloaded_to_the_disk(self, golden_path, golden_model, prompt, tmp_path, part):
        """The tokens are the same if the first weights are offloaded, and on no device."""
        if part == "everything" and Version(accelerate.__version__) < Version("1.15"):
            pytest.skip("accelerate before 1.15 refuses to put a whole model on the disk")
        model = AutoModel.from_pretrained(
            golden_path, dtype=torch.float32, device_map=OFFLOADED[part], offload_folder=tmp_path / "offload"
        )
        assert any(parameter.device.type == "meta" for parameter in model.parameters())
        assert model.device.type == "cpu"
        for got, expected in zip(results_of(model, prompt), results_of(golden_model, prompt), strict=True):
            assert torch.equal(got, expected)

        model.save_pretrained(tmp_path / "saved")
        before, after = (load_file(folder / "model.safetensors") for folder in (golden_path, tmp_path / "saved"))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_a_limit_of_memory_splits_between_layers(self, golden_path, golden_model, prompt, tmp_path):
        """By `_no_split_modules` a layer with its residual stays on one device."""
        size = sum(p.numel() * 4 for p in golden_model.parameters())
        model = AutoModel.from_pretrained(
            golden_path,
            dtype=torch.float32,
            device_map="auto",
            max_memory={"cpu": int(size * 0.8)},
            offload_folder=tmp_path,
        )
        device_map = model.hf_device_map
        assert set(map(str, device_map.values())) == {"cpu", "disk"}
        assert not [name for name in device_map if ".self_attn" in name or ".mlp" in name]
        for got, expected in zip(results_of(model, prompt), results_of(golden_model, prompt), strict=True):
            assert torch.equal(got, expected)

    def test_a_model_on_the_meta_device_stays_there(self, tiny_config):
        with torch.device("meta"):
            assert LLaDAForMaskedLM(tiny_config()).device.type == "meta"

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("device_map", ["auto", "embedding and a layer on the CPU", "over all GPUs"])
    def test_on_gpus(self, golden_path, golden_model, prompt, device_map):
        """The inputs go to the GPU that computes, even if the first weights are on the CPU."""
        last = torch.cuda.device_count() - 1
        device_map = {
            "embedding and a layer on the CPU": dict.fromkeys(ON_CPU, 0)
            | {"model.embed_tokens": "cpu", "model.layers.1": "cpu"},
            "over all GPUs": dict.fromkeys(ON_CPU, 0) | {"model.layers.2": last, "model.norm": last, "lm_head": last},
        }.get(device_map, device_map)
        model = AutoModel.from_pretrained(golden_path, dtype=torch.float32, device_map=device_map)
        assert model.device == torch.device("cuda:0")
        *tokens, score = results_of(model, prompt)
        *expected, expected_score = results_of(golden_model, prompt)
        for got, wanted in zip(tokens, expected, strict=True):
            assert got.device == model.device and torch.equal(got.cpu(), wanted)
        torch.testing.assert_close(score.cpu(), expected_score, rtol=1e-3, atol=1e-3)
