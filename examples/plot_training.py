# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Draws the log of a training run: the loss, the cross-entropy by mask rate, and the accuracy on masked tokens.

    python examples/plot_training.py runs/poet-instruct training.svg                              # its last checkpoint
    python examples/plot_training.py checkpoints/llada-poet/training_log.json training.svg

Lines are training, as it was logged. Dots are evaluations, where there are any.
"""

import argparse
import json
import math
import sys
from html import escape
from pathlib import Path

from modeling_llada.training import find_last_checkpoint
from modeling_llada.writing import write_atomically


WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP, BOTTOM = 860, 170, 60, 24, 58, 70, 52  # in pixels
# By title: the curves of a panel, each the name of its metric and what the legend calls it.
PANELS = {
    "loss: cross-entropies weighted with 1/t": {"loss": "training"},
    "cross-entropy of masked tokens, nats, by mask rate t": {
        "loss_t_0_25": "t up to 0.25",
        "loss_t_25_50": "0.25 to 0.5",
        "loss_t_50_75": "0.5 to 0.75",
        "loss_t_75_100": "0.75 to 1",
    },
    "part of masked tokens that is predicted right": {"masked_accuracy": "training"},
}
STYLE = """
  .card { fill: #ffffff; stroke: #d8dee4 }
  text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #57606a }
  .title { font-weight: 600; fill: #1f2328 }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
  .c0 { stroke: #1f6feb } .dot.c0 { fill: #1f6feb }
  .c1 { stroke: #0f766e } .dot.c1 { fill: #0f766e }
  .c2 { stroke: #c2570c } .dot.c2 { fill: #c2570c }
  .c3 { stroke: #8250df } .dot.c3 { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d }
    text { fill: #9198a1 }
    .title { fill: #f0f6fc }
    .grid { stroke: #30363d }
    .c0 { stroke: #58a6ff } .dot.c0 { fill: #58a6ff }
    .c1 { stroke: #2dd4bf } .dot.c1 { fill: #2dd4bf }
    .c2 { stroke: #fb923c } .dot.c2 { fill: #fb923c }
    .c3 { stroke: #b392f0 } .dot.c3 { fill: #b392f0 }
  }
"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "run", type=Path, help="output folder of a run, or its trainer_state.json or training_log.json"
    )
    parser.add_argument("output", type=Path, help="the SVG file to write")
    args = parser.parse_args(arguments)
    write_atomically(args.output, training_svg(read_log(args.run)))
    sys.stdout.write(f"Wrote {args.output}.\n")


def read_log(path: Path) -> list[dict]:
    """The log lines of a run, whichever file holds them."""
    if path.is_dir():
        checkpoint = find_last_checkpoint(path)
        path = Path(checkpoint) / "trainer_state.json" if checkpoint else path / "training_log.json"
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


def training_svg(log: list[dict]) -> str:
    """
    Draws a log.

    Args:
        log (`list[dict]`):
            Entries with a `step` and metrics; those of an evaluation begin with `eval_`.

    Returns:
        `str`: The SVG document, the same bytes for the same log.
    """
    last = max(entry["step"] for entry in log)
    panels = {title: curves for title, curves in PANELS.items() if any(points_of(log, name) for name in curves)}
    shapes, top = [], TOP
    for title, curves in panels.items():
        shapes += draw_panel(log, title, curves, last, top)
        top += PANEL_HEIGHT + GAP
    height = top - GAP + BOTTOM
    shapes.append(text(LEFT + (WIDTH - LEFT - RIGHT) / 2, height - 12, "step", anchor="middle"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    card = f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="12"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", card, *shapes, "</svg>", ""])


def points_of(log: list[dict], name: str) -> list[tuple[int, float]]:
    return [(entry["step"], float(entry[name])) for entry in log if math.isfinite(float(entry.get(name, math.nan)))]


def evaluations_of(log: list[dict], name: str) -> list[tuple[int, float]]:
    """Of one dataset or of several, whose names stand between."""
    names = sorted({key for entry in log for key in entry if key.startswith("eval_") and key.endswith(f"_{name}")})
    return [point for key in names for point in points_of(log, key)]


def draw_panel(log: list[dict], title: str, curves: dict[str, str], last: int, top: int) -> list[str]:
    """The axes of a panel, a line and the dots of each curve, and the legend."""
    lines = {name: points_of(log, name) for name in curves}
    dots = {name: evaluations_of(log, name) for name in curves}
    values = [value for points in [*lines.values(), *dots.values()] for _, value in points]
    low, high, ticks = scale(min(values), max(values))
    x_of = lambda step: round(LEFT + (WIDTH - LEFT - RIGHT) * step / last, 1)  # noqa: E731
    y_of = lambda value: round(top + PANEL_HEIGHT * (high - value) / (high - low), 1)  # noqa: E731

    shapes = [text(LEFT, top - 26, title, kind="title")]
    for value in ticks:
        shapes.append(f'<line class="grid" x1="{LEFT}" y1="{y_of(value)}" x2="{WIDTH - RIGHT}" y2="{y_of(value)}"/>')
        shapes.append(text(LEFT - 8, y_of(value) + 4, f"{value:g}", anchor="end"))
    for step in scale(0, last)[2]:
        if step <= last:
            shapes.append(text(x_of(step), top + PANEL_HEIGHT + 18, f"{step:,g}", anchor="middle"))
    x = LEFT
    for number, (name, label) in enumerate(curves.items()):
        label += ", dots: evaluation" if dots[name] else ""
        shapes += [f'<circle class="dot c{number}" cx="{x + 5}" cy="{top - 13}" r="4"/>', text(x + 14, top - 9, label)]
        x += 40 + 7 * len(label)
        path = " ".join(f"{x_of(step)},{y_of(value)}" for step, value in lines[name])
        shapes.append(f'<polyline class="line c{number}" points="{path}"/>')
        shapes += [f'<circle class="dot c{number}" cx="{x_of(s)}" cy="{y_of(v)}" r="3.5"/>' for s, v in dots[name]]
    return shapes


def scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Round numbers around a range, from zero if it is near, and three to six marks between."""
    low = 0.0 if 0 <= low < high / 2 else low
    rough = (high - low or abs(high) or 1.0) / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough)
    first, end = math.floor(low / step + 1e-9), max(math.ceil(high / step - 1e-9), math.floor(low / step + 1e-9) + 1)
    ticks = [round(number * step, 10) for number in range(first, end + 1)]
    return ticks[0], ticks[-1], ticks


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(content)}</text>'


if __name__ == "__main__":
    main()
