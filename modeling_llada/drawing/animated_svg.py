# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising as an animated SVG: sharp at any size, with the fonts and the colour scheme of the reader."""

from html import escape

from .cells import Cell, Picture
from .colors import confidence_color
from .layout import CELL_HEIGHT, lay_out_animation
from .svg import MARGIN, MIN_WIDTH, wrap_svg
from .timing import Timing


FRESH_STEPS = 2  # how long a new token stays highlighted
HEAD_HEIGHT, FOOT_HEIGHT = 36, 40
STYLE = """<style>
  .on { animation-duration: %(seconds)gs; animation-iteration-count: infinite; animation-timing-function: step-end }
  .past { opacity: 0 }
  .go { fill: #a8321e; transform-origin: left; transform-box: fill-box; animation: go %(seconds)gs linear infinite }
  @keyframes go { 0%%, %(start)g%% { transform: scaleX(0) } %(end)g%%, 100%% { transform: scaleX(1) } }
  %(keyframes)s
  @media (prefers-color-scheme: dark) { .go { fill: #f0806a } }
  @media (prefers-reduced-motion: reduce) { .on, .go { animation: none } }
</style>"""


def animated_svg(
    pictures: list[Picture],
    title: str = "",
    columns: int | None = None,
    timing: Timing = Timing(),  # noqa: B008
) -> str:
    """
    Draws a denoising that plays again and again. Readers who ask for reduced motion see the result.

    Args:
        pictures (`list[Picture]`):
            The pictures, from `pictures_of`.
        title (`str`, *optional*):
            A line above the picture.
        columns (`int`, *optional*):
            The number of Han characters in a line, for verse. By default 24.
        timing ([`Timing`], *optional*):
            How long the pictures stay.

    Returns:
        `str`: The SVG document.

    Raises:
        `ValueError`: if there are no pictures.

    Example:

    ```python
    >>> from modeling_llada.drawing import animated_svg, pictures_of
    >>> from modeling_llada.writing import write_atomically

    >>> write_atomically("denoising.svg", animated_svg(pictures_of(streamer.record.frames), columns=12))
    ```
    """
    layout = lay_out_animation(pictures, columns)
    result = pictures[-1]
    clock = Clock(result.step + 1, timing)
    width = max(layout.width, MIN_WIDTH) + 2 * MARGIN
    left, top = (width - layout.width) // 2, MARGIN + (HEAD_HEIGHT if title else 0)
    bottom = top + layout.height + FOOT_HEIGHT
    shapes = [f'<text class="note" x="{MARGIN}" y="{MARGIN + 12}">{escape(title)}</text>'] if title else []
    for place in layout.places:
        shapes += draw_moving(result.cells[place.position], place.label, left + place.x, top + place.y, place.width)
    bar = f'x="{MARGIN}" y="{bottom - 14}" width="{width - 2 * MARGIN}" height="4" rx="2"'
    shapes += [f'<rect class="mask" {bar}/>', f'<rect class="go" {bar}/>']
    steps = {cell.step for cell in result.cells if cell.state != "pad" and cell.step is not None}
    return wrap_svg([clock.style(steps), *shapes], width, bottom + MARGIN - 14)


def draw_moving(cell: Cell, label: str, x: int, y: int, width: int) -> list[str]:
    """The elements of one cell: a given token stays, a committed one appears at its step."""
    box = f'x="{x}" y="{y}" width="{width}" height="{CELL_HEIGHT}" rx="6"'
    kind = " special" if cell.is_special else ""

    def text(name: str) -> str:
        return f'<text class="cell {name}{kind}" x="{x + width / 2:g}" y="{y + 25}">{escape(label)}</text>'

    if cell.step is None:
        return [text("given")] if cell.state == "given" else [f'<rect class="mask" {box}/>']
    color = confidence_color(cell.confidence)
    bar_width = (width - 8) * (cell.confidence or 0)
    bar = f'<rect fill="{color}" x="{x + 4}" y="{y + CELL_HEIGHT - 5}" width="{bar_width:.1f}" height="2.5" rx="1"/>'
    return [
        f'<rect class="mask" {box}/>',
        f'<g class="on" style="animation-name: k{cell.step}"><rect class="card" stroke="none" {box}/>'
        f'<rect fill="{color}" fill-opacity="0.18" {box}/>{bar}{text("known")}</g>',
        f'<g class="on past" style="animation-name: f{cell.step}"><rect fill="{color}" {box}/>{text("fresh")}</g>',
    ]


class Clock:
    """When each denoising step happens, in percent of one round of the animation."""

    def __init__(self, num_steps: int, timing: Timing) -> None:
        self.timing, self.num_steps = timing, num_steps
        self.total = timing.start + num_steps * timing.step + timing.end

    def percent(self, step: int) -> float:
        """The moment of a step."""
        return round(100 * (self.timing.start + step * self.timing.step) / self.total, 2)

    def style(self, steps: set[int]) -> str:
        """The style element with the animations of these steps."""
        keyframes = []
        for step in sorted(steps):
            start, end = self.percent(step), self.percent(step + FRESH_STEPS)
            keyframes.append(f"@keyframes k{step} {{ 0% {{ opacity: 0 }} {start:g}%, 100% {{ opacity: 1 }} }}")
            keyframes.append(
                f"@keyframes f{step} {{ 0% {{ opacity: 0 }} {start:g}% {{ opacity: 1 }} {end:g}%, 100% {{ opacity: 0 }} }}"
            )
        return STYLE % {
            "seconds": self.total / 1000,
            "start": self.percent(0),
            "end": self.percent(self.num_steps),
            "keyframes": "\n  ".join(keyframes),
        }
