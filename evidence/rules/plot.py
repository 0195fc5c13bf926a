# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The plot of docs/rules.md: quality against forward passes and against seconds, two panels for each task."""

from evidence.quality.settings import RULES
from reporting.plots import Plot, logarithmic, panel, series


TASKS = ("line", "couplet", "poem", "sudoku", "exact")
FAMILIES = list(dict.fromkeys(rule.family for rule in RULES))
PUBLISHED = "examples/rules/"
TICKS = [0.03, 0.06, 0.12, 0.25, 0.5, 1.0]


def draw(figure, values: dict, theme) -> None:
    family_of = {rule.label: rule.family for rule in RULES}
    for number, task in enumerate(reversed(TASKS)):
        bottom = 0.05 + number * 0.187
        passes = panel(figure, (0.06, bottom, 0.43, 0.115), task, "", "quality (%)")
        seconds = panel(figure, (0.55, bottom, 0.43, 0.115), task, "", "quality (%)")
        for index, family in enumerate([*FAMILIES, PUBLISHED]):
            found = [
                one for label, one in values["compared"][task].items() if family_of.get(label, PUBLISHED) == family
            ]
            columns = [[one["quality"][name] for one in found] for name in ("mean", "low", "high")]
            series(passes, theme, index, family, [one["passes_per_token"] for one in found], *columns, line=False)
            series(seconds, theme, index, family, [1 / one["fewer_seconds"] for one in found], *columns, line=False)
        for axes in (passes, seconds):
            logarithmic(axes, "x", TICKS)
            axes.set_xlim(0.02, 1.4)
            axes.set_ylim(-3, 106)
        if number == 0:
            passes.set_xlabel("forward passes for a token")
            seconds.set_xlabel("seconds, one token a step is 1")
            for axes in (passes, seconds):
                axes.xaxis.set_label_coords(0.5, -0.28)
            handles, labels = passes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.04, 0.998), ncols=7, fontsize=8)


PLOT = Plot(
    "rules",
    "Quality against forward passes for a token and against seconds, on lines, couplets, poems, Sudoku and a model whose "
    "probabilities are known, for the families of built-in rules and for those of examples/rules.",
    draw,
    (9.0, 13.0),
)
