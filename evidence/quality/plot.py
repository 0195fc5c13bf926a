# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The plot of quality.py: a panel for each task, forward passes for a token on the x axis, the paired difference on y."""

import math
from html import escape

from evidence.quality.settings import DRAFT_RULES, RULES, Setting, settings_of
from evidence.quality.statistics import Comparison, compare
from evidence.quality.tasks import TASKS


WIDTH, PANEL_HEIGHT, LEFT, RIGHT, TOP, GAP, BOTTOM = 860, 250, 70, 24, 84, 62, 56  # in pixels
FAMILIES = list(dict.fromkeys(rule.family for rule in [*RULES, *DRAFT_RULES]))
DRAWN_CACHES = {None: "no cache", "dual": "dual cache"}  # the others are in the table
FEWEST_PASSES = 0.075  # for a token: the left end of the axis
TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
STYLE = """
  .card { fill: #ffffff; stroke: #d8dee4 }
  text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: #57606a }
  .title { font-weight: 600; fill: #1f2328 }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .zero { stroke: #1f2328; stroke-width: 1.5; stroke-dasharray: 5 4 }
  .whisker { stroke-width: 1.5; opacity: 0.55 }
  .hollow { fill: #ffffff; stroke-width: 2 }
  .f0 { stroke: #6e7781 } .f0.full { fill: #6e7781 }
  .f1 { stroke: #1f6feb } .f1.full { fill: #1f6feb }
  .f2 { stroke: #0f766e } .f2.full { fill: #0f766e }
  .f3 { stroke: #c2570c } .f3.full { fill: #c2570c }
  .f4 { stroke: #8250df } .f4.full { fill: #8250df }
  .f5 { stroke: #cf2260 } .f5.full { fill: #cf2260 }
  .f6 { stroke: #8a6d00 } .f6.full { fill: #8a6d00 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d }
    text { fill: #9198a1 }
    .title { fill: #f0f6fc }
    .grid { stroke: #30363d }
    .zero { stroke: #f0f6fc }
    .hollow { fill: #0d1117 }
    .f0 { stroke: #9198a1 } .f0.full { fill: #9198a1 }
    .f1 { stroke: #58a6ff } .f1.full { fill: #58a6ff }
    .f2 { stroke: #2dd4bf } .f2.full { fill: #2dd4bf }
    .f3 { stroke: #fb923c } .f3.full { fill: #fb923c }
    .f4 { stroke: #b392f0 } .f4.full { fill: #b392f0 }
    .f5 { stroke: #ff7aa8 } .f5.full { fill: #ff7aa8 }
    .f6 { stroke: #e3c341 } .f6.full { fill: #e3c341 }
  }
"""


def quality_svg(results: dict[str, dict]) -> str:
    """Draws the results of [`~quality.run`]; a task without any has no panel.

    Args:
        results (`dict[str, dict]`): By the key of the setting.

    Returns:
        `str`: The SVG document, the same bytes for the same results.
    """
    tasks = [task for task in TASKS if settings_of(task)[0].key in results]
    drawn = [setting for task in tasks for setting in drawn_settings(task) if setting.key in results]
    shapes = draw_legend({setting.rule.family for setting in drawn})
    for number, task in enumerate(tasks):
        shapes += draw_panel(task, results, top=TOP + number * (PANEL_HEIGHT + GAP))
    height = TOP + len(tasks) * (PANEL_HEIGHT + GAP) - GAP + BOTTOM
    shapes.append(text(LEFT + (WIDTH - LEFT - RIGHT) / 2, height - 14, "forward passes for a token", anchor="middle"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    card = f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="12"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", card, *shapes, "</svg>", ""])


def draw_legend(families: set[str]) -> list[str]:
    """A dot for each of some families of rules, and the two kinds of dots."""
    shapes, x = [], LEFT
    for index, family in enumerate(FAMILIES):
        if family not in families:
            continue
        shapes += [f'<circle class="f{index} full" cx="{x}" cy="24" r="5"/>', text(x + 10, 28, family)]
        x += 40 + 7 * len(family)
    shapes += ['<circle class="f0 full" cx="70" cy="46" r="5"/>', text(80, 50, "no cache")]
    shapes += ['<circle class="f0 hollow" cx="160" cy="46" r="5"/>', text(170, 50, "dual cache")]
    shapes.append(text(WIDTH - RIGHT, 50, "bars: paired 95% intervals", anchor="end"))
    return shapes


def draw_panel(task: str, results: dict[str, dict], top: int) -> list[str]:
    """The axes of a task and a point for each of its settings."""
    baseline = results[settings_of(task)[0].key]
    points = []
    for setting in drawn_settings(task):
        if setting.key in results and results[setting.key] is not baseline:
            result = results[setting.key]
            points.append((setting, result["forward_passes"] / result["tokens"], compare(result, baseline)))
    lows, highs = [point[2].low for point in points], [point[2].high for point in points]
    low, high = 10 * math.floor(min([*lows, -5]) / 10), 10 * math.ceil(max([*highs, 5]) / 10)
    shapes = draw_axes(task, low, high, top)
    for setting, passes, comparison in points:
        shapes += draw_point(setting, passes, comparison, low, high, top)
    return shapes


def drawn_settings(task: str) -> list[Setting]:
    """Those with the blocks of the baseline."""
    settings = settings_of(task)
    return [
        setting
        for setting in settings
        if setting.cache in DRAWN_CACHES and setting.block_length == settings[0].block_length
    ]


def draw_axes(task: str, low: int, high: int, top: int) -> list[str]:
    shapes = [text(LEFT, top - 10, f"{task}: {TASKS[task][1]}", kind="title")]
    step = max(10, 10 * round((high - low) / 50))
    for value in range(low + (-low) % step, high + 1, step):
        y, kind = y_of(value, low, high, top), "grid" if value else "zero"
        shapes.append(f'<line class="{kind}" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        shapes.append(text(LEFT - 8, y + 4, f"{value:+d}" if value else "0", anchor="end"))
    for value in TICKS:
        x = x_of(value)
        shapes.append(f'<line class="grid" x1="{x}" y1="{top}" x2="{x}" y2="{top + PANEL_HEIGHT}"/>')
        shapes.append(text(x, top + PANEL_HEIGHT + 18, f"{value:g}", anchor="middle"))
    middle = top + PANEL_HEIGHT / 2
    label = text(20, middle, "exact match, points", anchor="middle")
    shapes.append(label.replace("<text ", f'<text transform="rotate(-90 20 {middle:g})" ', 1))
    return shapes


def draw_point(setting: Setting, passes: float, comparison: Comparison, low: int, high: int, top: int) -> list[str]:
    """A dot with its interval; its name appears under the pointer."""
    x, y = x_of(passes), y_of(comparison.difference, low, high, top)
    family = f"f{FAMILIES.index(setting.rule.family)}"
    kind = "full" if setting.cache is None else "hollow"
    name = f"{setting.rule.label}, {DRAWN_CACHES[setting.cache]}: {comparison.difference:+.1f}"
    ends = f'y1="{y_of(comparison.low, low, high, top)}" y2="{y_of(comparison.high, low, high, top)}"'
    return [
        f'<line class="whisker {family}" x1="{x}" x2="{x}" {ends}/>',
        f'<circle class="{family} {kind}" cx="{x}" cy="{y}" r="4.5"><title>{escape(name)}</title></circle>',
    ]


def x_of(passes: float) -> float:
    """On a logarithmic scale."""
    position = math.log(passes / FEWEST_PASSES) / -math.log(FEWEST_PASSES)
    return round(LEFT + position * (WIDTH - LEFT - RIGHT), 1)


def y_of(value: float, low: int, high: int, top: int) -> float:
    return round(top + PANEL_HEIGHT * (high - value) / (high - low), 1)


def text(x: float, y: float, content: str, anchor: str = "start", kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(content)}</text>'
