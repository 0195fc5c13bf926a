# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising as an SVG file that moves by itself: sharp at any size, with the fonts and the colour scheme of the reader."""

from html import escape

from .cells import Cell, Picture
from .colors import confidence_color
from .svg import CELL_HEIGHT, MARGIN, lay_out, wrap_svg
from .timing import Timing, clean


FRESH_STEPS = 2  # how long a new token stays highlighted
HEAD_HEIGHT, FOOT_HEIGHT, MIN_WIDTH = 36, 40, 420
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
    Draws a denoising that plays for ever. Where nothing moves, it shows the result.

    Args:
        pictures (`list[Picture]`):
            The pictures, from `pictures_of`.
        title (`str`, *optional*):
            A line above.
        columns (`int`, *optional*):
            The cells of a line, for verse. By default 24 Han characters.
        timing ([`Timing`], *optional*):
            How long pictures stand.

    Returns:
        `str`: The SVG document.

    Raises:
        `ValueError`: if there are no pictures.

    Example:

    ```python
    >>> from modeling_llada.drawing import animated_svg, pictures_of, write_atomically

    >>> write_atomically("denoising.svg", animated_svg(pictures_of(streamer.record.frames), columns=12))
    ```
    """
    if not pictures:
        raise ValueError("`pictures` is empty: there is nothing to draw before the first step.")
    last = pictures[-1]
    kept = [cell for cell in last.cells if cell.state != "pad"]
    labels = [clean(cell) for cell in kept]
    places, width, height = lay_out(labels, 2 * (columns or 24))
    clock = Clock(last.step + 1, timing)
    full_width = max(width, MIN_WIDTH) + 2 * MARGIN
    left, top = (full_width - width) // 2, MARGIN + (HEAD_HEIGHT if title else 0)
    shapes = [f'<text class="note" x="{MARGIN}" y="{MARGIN + 12}">{escape(title)}</text>'] if title else []
    for cell, label, (x, y, cell_width) in zip(kept, labels, places, strict=True):
        if label.strip("\n") or not label:
            shapes += draw_moving(cell, label, (left + x, top + y, cell_width))
    bottom = top + height + FOOT_HEIGHT
    shapes.append(
        f'<rect class="mask" x="{MARGIN}" y="{bottom - 14}" width="{full_width - 2 * MARGIN}" height="4" rx="2"/>'
    )
    shapes.append(
        f'<rect class="go" x="{MARGIN}" y="{bottom - 14}" width="{full_width - 2 * MARGIN}" height="4" rx="2"/>'
    )
    steps = {cell.step for cell in kept if cell.step is not None}
    return wrap_svg([clock.style(steps), *shapes], full_width, bottom + MARGIN - 14)


def draw_moving(cell: Cell, label: str, box: tuple[int, int, int]) -> list[str]:
    """The shapes of one cell: what was given stands, a committed token comes with its step."""
    x, y, width = box
    place = f'x="{x}" y="{y}" width="{width}" height="{CELL_HEIGHT}" rx="6"'
    kind = " special" if cell.is_special else ""

    def text(name: str) -> str:
        return f'<text class="cell {name}{kind}" x="{x + width / 2:g}" y="{y + 25}">{escape(label)}</text>'

    if cell.step is None:
        return [text("given")] if cell.state == "given" else [f'<rect class="mask" {place}/>']
    color = confidence_color(cell.confidence if cell.confidence is not None else 1.0)
    bar_width = (width - 8) * (cell.confidence or 0)
    bar = f'<rect fill="{color}" x="{x + 4}" y="{y + CELL_HEIGHT - 5}" width="{bar_width:.1f}" height="2.5" rx="1"/>'
    return [
        f'<rect class="mask" {place}/>',
        f'<g class="on" style="animation-name: k{cell.step}"><rect class="card" stroke="none" {place}/>'
        f'<rect fill="{color}" fill-opacity="0.18" {place}/>{bar}{text("known")}</g>',
        f'<g class="on past" style="animation-name: f{cell.step}"><rect fill="{color}" {place}/>{text("fresh")}</g>',
    ]


class Clock:
    """
    When each step happens, as parts of one round of the animation.

    Args:
        num_steps (`int`):
            The number of steps.
        timing ([`Timing`]):
            How long pictures stand.
    """

    def __init__(self, num_steps: int, timing: Timing) -> None:
        self.timing, self.num_steps = timing, num_steps
        self.total = timing.start + num_steps * timing.step + timing.end

    def percent(self, step: int) -> float:
        """When a step happens."""
        return round(100 * (self.timing.start + step * self.timing.step) / self.total, 2)

    def style(self, steps: set[int]) -> str:
        """The animations of these steps."""
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
