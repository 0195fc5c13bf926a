# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Plots as SVG that have the same bytes on every machine.

matplotlib is pinned and runs with its own defaults and its own font, whatever the settings of a machine are. Text stays text.
Axes have fixed places, so that nothing depends on how wide a text is. Coordinates are rounded, because two processors may
differ in the last digit of a logarithm. Ids are numbered anew, because matplotlib makes them from unrounded coordinates.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """The colours of background, text, grid lines and series. Series differ in lightness too, for any kind of colour vision."""

    name: str
    paper: str
    ink: str
    faint: str
    series: tuple[str, ...]


# fmt: off
LIGHT = Theme(
    "light", "#ffffff", "#1f2328", "#d8dee4",
    ("#0072b2", "#d55e00", "#009e73", "#8c4a7f", "#6e7781", "#a8730a", "#cf2260"),
)
DARK = Theme(
    "dark", "#0d1117", "#e6edf3", "#30363d",
    ("#56b4e9", "#ff8c42", "#2fd0a0", "#e0a3d0", "#9198a1", "#f0e442", "#ff7aa8"),
)
# fmt: on
THEMES = (LIGHT, DARK)
MARKERS = ("o", "s", "^", "D", "v", "X", "P")  # each series has its own marker
SETTINGS = {
    "svg.hashsalt": "modeling_llada",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 10.0,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.0,
    "axes.titley": 1.03,  # the default depends on the size of the tick labels
    "axes.grid": True,
    "axes.axisbelow": True,
    "xtick.minor.visible": False,
    "legend.frameon": False,
    "path.simplify": False,
}
METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
NUMBER = re.compile(r"-?\d+\.\d+")
ATTRIBUTE = re.compile(r'(?<= )(d|x|y|x1|x2|y1|y2|cx|cy|r|width|height|points|transform|viewBox)="[^"]*"')


@dataclass(frozen=True)
class Plot:
    """A plot of a page."""

    name: str  # the beginning of its file names
    alt: str  # a description for readers who cannot see it
    draw: Callable[[Figure, Any, Theme], None]  # draws results on a figure; [`panel`] makes the axes
    size: tuple[float, float] = (8.0, 4.0)  # in inches


def draw_themes(plot: Plot, results: Any) -> dict[str, str]:
    """The SVG documents of a plot by file name, one for each theme."""
    return {f"{plot.name}-{theme.name}.svg": draw_svg(plot, results, theme) for theme in THEMES}


def draw_svg(plot: Plot, results: Any, theme: Theme = LIGHT) -> str:
    """Draws a plot as an SVG document."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS | colours(theme))
        figure = Figure(figsize=plot.size, facecolor=theme.paper)
        plot.draw(figure, results, theme)
        document = io.StringIO()
        FigureCanvasSVG(figure).print_svg(document, metadata=METADATA)
    return settle(document.getvalue())


def colours(theme: Theme) -> dict:
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return dict.fromkeys(names, theme.ink) | {"axes.facecolor": theme.paper, "grid.color": theme.faint}


def settle(document: str) -> str:
    """Rounds the coordinates of an SVG document, and numbers its ids in their order."""
    document = ATTRIBUTE.sub(lambda match: NUMBER.sub(round_number, match.group()), document)
    names: dict[str, str] = {}
    for name in re.findall(r'\bid="([^"]+)"', document):
        names.setdefault(name, f"n{len(names)}")
    document = re.sub(r'\bid="([^"]+)"', lambda match: f'id="{names[match.group(1)]}"', document)
    document = re.sub(r'(href="#|url\(#)([^")]+)', lambda match: match.group(1) + names[match.group(2)], document)
    return re.sub(r"[ \t]+$", "", document, flags=re.M)


def round_number(match: re.Match) -> str:
    rounded = round(float(match.group()), 2)
    return f"{rounded + 0.0:g}" if abs(rounded) < 1e5 else match.group()


def panel(figure: Figure, place: tuple[float, float, float, float], title: str, x: str, y: str) -> Axes:
    """
    Adds axes at a fixed place: left, bottom, width and height, as fractions of the figure. The label of the y axis stands above
    it, where it is easy to read.
    """
    axes = figure.add_axes(place)
    axes.set_title(f"{title}\n{y}" if title else y, linespacing=1.4)
    axes.set_xlabel(x)
    axes.xaxis.set_label_coords(0.5, -0.13)
    return axes


def logarithmic(axes: Axes, which: str, ticks: list[float], write: Callable[[float], str] = "{:,g}".format) -> None:
    """Makes an axis logarithmic, with these ticks, by default as plain numbers."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axis.set_major_formatter(matplotlib.ticker.FixedFormatter(list(map(write, ticks))))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def series(axes: Axes, theme: Theme, index: int, label: str, x, value, low, high, line=True, filled=True) -> None:
    """Draws points with the ends of their intervals, joined by a line."""
    colour = theme.series[index]
    below = [a - b for a, b in zip(value, low, strict=True)]
    above = [b - a for a, b in zip(value, high, strict=True)]
    axes.errorbar(
        x,
        value,
        yerr=[below, above],
        label=label,
        color=colour,
        marker=MARKERS[index],
        markerfacecolor=colour if filled else theme.paper,
        markersize=4.5,
        linestyle="-" if line else "none",
        linewidth=1.4,
        elinewidth=1.0,
        capsize=2.0,
    )
