# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""One global batch, however it is cut: into micro-batches, over processes, or by a kill and a restart."""

import pytest
from safetensors.torch import load_file


pytest.importorskip("trl", reason="TRL is not part of this environment")

from support.processes import run_together
from support.sft_runs import (
    CASES,
    ON_TWO_PROCESSES,
    largest_difference,
    losses_of,
    restarted_trainer,
    train_on_two_processes,
    train_split,
    weights_of,
)


@pytest.fixture(scope="module")
def one_batch(poet_folder, tmp_path_factory):
    """The weights, losses and held-out loss after two epochs in batches of eight, for each case."""
    results = {}
    for case in CASES:
        trainer = train_split(poet_folder, tmp_path_factory.mktemp("one-batch"), "8", case)
        results[case] = weights_of(trainer), list(losses_of(trainer).values()), trainer.evaluate()["eval_loss"]
    return results


@pytest.fixture(scope="module")
def two_processes(poet_folder, tmp_path_factory):
    """The folder that two processes wrote to."""
    folder = tmp_path_factory.mktemp("two-processes")
    run_together(train_on_two_processes, poet_folder, folder)
    return folder


@pytest.mark.parametrize(
    ("case", "split"), [(case, "4 + 4") for case in CASES] + [("token", "eight times 1"), ("packed", "eight times 1")]
)
def test_accumulation_equals_one_batch(one_batch, poet_folder, tmp_path, split, case):
    weights, losses, eval_loss = one_batch[case]
    trainer = train_split(poet_folder, tmp_path, split, case)
    assert largest_difference(weights, weights_of(trainer)) < 1e-6
    assert list(losses_of(trainer).values()) == pytest.approx(losses, rel=1e-5)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(eval_loss, rel=1e-5)


@pytest.mark.parametrize(("case", "split"), ON_TWO_PROCESSES)
def test_processes_equal_one(one_batch, two_processes, case, split):
    """Ten rows do not fill two batches of eight: the second process gets what fills them up, and that trains nothing."""
    weights, losses, eval_loss = one_batch[case]
    result = load_file(two_processes / f"{case}, {split}.safetensors")
    assert result.pop("losses").tolist() == pytest.approx(losses, rel=1e-5)
    assert result.pop("eval_loss").item() == pytest.approx(eval_loss, rel=1e-5)
    assert largest_difference(weights, result) < 1e-6


def test_goes_on_with_another_number_of_processes(poet_folder, two_processes, tmp_path):
    """In the middle of an epoch, with the states of AdamW and its schedule: two processes, then one that accumulates."""
    whole = restarted_trainer(poet_folder, tmp_path / "whole", "8")
    whole.train()
    resumed = restarted_trainer(poet_folder, tmp_path / "one", "4 + 4")
    resumed.train(resume_from_checkpoint=str(two_processes / "restarted" / "checkpoint-3"))
    assert losses_of(resumed).keys() == losses_of(whole).keys() == set(range(1, 7))
    assert losses_of(resumed) == pytest.approx(losses_of(whole), rel=1e-5)
    assert largest_difference(weights_of(whole), weights_of(resumed)) < 1e-4


def test_the_cases_differ(one_batch):
    """Or they would not show anything."""
    assert len({tuple(losses) for _, losses, _ in one_batch.values()}) == len(CASES)
    assert largest_difference(one_batch["token"][0], one_batch["sequence"][0]) > 1e-4
