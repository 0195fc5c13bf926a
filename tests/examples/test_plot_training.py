# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""examples/plot_training.py: the picture of a log, and the files that a log is read from."""

import importlib.util
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest


pytest.importorskip("trl", reason="the package of the trainers needs TRL")

REPO = Path(__file__).parents[2]
LOG = [
    {"step": 10, "loss": 2.0, "loss_t_0_25": 1.0, "masked_accuracy": 0.25},
    {"step": 20, "loss": 1.0, "loss_t_0_25": 0.5, "masked_accuracy": 0.5},
    {"step": 20, "eval_test_loss": 1.5, "eval_famous_loss": 0.5},
]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("plot_training", REPO / "examples" / "plot_training.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shapes(svg: str, kind: str) -> list[ElementTree.Element]:
    return [it for it in ElementTree.fromstring(svg).iter() if kind in it.get("class", "").split()]


def texts(svg: str) -> list[str]:
    return ["".join(it.itertext()) for it in ElementTree.fromstring(svg).iter() if it.tag.endswith("text")]


class TestPicture:
    def test_lines_go_through_the_logged_values(self, script):
        """The loss falls from 2 to 1 on an axis that ends at 2, and the last step is at the right edge."""
        svg = script.training_svg(LOG)
        (x, y), (right, below) = (
            map(float, point.split(",")) for point in shapes(svg, "line")[0].get("points").split()
        )
        assert y == script.TOP and below == script.TOP + script.PANEL_HEIGHT / 2
        assert right == script.WIDTH - script.RIGHT and x == (script.LEFT + right) / 2

    def test_evaluations_are_dots(self, script):
        in_plot = [it for it in shapes(script.training_svg(LOG), "dot") if it.get("r") == "3.5"]
        assert [float(it.get("cy")) - script.TOP for it in in_plot] == [
            script.PANEL_HEIGHT * 3 / 4,  # the famous: 0.5 of 2
            script.PANEL_HEIGHT / 4,
        ]
        assert "training, dots: evaluation" in texts(script.training_svg(LOG))
        assert "training, dots: evaluation" not in texts(script.training_svg(LOG[:2]))

    def test_a_panel_without_values_is_left_out(self, script):
        """The pre-trainer logs a loss alone."""
        svg = script.training_svg([{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}])
        assert len(shapes(svg, "title")) == 1

    @pytest.mark.parametrize("value", [0.0, 1e-6, 0.7, 12345.0])
    def test_a_constant_value_has_an_axis(self, script, value):
        low, high, ticks = script.scale(value, value)
        assert low <= value <= high and low < high and len(ticks) >= 2

    def test_loss_that_is_not_a_number(self, script):
        svg = script.training_svg([*LOG, {"step": 30, "loss": float("nan")}])
        assert "nan" not in svg


class TestFiles:
    def test_last_checkpoint_of_a_run(self, script, tmp_path, capsys):
        for step in (10, 9):
            (tmp_path / f"checkpoint-{step}").mkdir()
            state = {"log_history": [{"step": step, "loss": 1.0}]}
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
        assert script.read_log(tmp_path)[0]["step"] == 10
        script.main([str(tmp_path), str(tmp_path / "out.svg")])
        assert capsys.readouterr().out == f"Wrote {tmp_path / 'out.svg'}.\n"
        assert (tmp_path / "out.svg").read_text(encoding="utf-8").startswith("<svg")

    def test_shipped_log(self, script):
        assert len(script.read_log(REPO / "checkpoints" / "llada-poet" / "training_log.json")) > 100

    @pytest.mark.parametrize("log", [LOG, {"history": LOG}, {"log_history": LOG}], ids=["list", "history", "state"])
    def test_layouts(self, script, tmp_path, log):
        (tmp_path / "training_log.json").write_text(json.dumps(log))
        assert script.read_log(tmp_path) == script.read_log(tmp_path / "training_log.json") == LOG

    def test_no_log(self, script, tmp_path):
        with pytest.raises(ValueError, match="`run` must be a log.*--save_steps"):
            script.read_log(tmp_path)

    def test_no_losses(self, script, tmp_path):
        (tmp_path / "log.json").write_text("[]")
        with pytest.raises(ValueError, match="has no losses"):
            script.read_log(tmp_path / "log.json")
