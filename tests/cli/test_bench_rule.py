# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada bench-rule`."""

import json

import pytest

from evidence.rules import measuring
from llada_cli import bench_rule, main


RULE = """
SETTINGS = [{"number": 1}, {"number": 2}]


def rule(confidence, mask, budget, number):
    return mask & (mask.cumsum(-1) <= number)
"""


@pytest.fixture
def rule_file(tmp_path):
    path = tmp_path / "left_to_right.py"
    path.write_text(RULE)
    return path


def test_a_rule_beside_the_stored_ones(rule_file, capsys):
    assert main(["bench-rule", str(rule_file), "--tasks", "exact", "--limit", "8"]) == 0
    text = capsys.readouterr().out
    assert "left_to_right, number 1" in text and "left_to_right, number 2" in text
    assert "threshold" in text and "best other with as few passes" in text


def test_the_report_of_programs_and_a_second_run(rule_file, tmp_path, capsys, monkeypatch):
    arguments = ["bench-rule", str(rule_file), "--tasks", "exact", "--limit", "8", "--json"]
    arguments += ["--output", str(tmp_path / "results.json")]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    left, two = report["compared"]["exact"].values()
    assert (
        left["quality"]["mean"]
        > 85
        > 10 + report["stored"]["compared"]["exact"]["one token a step"]["quality"]["mean"]
    )
    assert (left["passes_per_token"], two["passes_per_token"]) == (1.0, 0.6)
    monkeypatch.setattr(measuring, "open_task", lambda *_: pytest.fail("it was measured again"))
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["results"] == report["results"]
    rule_file.write_text(RULE.replace("2}", "3}"))
    assert main(arguments) == 2
    assert "`--output` must name a file of the same run" in capsys.readouterr().err


def test_a_rule_with_a_memory_is_made_anew_for_each_call(tmp_path, capsys):
    path = tmp_path / "slow.py"
    path.write_text(
        "class rule:\n"
        "    steps = 0\n"
        "    def watch(self, tokens, scores):\n"
        "        self.number = len(scores)\n"
        "        return scores\n"
        "    def __call__(self, confidence, mask, budget):\n"
        "        self.steps += 1\n"
        "        assert self.number == mask.sum() and self.steps <= 5\n"
        "        return mask & (mask.cumsum(-1) <= 1)\n"
    )
    assert main(["bench-rule", str(path), "--tasks", "exact", "--limit", "1"]) == 0
    assert main(["bench-rule", str(path), "--tasks", "exact", "--limit", "1"]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "`RULE_FILE` must name a Python file"),
        ("import no_such_module", "fails with ModuleNotFoundError: No module named"),
        ("x = 1", "must define `rule`"),
        ("rule = 3", "must define `rule`"),
        ("def rule(confidence, mask): pass", "must be called as (confidence, mask, budget)"),
        ("SETTINGS = 3\ndef rule(confidence, mask, budget): pass", "`SETTINGS` must be a list of dictionaries"),
        ("SETTINGS = [{'a': 1}]\ndef rule(confidence, mask, budget): pass", "with the arguments {'a': 1}"),
        ("class rule:\n    pass", "whose objects are called"),
        ("def rule(confidence, mask, budget): return confidence", "`remasking` must return a boolean tensor"),
    ],
)
def test_a_file_that_holds_no_rule(text, said, tmp_path, capsys):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    assert main(["bench-rule", str(path), "--tasks", "exact", "--limit", "1"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.strip().count("\n") == 0


def test_without_a_clone(rule_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_rule, "CLONE", tmp_path)
    assert main(["bench-rule", str(rule_file)]) == 2
    assert "the tasks are missing: install the package from a clone" in capsys.readouterr().err


def test_tasks_are_those_of_the_study():
    from evidence.rules import plot, tasks

    assert tuple(tasks.TASKS) == bench_rule.TASKS == plot.TASKS
