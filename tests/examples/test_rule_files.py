# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/rules: the published rules, on confidences that show what each of them commits."""

from pathlib import Path

import pytest
import torch

from evidence.rules.rule_file import read_rule_file
from evidence.rules.tasks import ask, open_task


RULES = Path(__file__).parents[2] / "examples/rules"


def options(name, number=0):
    return read_rule_file(RULES / f"{name}.py")[number].options


def commit(rule, confidence):
    """The commits in a row where -1 stands for a token that is committed already."""
    confidence = torch.tensor([confidence])
    mask = confidence >= 0
    return rule(confidence.masked_fill(~mask, -torch.inf), mask, torch.ones(1).long())[0].int().tolist()


def test_hierarchy_commits_the_best_of_each_gap():
    rule = options("hierarchy", 1)["remasking"]  # above 0.92, and the best of a gap above 0.62
    assert commit(rule, [0.7, 0.8, -1, 0.65, 0.6, -1, 0.5]) == [0, 1, 0, 1, 0, 0, 0]
    assert commit(rule, [0.95, 0.99, 0.93, -1, 0.63]) == [1, 1, 1, 0, 1]


def test_dilated_halves_the_distance():
    rule = options("dilated")["remasking"]
    assert commit(rule, [0.5] * 8) == [1, 0, 0, 0, 1, 0, 0, 0]
    assert commit(rule, [-1, 0.5, 0.5, 0.5, -1, 0.5, 0.5, 0.5]) == [0, 0, 1, 0, 0, 0, 1, 0]
    assert commit(rule, [-1, 0.5, -1, 0.5, -1, 0.5, -1, 0.5]) == [0, 1] * 4
    assert commit(rule, [0.5]) == [1]


def test_klass_waits_for_two_stable_steps():
    rule = options("klass")["remasking"]  # above 0.6, divergence below 0.015
    calm, other = torch.tensor([4.0, 0.0, 0.0]), torch.tensor([0.0, 4.0, 0.0])
    confidence = [0.9, 0.9, 0.5]
    for first, expected in (
        (calm, [0, 0, 0]),
        (calm, [0, 0, 0]),
        (other, [0, 1, 0]),
        (other, [0, 1, 0]),
        (other, [1, 1, 0]),
    ):
        rule.watch(None, torch.stack([first, calm, calm]))
        assert commit(rule, confidence) == expected


def test_prophet_commits_all_when_the_answer_is_known():
    rule = options("prophet", 1)["remasking"]  # mean gaps of 7.5, 5 and 2.5 in the thirds of a block
    rule.watch(None, torch.tensor([[7.0, 0.0]] * 3))
    assert commit(rule, [0.9] * 3) == [0, 0, 0]
    rule.watch(None, torch.tensor([[7.0, 0.0]] * 2))
    assert commit(rule, [-1, 0.9, 0.9]) == [0, 1, 1]
    rule.watch(None, torch.tensor([[7.0, 0.0]] * 3))
    assert commit(rule, [0.9] * 3) == [0, 0, 0], "a new block"


@pytest.mark.parametrize("path", sorted(RULES.glob("*.py")), ids=lambda path: path.stem)
def test_each_runs_with_all_its_settings(path):
    task = open_task("exact", limit=1, seed=0)
    for rule in read_rule_file(path):
        assert 1 <= ask(task, rule)["forward_passes"] <= 5
