# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The plot of docs/quality.md: a panel for each task, with the paired difference against forward passes for a token."""

from matplotlib.lines import Line2D

from evidence.quality.settings import DRAFT_RULES, RULES, settings_of
from evidence.quality.statistics import Comparison
from evidence.quality.tasks import TASKS
from reporting.plots import MARKERS, Plot, logarithmic, panel, series


FAMILIES = list(dict.fromkeys(rule.family for rule in [*RULES, *DRAFT_RULES]))
CACHES = {None: "no cache", "dual": "dual cache"}  # the other caches are in the tables


def draw(figure, values: dict, theme) -> None:
    tasks = [task for task in TASKS if settings_of(task)[0].key in values["results"]]
    for number, task in enumerate(reversed(tasks)):
        height = 0.9 / len(tasks)
        place = (0.08, 0.06 + number * height, 0.9, height - 0.09)
        title = f"{task}: {TASKS[task][1]}".replace(" (五言绝句)", "")  # the font has no Chinese
        axes = panel(figure, place, title, "", "exact match, difference in points")
        axes.axhline(0, color=theme.ink, linewidth=1.2, linestyle="--")
        for index, family in enumerate(FAMILIES):
            for cache in CACHES:
                draw_points(axes, theme, index, points_of(task, family, cache, values), filled=cache is None)
        logarithmic(axes, "x", [0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
        axes.set_xlim(0.09, 1.1)
        if number == 0:
            axes.set_xlabel("forward passes for a token")
    handles = [
        Line2D([], [], color=theme.series[index], marker=MARKERS[index], linestyle="none", label=family)
        for index, family in enumerate(FAMILIES)
    ]
    handles += [
        Line2D([], [], color=theme.ink, marker="o", linestyle="none", markerfacecolor=color, label=name)
        for color, name in zip((theme.ink, theme.paper), CACHES.values(), strict=True)
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.06, 0.995), ncols=5, fontsize=9)


def points_of(task: str, family: str, cache: str | None, values: dict) -> list[tuple[float, Comparison]]:
    """Forward passes for a token and the comparison of each setting with the block length of the baseline."""
    baseline, *settings = settings_of(task)
    chosen = [
        one
        for one in settings
        if (one.rule.family, one.cache, one.block_length) == (family, cache, baseline.block_length)
    ]
    results = values["results"]
    return [
        (results[one.key]["forward_passes"] / results[one.key]["tokens"], comparison)
        for one in chosen
        if (comparison := Comparison.of(one, values)) is not None
    ]


def draw_points(axes, theme, index: int, points: list[tuple[float, Comparison]], filled: bool) -> None:
    if points:
        passes, found = zip(*points, strict=True)
        columns = [[getattr(one, name) for one in found] for name in ("difference", "low", "high")]
        series(axes, theme, index, "", passes, *columns, line=False, filled=filled)


PLOT = Plot(
    "quality",
    "Difference of exact match from one token a step against forward passes for a token, on lines, couplets and poems, for each "
    "rule without a cache and with the dual cache. Bars are paired 95% intervals.",
    draw,
    (9.0, 9.5),
)
