# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""evidence/training_curve.py: the picture of a log, and the files that a log is read from."""

import json
import re
from pathlib import Path

import pytest


for package in ("trl", "matplotlib"):
    pytest.importorskip(package, reason="it is not part of this environment")

from matplotlib.figure import Figure  # noqa: E402

from evidence import training_curve as script  # noqa: E402
from reporting.plots import LIGHT  # noqa: E402


REPO = Path(__file__).parents[2]
LOG = [
    {"step": 10, "loss": 2.0, "loss_t_0_25": 1.0, "masked_accuracy": 0.25},
    {"step": 20, "loss": 1.0, "loss_t_0_25": 0.5, "masked_accuracy": 0.5},
    {"step": 20, "eval_test_loss": 1.5, "eval_famous_loss": 0.5},
]


def drawn(log):
    """The axes of a log, and the points of their lines and dots: one list for each curve."""
    figure = Figure()
    script.draw(figure, log, LIGHT)
    return figure.axes, [[line.get_xydata().tolist() for line in axes.lines] for axes in figure.axes]


class TestPicture:
    def test_lines_go_through_the_logged_values(self):
        axes, points = drawn(LOG)
        assert points[0][0] == [[10, 2.0], [20, 1.0]]
        assert [one.get_title().split(",")[0] for one in axes] == [title.split(",")[0] for title in script.PANELS]

    def test_evaluations_are_dots(self):
        axes, points = drawn(LOG)
        assert points[0][1] == [[20, 0.5], [20, 1.5]], "famous, then test"
        assert axes[0].get_title().endswith("dots: evaluation")
        assert not drawn(LOG[:2])[0][0].get_title().endswith("dots: evaluation")

    def test_a_panel_without_values_is_left_out(self):
        """The pre-trainer logs a loss alone."""
        assert len(drawn([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}])[0]) == 1

    def test_loss_that_is_not_a_number(self):
        _, points = drawn([*LOG, {"step": 30, "loss": float("nan")}])
        assert len(points[0][0]) == 2

    def test_picture_of_the_docs(self):
        log = script.read_log(REPO / "checkpoints/llada-poet-instruct/training_log.json")
        for name, dark in (("light", False), ("dark", True)):
            shown = (REPO / f"docs/pictures/training-{name}.svg").read_text(encoding="utf-8")
            assert shown == script.training_svg(log, dark)


class TestFiles:
    def test_last_checkpoint_of_a_run(self, tmp_path, capsys):
        for step in (10, 9):
            (tmp_path / f"checkpoint-{step}").mkdir()
            state = {"log_history": [{"step": step, "loss": 1.0}]}
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
        assert script.read_log(tmp_path)[0]["step"] == 10
        script.main([str(tmp_path), str(tmp_path / "out.svg")])
        assert capsys.readouterr().out == f"Wrote {tmp_path / 'out.svg'}.\n"
        assert (tmp_path / "out.svg").read_text(encoding="utf-8").startswith("<?xml")

    @pytest.mark.parametrize("log", [LOG, {"history": LOG}, {"log_history": LOG}], ids=["list", "history", "state"])
    def test_layouts(self, tmp_path, log):
        (tmp_path / "training_log.json").write_text(json.dumps(log))
        assert script.read_log(tmp_path) == script.read_log(tmp_path / "training_log.json") == LOG

    def test_no_log(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            script.main([str(tmp_path), str(tmp_path / "out.svg")])
        assert re.search("`run` must be a log.*--save_steps", capsys.readouterr().err)

    def test_no_losses(self, tmp_path):
        (tmp_path / "log.json").write_text("[]")
        with pytest.raises(ValueError, match="has no losses"):
            script.read_log(tmp_path / "log.json")
