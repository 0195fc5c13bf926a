# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Plots as SVG, the same bytes on every machine.

matplotlib is pinned, with its own defaults and its own font, whatever a machine has in its settings. Text stays text. Places
are fixed: nothing is laid out by what a text measures. Coordinates are rounded, because two processors may differ in the last
digit of a logarithm, and names are counted, because matplotlib makes them from unrounded coordinates.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib
import matplotlib.ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """
    Colours.

    Args:
        name (`str`): In the name of the file.
        paper, ink, faint (`str`): Of the background, of texts and of grid lines.
        series (`tuple[str, ...]`): Of what is drawn: to be told apart with any kind of colour vision, by lightness too.
    """

    name: str
    paper: str
    ink: str
    faint: str
    series: tuple[str, ...]


LIGHT = Theme(
    "light", "#ffffff", "#1f2328", "#d8dee4", ("#0072b2", "#d55e00", "#009e73", "#8c4a7f", "#6e7781", "#a8730a")
)
DARK = Theme(
    "dark", "#0d1117", "#e6edf3", "#30363d", ("#56b4e9", "#ff8c42", "#2fd0a0", "#e0a3d0", "#9198a1", "#f0e442")
)
THEMES = (LIGHT, DARK)
MARKERS = ("o", "s", "^", "D", "v", "X")  # a series differs in its marker too
SETTINGS = {
    "svg.hashsalt": "modeling_llada",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # matplotlib brings it along
    "font.size": 10.0,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.0,
    "axes.titley": 1.03,  # otherwise it is placed by what the ticks measure
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
    """
    A plot of the page.

    Args:
        name (`str`): Of its files.
        alt (`str`): What it shows, for who cannot see it.
        draw (`Callable[[Figure, dict, Theme], None]`): Draws results; `panel` below makes the axes.
        size (`tuple[float, float]`): In inches.
    """

    name: str
    alt: str
    draw: Callable[[Figure, dict, Theme], None]
    size: tuple[float, float] = field(default=(8.0, 4.0))


def draw_svg(plot: Plot, results: dict, theme: Theme) -> str:
    """The document."""
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
    """Rounds coordinates, and numbers the names in their order."""
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
    Axes at a fixed place.

    Args:
        figure (`Figure`): Where.
        place (`tuple[float, float, float, float]`): Left, bottom, width and height, as parts of the figure.
        title, x (`str`): What it shows, and what is on the x axis, with the unit.
        y (`str`): What is on the y axis: it stands above the axis, where it can be read.
    """
    axes = figure.add_axes(place)
    axes.set_title(f"{title}\n{y}" if title else y, linespacing=1.4)
    axes.set_xlabel(x)
    axes.xaxis.set_label_coords(0.5, -0.13)
    return axes


def logarithmic(axes: Axes, which: str, ticks: list[float]) -> None:
    """A logarithmic axis with these ticks, as plain numbers."""
    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axis.set_major_formatter(matplotlib.ticker.FixedFormatter([f"{tick:,g}" for tick in ticks]))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def series(axes: Axes, theme: Theme, index: int, label: str, x: list, value: list, low: list, high: list, line=True):
    """Points with their intervals, joined by a line."""
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
        markersize=4.5,
        linestyle="-" if line else "none",
        linewidth=1.4,
        elinewidth=1.0,
        capsize=2.0,
    )
