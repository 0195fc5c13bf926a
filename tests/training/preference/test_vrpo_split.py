# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""One global batch of pairs, however it is cut: into micro-batches, over processes, or by a kill and a restart."""

import functools
import signal

import pytest
import torch
from safetensors.torch import load_file


pytest.importorskip("trl", reason="TRL is not part of this environment")

from support.processes import exit_codes_of, run_together, start_process
from support.sft_runs import largest_difference, losses_of, weights_of
from support.vrpo_runs import CASES, results_of, train_on_two_processes, train_split, train_until_killed, vrpo_trainer


SOME = ["all weights", pytest.param("LoRA", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def one_batch(poet_folder, tmp_path_factory):
    """What three steps on batches of eight pairs give, two of which are an epoch, in a case."""
    folder = tmp_path_factory.mktemp("one-batch")
    return functools.cache(lambda case: results_of(train_split(poet_folder, folder, "8", case)))


def assert_same(results, expected):
    for name in ("losses", "eval_loss"):
        torch.testing.assert_close(results[name], expected[name], rtol=1e-5, atol=1e-6)
    assert largest_difference(results, expected) < 1e-5


@pytest.mark.parametrize("case", SOME)
def test_accumulation_equals_one_batch(one_batch, poet_folder, tmp_path, case):
    """Ten pairs do not fill two batches of eight: the second one gets pairs from the beginning of the epoch."""
    assert_same(results_of(train_split(poet_folder, tmp_path, "4 + 4", case)), one_batch(case))


@pytest.mark.slow
def test_processes_equal_one(one_batch, poet_folder, tmp_path):
    run_together(train_on_two_processes, poet_folder, tmp_path)
    for case in CASES:
        assert_same(load_file(tmp_path / case), one_batch(case))
    sharded = load_file(tmp_path / "sharded")["losses"]
    torch.testing.assert_close(sharded, one_batch("all weights")["losses"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_equals_no_interruption(poet_folder, tmp_path, case):
    settings = CASES[case] | {"max_steps": 7, "save_strategy": "steps", "save_steps": 3}
    killed = start_process(train_until_killed, poet_folder, tmp_path / "killed", settings)
    straight = vrpo_trainer(poet_folder, tmp_path / "straight", **settings)
    straight.train()
    assert exit_codes_of(killed) == [-signal.SIGKILL]
    torch.manual_seed(77)  # whatever else the new process has drawn
    resumed = vrpo_trainer(poet_folder, tmp_path / "killed", **settings)
    resumed.train(resume_from_checkpoint=True)
    assert losses_of(resumed) == losses_of(straight)
    assert largest_difference(weights_of(resumed), weights_of(straight)) == 0


def test_the_noise_of_a_pair_is_its_own(poet_folder, tmp_path):
    """In all epochs another, in all batches and processes the same."""
    loaders = [
        vrpo_trainer(poet_folder, tmp_path, per_device_train_batch_size=size).get_train_dataloader() for size in (2, 5)
    ]
    seen = []
    for loader in loaders:
        noise = {}
        for epoch in range(2):
            loader.set_epoch(epoch)
            for batch in loader:
                for ids, attended, weights in zip(
                    *(batch[n] for n in ("input_ids", "attention_mask", "weights")), strict=True
                ):
                    key = epoch, tuple(ids[: attended.sum()].tolist())
                    noise[key] = tuple(weights[:, : attended.sum()].flatten().tolist())
        seen.append(noise)
    assert seen[0] == seen[1] and len(seen[0]) == 2 * 20
    assert len(set(seen[0].values())) > 30, "responses of one character have few masks"
