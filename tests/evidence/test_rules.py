# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""evidence/rules: how rules are measured and compared, and the tables of docs/rules.md."""

import json
from pathlib import Path

import numpy as np
import pytest

import evidence.rules.__main__ as built_in
from evidence import rules_table
from evidence.quality.settings import Rule
from evidence.rules import measuring
from evidence.rules.frontier import area, area_of, compare
from evidence.rules.tasks import TASKS, ask, open_task


PLAIN = {"hits": "1110", "forward_passes": 8.0, "tokens": 8.0, "cpu_seconds": 4.0}
FAST = {"hits": "1010", "forward_passes": 2.0, "tokens": 8.0, "cpu_seconds": 2.0}


def test_a_result_is_compared_with_the_plain_rule():
    found = compare(FAST, PLAIN)
    assert found["quality"]["mean"] == 50 and found["difference"]["mean"] == -25
    assert found["difference"]["low"] <= -25 <= found["difference"]["high"] == 0
    assert (found["passes_per_token"], found["fewer_passes"], found["fewer_seconds"]) == (0.25, 4.0, 2.0)
    with pytest.raises(ValueError, match="must have the 4 questions"):
        compare(FAST | {"hits": "1"}, PLAIN)


def test_the_area_under_the_frontier():
    """Six halvings from 1 to 1/64: with all right at 1/4, two of them are covered."""
    assert area([PLAIN])["mean"] == 0
    perfect = PLAIN | {"hits": "1111", "forward_passes": 2.0}
    assert area([PLAIN, perfect])["mean"] == pytest.approx(100 * 2 / 6, abs=0.01)
    worse_but_slower = PLAIN | {"hits": "0000", "forward_passes": 4.0}
    assert area([perfect, worse_but_slower]) == area([perfect]), "the frontier keeps the best quality so far"
    one_step = PLAIN | {"hits": "1111", "forward_passes": 0.01}
    assert area([one_step])["mean"] == 100


def test_the_area_of_many_samples_at_once():
    statistic = area_of([0.25, 0.5])
    qualities = [np.array([[100.0, 0.0], [0.0, 0.0]]), np.array([[100.0, 100.0], [0.0, 0.0]])]
    assert statistic(*qualities, axis=-1) == pytest.approx([(50 + 100) / 6, 0])


def test_quality_on_the_exact_task_is_what_the_truth_and_the_samples_share():
    task = open_task("exact", limit=8, seed=0)
    right = ask(task, Rule("other", "margin", {"remasking": "margin"}))
    picked = ask(task, Rule("other", "low", {}))
    quality = {name: compare(one, one)["quality"]["mean"] for name, one in (("right", right), ("picked", picked))}
    assert quality["right"] > 85 and quality["picked"] < 50
    assert right["forward_passes"] == right["tokens"] == 5


def test_the_study_goes_on_where_it_stopped(tmp_path, monkeypatch):
    arguments = ["--tasks", "exact", "--limit", "2", "--json", str(tmp_path / "rules.json")]
    monkeypatch.setattr(
        built_in, "stored_rules", lambda: [measuring.PLAIN, Rule("margin", "margin", {"remasking": "margin"})]
    )
    built_in.main(arguments)
    first = json.loads((tmp_path / "rules.json").read_text())
    assert set(first["compared"]["exact"]) == {"one token a step", "margin"} and set(first["areas"]["exact"]) == {
        "fixed",
        "margin",
    }
    monkeypatch.setattr(measuring, "open_task", lambda *_: pytest.fail("it was measured again"))
    built_in.main(arguments)
    assert json.loads((tmp_path / "rules.json").read_text()) == first
    with pytest.raises(SystemExit, match="must name a file of the same run"):
        built_in.main([*arguments, "--seed", "1"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["line", "sudoku"])
def test_a_threshold_keeps_the_quality_with_fewer_passes(name):
    task = open_task(name, limit=3, seed=0)
    plain, fast = ask(task, measuring.PLAIN), ask(task, Rule("threshold", "threshold", {"confidence_threshold": 0.95}))
    assert plain["hits"] == fast["hits"] == "111"
    assert (
        plain["forward_passes"] == pytest.approx(plain["tokens"], abs=1)
        and fast["forward_passes"] < plain["tokens"] / 3
    )


def test_the_tables_are_those_of_the_results():
    values = json.loads(rules_table.RESULTS.read_text(encoding="utf-8"))
    assert rules_table.rules_tables(values) in rules_table.PAGE.read_text(encoding="utf-8"), "run `make evidence`"
    labels = {rule.label for rule in measuring.stored_rules()}
    assert all(measuring.PLAIN.label in values["compared"][task] for task in TASKS)
    assert all(set(found) <= labels for found in values["compared"].values()), "the rule of a result still exists"


def test_the_frontier_has_no_result_that_another_beats():
    rows = [("a", 0.1, 50), ("b", 0.2, 40), ("c", 0.3, 60), ("d", 0.3, 55)]
    compared = {name: {"passes_per_token": passes, "quality": {"mean": mean}} for name, passes, mean in rows}
    assert [name for name, _ in rules_table.frontier(compared)] == ["a", "c"]
    assert measuring.best_with(0.25, compared) == "a" and measuring.best_with(0.05, compared) is None


def test_files_lie_where_the_page_says():
    page = rules_table.PAGE.read_text(encoding="utf-8")
    for path in (Path(measuring.ROOT) / "examples/rules").glob("*.py"):
        assert f"(../examples/rules/{path.name})" in page
