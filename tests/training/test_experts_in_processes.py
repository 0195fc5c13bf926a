# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Mixtures of experts on two processes: copies of the model, FSDP2, and expert parallelism, all with the losses of one process."""

import json

import pytest
from support.expert_runs import (
    CASES,
    save_models,
    train_copies,
    train_in_one_process,
    train_sharded,
    train_spread,
)
from support.processes import run_together
from transformers.distributed import DistributedConfig


pytestmark = pytest.mark.slow
RUNS = (*CASES, "pre-training", "biases")


@pytest.fixture(scope="module")
def folder(poet_folder, tmp_path_factory):
    """Where the models are that runs start from."""
    folder = tmp_path_factory.mktemp("experts")
    save_models(poet_folder, folder)
    return folder


@pytest.fixture(scope="module")
def one_process(poet_folder, folder):
    return train_in_one_process(poet_folder, folder)


def run(function, poet_folder, folder, name):
    run_together(function, poet_folder, folder)
    return json.loads((folder / f"{name}.json").read_text())


def assert_same(results, expected, names, held):
    """Checks the losses, and the share of the experts that a process holds."""
    assert set(results) == set(names)
    for name in names:
        assert results[name].pop("held") == held, name
        for kind, values in results[name].items():
            assert values == pytest.approx(expected[name][kind], rel=1e-5), (name, kind)


def test_copies(poet_folder, folder, one_process):
    assert_same(run(train_copies, poet_folder, folder, "copies"), one_process, RUNS, held=1.0)


def test_fsdp2(poet_folder, folder, one_process):
    assert_same(run(train_sharded, poet_folder, folder, "sharded"), one_process, RUNS, held=0.5)


@pytest.mark.skipif("ep_size" not in vars(DistributedConfig()), reason="experts have no size of their own")
def test_expert_parallelism(poet_folder, folder, one_process):
    names = ("all weights", "LoRA on the attention", "llada-moe by hand", "llada2 by hand")
    results = run(train_spread, poet_folder, folder, "spread")
    refused = {name: results.pop(f"{name}, refused") for name in ("adapter", "llada2")}
    assert "`target_parameters` must be left out with experts that are spread over `ep_size=2`" in refused["adapter"]
    assert "`distributed_config` must have `fsdp_size=1` for LLaDA2" in refused["llada2"]
    assert_same(results, one_process, names, held=0.5)


def test_the_runs_differ(one_process):
    """Or they would not show anything."""
    assert len({tuple(one_process[case]["loss"]) for case in CASES}) == len(CASES)
    biases = one_process["biases"]
    assert any(biases["bias"]) and biases["bias"] == biases["bias, resumed"]
    assert biases["loss"] == biases["loss, resumed"]
