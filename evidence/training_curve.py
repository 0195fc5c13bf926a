# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Draws the log of a training run: the loss, the cross-entropy by mask rate, and the accuracy on masked tokens.

    python -m evidence.training_curve runs/poet-instruct training.svg      # the log of its last checkpoint
    python -m evidence.training_curve checkpoints/llada-poet/training_log.json training.svg --dark

Lines are the logged training values. Dots are evaluations, if there are any.
"""

import argparse
import json
import math
from pathlib import Path

from modeling_llada.training.resuming import checkpoints_of
from modeling_llada.writing import write_atomically
from reporting.plots import DARK, LIGHT, Plot, draw_svg, panel


# The curves of each panel: the name of a metric, and its name in the legend.
PANELS = {
    "loss: cross-entropies weighted with 1/t": {"loss": "training"},
    "cross-entropy by mask rate t (nats)": {
        "loss_t_0_25": "t up to 0.25",
        "loss_t_25_50": "0.25 to 0.5",
        "loss_t_50_75": "0.5 to 0.75",
        "loss_t_75_100": "0.75 to 1",
    },
    "share of masked tokens that are predicted right": {"masked_accuracy": "training"},
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "run", type=Path, help="output folder of a run, or its trainer_state.json or training_log.json"
    )
    parser.add_argument("output", type=Path, help="the SVG file to write")
    parser.add_argument("--dark", action="store_true", help="light text on a dark background")
    args = parser.parse_args(arguments)
    try:
        log = read_log(args.run)
    except ValueError as error:
        parser.error(str(error))
    write_atomically(args.output, training_svg(log, args.dark))
    print(f"Wrote {args.output}.")


def read_log(path: Path) -> list[dict]:
    """The log entries of a run, from any of the files that may have them."""
    if path.is_dir():
        logs = [folder / "trainer_state.json" for folder in checkpoints_of(path)] + [path / "training_log.json"]
        path = next((log for log in logs if log.is_file()), logs[-1])
    if not path.is_file():
        raise ValueError(
            f"`run` must be a log, or a folder with a checkpoint or a training_log.json, but there is no {path}. "
            "A run writes its log with each checkpoint, every `--save_steps` steps."
        )
    log = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(log, dict):
        log = log.get("log_history", log.get("history", []))
    if not any("loss" in entry for entry in log):
        raise ValueError(f"`run` must be the log of a training run, but {path} has no losses.")
    return log


def training_svg(log: list[dict], dark: bool = False) -> str:
    """Draws the entries of a log. Each has a `step` and metrics; the metrics of an evaluation begin with `eval_`."""
    height = 2.4 * len(panels_of(log))
    return draw_svg(Plot("training", "", draw, (8.6, height)), log, DARK if dark else LIGHT)


def panels_of(log: list[dict]) -> dict[str, dict[str, str]]:
    """The panels that have values."""
    return {title: curves for title, curves in PANELS.items() if any(points_of(log, [name])[0] for name in curves)}


def points_of(log: list[dict], names: list[str]) -> tuple[list[int], list[float]]:
    """The steps and the values of some metrics, without those that are no number."""
    found = [(entry["step"], float(entry[name])) for name in names for entry in log if name in entry]
    found = [(step, value) for step, value in found if math.isfinite(value)]
    return [step for step, _ in found], [value for _, value in found]


def evaluations_of(log: list[dict], name: str) -> tuple[list[int], list[float]]:
    """The same of evaluations, which may have the name of a dataset between `eval_` and the metric."""
    names = {key for entry in log for key in entry if key.startswith("eval_") and key.endswith(f"_{name}")}
    return points_of(log, sorted(names))


def draw(figure, log: list[dict], theme) -> None:
    panels = panels_of(log)
    height = 1 / len(panels)
    for number, (title, curves) in enumerate(panels.items()):
        place = (0.07, 1 - (number + 0.8) * height, 0.9, 0.64 * height)
        evaluations = {name: evaluations_of(log, name) for name in curves}
        has_dots = any(steps for steps, _ in evaluations.values())
        axes = panel(figure, place, "", "", title + (", dots: evaluation" if has_dots else ""))
        for color, (name, label) in zip(theme.series, curves.items(), strict=False):
            axes.plot(*points_of(log, [name]), color=color, label=label)
            axes.plot(*evaluations[name], color=color, marker="o", markersize=4.5, linestyle="none")
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, fontsize=9, handlelength=1, columnspacing=1)
    axes.set_xlabel("step")
    axes.xaxis.set_label_coords(0.5, -0.17)


if __name__ == "__main__":
    main()
