# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""recipes/vision: the results of a run and of short runs in one file, the tables of it, and the section of the page."""

import json

import pytest


pytest.importorskip("trl", reason="the commands of the recipe need it")

from recipes.vision.__main__ import main  # noqa: E402
from recipes.vision.scores import REQUIRED, TASKS, label, results_table, seconds_section, studies_table, verdict  # noqa: E402


MACHINE = {"name": "a GPU", "cpu": "a CPU", "cores": 2, "threads": 1, "memory_gib": 80.0}
RECIPE = {
    "blind": False,
    "one_tile": False,
    "skipped": [],
    "minutes": {"tower": 2.0, "1": 1.0, "2": 9.0, "3": 3.0},
    "tile_grids": [[1, 1], [1, 2]],
    "model": {"hidden_size": 16},
    "tower": {"batch_size": 8},
    "training": {"learning_rate": 0.003},
    "stages": {"1": {}, "2": {"learning_rate": 0.002}, "3": {}},
    "seed": 0,
}


def scores(right, **others):
    """The scores of all tasks, right in a share of 100 rows."""
    result = {}
    for task in TASKS:
        share = others.get(task, right)
        score = {"rows": 100, "right": share, "interval": [share - 0.05, share + 0.05], "passes": 16.0}
        result |= {
            task: score,
            f"{task}/en": score | {"right": share - 0.04},
            f"{task}/zh": score | {"right": share + 0.04},
        }
    return result | {"naming/name": result["naming"]}


@pytest.fixture
def make_run(tmp_path):
    """Writes the files of a run, and returns its folder."""

    def make(name, right, trained=("1", "2", "3"), is_seen_blind=None, **changes):
        folder = tmp_path / name
        folder.mkdir()
        recipe = RECIPE | changes
        calls = [{"stage": stage, "seconds": 60.0, "machine": MACHINE, "versions": {}} for stage in trained]
        results = {
            "blind": recipe["blind"] if is_seen_blind is None else is_seen_blind,
            "rows": 100,
            "seconds": 20.0,
            "machine": MACHINE,
            "scores": scores(right),
        }
        files = {
            "recipe": recipe,
            "run": {"calls": calls, "parameters": 11_200_000},
            "training_log": [{"stage": stage, "step": step} for stage in trained for step in (50, 70)],
            "results": results,
        }
        for file, values in files.items():
            (folder / f"{file}.json").write_text(json.dumps(values))
        return folder

    return make


@pytest.fixture
def collected(make_run, tmp_path):
    """What is collected of a model and of short runs."""
    run = make_run("vision", 0.85, trained=("tower", "1", "2", "3"))
    slow = MACHINE | {"name": "a CPU"}
    del slow["memory_gib"]
    timing = {"machine": slow, "seconds": 9.0, "answers": {"threshold 0.9": {"/no_think": 0.26, "/think": 1.5}}}
    (run / "seconds.json").write_text(json.dumps(timing))
    studies = [
        make_run("short", 0.6),
        make_run("blind", 0.1, blind=True),
        make_run("one-tile", 0.55, one_tile=True),
        make_run("without-2", 0.2, trained=("1", "3"), skipped=["2"]),
        make_run("frozen-tower", 0.4, stages={**RECIPE["stages"], "2": {"trained_parts": ["language_model"]}}),
    ]
    output = tmp_path / "evidence/results/vision.json"
    output.parent.mkdir(parents=True)
    main(["collect", "--run", str(run), "--studies", *map(str, studies), "--json", str(output)])
    return json.loads(output.read_text())


class TestCollect:
    def test_what_is_kept(self, collected):
        model = collected["model"]
        assert model["seconds"] == dict.fromkeys(("tower", "1", "2", "3"), 60.0) and model["steps"]["2"] == 70
        assert model["minutes"] == RECIPE["minutes"] and model["scores"]["naming/zh"]["right"] == pytest.approx(0.89)
        assert "naming/name" not in model["scores"], "kinds of questions stay with the checkpoint"
        assert collected["studies"]["without-2"]["minutes"] == {"1": 1.0, "3": 3.0}
        assert [timing["machine"]["name"] for timing in collected["timings"]] == ["a CPU"]

    def test_short_runs_are_named_after_what_they_lack(self, collected):
        names = [label(name, one) for name, one in collected["studies"].items()]
        assert names == ["with all", "grey pictures", "one tile", "without stage 2", "frozen tower"]
        assert collected["studies"]["frozen-tower"]["changes"] == {"stages.2.trained_parts": ["language_model"]}

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda make_run: make_run("other", 0.5, blind=True), "`--studies` must begin with the run that"),
            (lambda make_run: make_run("other", 0.5, is_seen_blind=True), "call `evaluate` without `--blind`"),
            (lambda make_run: make_run("other", 0.5).parent, "`--studies` must name a run that was trained"),
        ],
        ids=["nothing to compare with", "other pictures", "no run"],
    )
    def test_what_is_refused(self, make_run, tmp_path, make, message, monkeypatch):
        monkeypatch.setenv("LLADA_DEBUG", "1")
        command = ["collect", "--run", str(make_run("run", 0.5)), "--studies", str(make(make_run))]
        with pytest.raises(ValueError, match=message):
            main([*command, "--json", str(tmp_path / "vision.json")])

    def test_a_run_that_was_not_evaluated_is_refused(self, make_run, tmp_path):
        run = make_run("run", 0.5)
        (run / "results.json").unlink()
        with pytest.raises(ValueError, match="`--run` must name .*no .*results.json. Run `evaluate` first."):
            main(["collect", "--run", str(run), "--json", str(tmp_path / "vision.json")])

    def test_two_runs_of_one_name_are_refused(self, make_run, tmp_path):
        run = str(make_run("run", 0.5))
        with pytest.raises(ValueError, match="folders with different names"):
            main(["collect", "--run", run, "--studies", run, run, "--json", str(tmp_path / "vision.json")])


class TestTables:
    def test_scores_that_reach_what_was_required_are_bold(self):
        rows = results_table(scores(0.5, reading=0.8)).splitlines()
        assert any(
            row.startswith("| reading ") and "| **80.0%** (75.0% to 85.0%) | 80% | 76.0% | 84.0% |" in row
            for row in rows
        )
        assert any(row.startswith("| naming ") and "| 50.0% (45.0% to 55.0%) | 60% |" in row for row in rows)

    def test_the_verdict_names_what_was_missed(self):
        text = verdict(scores(0.5, reading=0.8))
        assert "The aims set before the training were naming 60%, position 90%, " in text
        assert "Reached: reading. Missed: naming (50.0%), position (50.0%), " in text
        assert "Missed" not in verdict(scores(0.95)) and "Reached" not in verdict(scores(0.5))
        assert set(REQUIRED) < set(TASKS)

    def test_short_runs_are_bold_where_they_are_surely_worse(self, collected):
        table = studies_table(collected["studies"])
        assert "|  | with all | grey pictures | one tile | without stage 2 | frozen tower |" in table
        assert "| minutes of the stages | 3.0 | 3.0 | 3.0 | 2.0 | 3.0 |" in table
        assert "| naming | 60.0% | **10.0%** | 55.0% | **20.0%** | **40.0%** |" in table

    def test_seconds_of_each_machine(self, collected):
        assert "| a CPU, 1 thread | threshold 0.9 | 0.26 | 1.5 |" in seconds_section(collected["timings"])
        assert seconds_section([]) == ""


class TestClaim:
    @pytest.fixture
    def claim(self, collected, tmp_path):
        pytest.importorskip("matplotlib", reason="matplotlib is not part of this environment")
        from evidence.__main__ import Claim

        return Claim("claim_vision", tmp_path)

    def test_what_is_said(self, claim):
        summary = claim.module.summary(claim.results)
        assert "A LLaDA-V of 11.2 million parameters, trained in 4 minutes" in summary
        assert "grey pictures 50.0, one tile 5.0, without stage 2 40.0 and frozen tower 20.0" in summary
        section = claim.section()
        assert "- No short run was measured: without stage 1." in section and "measured: one tile" not in section
        assert "| one tile | 5.0 | " in section

    def test_commands_are_those_that_made_the_runs(self, claim):
        commands = {one.does: one for one in claim.module.commands(claim.results)}
        assert commands["the model"].seconds == 240.0 and commands["seconds of an answer"].device == "a CPU, 1 thread"
        text = commands["short run, without stage 2"].text
        assert text.endswith("--output-dir runs/without-2 --base runs/vision --minutes 1=1,3=3 --skip-stage 2")
        assert commands["short run, grey pictures"].text.endswith("--blind")
        assert commands["short run, frozen tower"].text.endswith('--set "stages.2.trained_parts=[language_model]"')

    def test_without_short_runs(self, claim, collected):
        results = {"measured": collected | {"studies": {}}}
        assert "Short runs" not in claim.module.measured(results)
        assert claim.module.summary(results).endswith("two-step /think 85.0%.")
        assert len(claim.module.commands(results)) == 3

    def test_the_plot_has_pictures_and_tiles_apart_from_the_rest(self, claim):
        for svg in claim.pictures().values():
            assert all(f"{name}<" in svg for name in ("grey pictures", "frozen tower"))
            assert svg.count("the model<") == 2, "in the legend of each panel"
