# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The picture of a denoising in an SVG file."""

import re
from html import escape

import torch
from rich.cells import cell_len

from ..streaming.frames import BROKEN, CanvasFrame, TokenState
from ..streaming.records import DenoisingRecord
from .cells import END_LABEL, picture_of  # noqa: F401  the pictures of the docs take the label from here
from .colors import confidence_color


UNIT, GAP, CELL_HEIGHT, ROW_GAP, MARGIN, LABEL_WIDTH = 14, 4, 34, 12, 28, 44  # in pixels; a Han character is two units
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # control characters
STYLE = """
  .card { fill: #fffdf9; stroke: #e6e1d6 }
  .given { fill: #1f2328; font-weight: 700 }
  .known { fill: #1f2328 }
  .fresh { fill: #ffffff; font-weight: 700 }
  .mask { fill: #e9e5dc }
  .note { fill: #8a8578; font: 13px ui-sans-serif, system-ui, sans-serif }
  .cell { font: 21px "Noto Serif SC", "Source Han Serif SC", "Songti SC", STSong, SimSun, serif; text-anchor: middle }
  .special { font-size: 13px }
  @media (prefers-color-scheme: dark) {
    .card { fill: #161b22; stroke: #30363d }
    .given, .known { fill: #e6edf3 }
    .mask { fill: #2d333b }
    .note { fill: #8b949e }
  }
"""


def denoising_svg(
    record: DenoisingRecord, row: int = 0, caption: str = "", max_frames: int = 10, max_width: int = 68
) -> str:
    """
    Draws the denoising of one row: a line for each of some steps, a column for each token, the newly committed ones on
    the colour of their confidence. Padding is left out.

    Args:
        record ([`DenoisingRecord`]):
            The record of a [`RecordingStreamer`], or `DenoisingRecord.from_output`.
        row (`int`, *optional*, defaults to 0):
            The row to draw.
        caption (`str`, *optional*):
            A line below the picture.
        max_frames (`int`, *optional*, defaults to 10):
            The most steps to draw, evenly spread and the last among them; the start comes on top.
        max_width (`int`, *optional*, defaults to 68):
            The width at which a line is wrapped, in half Han characters.

    Returns:
        `str`: The SVG document.

    Raises:
        `ValueError`: if the record is not whole, or has no such row.

    Example:

    ```python
    >>> from modeling_llada.drawing import denoising_svg, write_atomically
    >>> from modeling_llada.streamers import DenoisingRecord

    >>> output = model.generate(**inputs, return_dict_in_generate=True, output_trajectory=True)
    >>> record = DenoisingRecord.from_output(output, inputs["input_ids"], tokenizer, model.config.mask_token_id)
    >>> write_atomically("denoising.svg", denoising_svg(record))
    ```
    """
    if not record.frames or not record.frames[-1].is_final:
        raise ValueError("`record` is not whole: draw it when `generate` has returned.")
    if not 0 <= row < len(record.frames[-1].tokens):
        raise ValueError(
            f"`row` must be one of the {len(record.frames[-1].tokens)} rows of the record, but got {row}."
        )
    is_text = record.frames[-1].states[row] != TokenState.PAD
    texts, is_special = labels_of(record.frames[-1], row)
    cells, width, frame_height = lay_out(texts, max_width)
    changed = [frame for frame in record.frames if (frame.states[row, is_text] == TokenState.NEW).any()]
    previous, shapes, top = record.frames[0], [], MARGIN
    for frame in choose_frames([previous, *changed], max_frames):
        shapes.append(f'<text class="note" x="{MARGIN}" y="{top + 22}">{frame.step + 1 or "start"}</text>')
        kinds = cell_kinds(frame.states[row, is_text], previous.states[row, is_text])
        confidence = frame.confidence[row, is_text].tolist()
        for cell, text, kind, special, value in zip(cells, texts, kinds, is_special, confidence, strict=True):
            if text.strip("\n") or not text:  # no box for the end of a line
                x, y, cell_width = cell
                box = (MARGIN + LABEL_WIDTH + x, top + y, cell_width)
                shapes += draw_cell(*box, text, kind, special, confidence_color(value))
        previous, top = frame, top + frame_height + ROW_GAP
    width = max(width + LABEL_WIDTH, 420) + 2 * MARGIN
    shapes += draw_legend(width, top + 18, caption)
    return wrap_svg(shapes, width, height=top + 18 + MARGIN)


def labels_of(final: CanvasFrame, row: int) -> tuple[list[str], list[bool]]:
    """What is written for each token of the result that is no padding, and whether it is a special token."""
    cells = [cell for cell in picture_of(final, row=row).cells if cell.state != "pad"]
    return [NO_XML.sub(BROKEN, cell.label) for cell in cells], [cell.is_special for cell in cells]


def choose_frames(frames: list, max_frames: int) -> list:
    """The frames to draw: the first, and then up to `max_frames` evenly spread, the last among them."""
    count = min(max_frames, len(frames) - 1)
    return frames[:1] + [frames[round((len(frames) - 1) * (index + 1) / count)] for index in range(count)]


def lay_out(texts: list[str], max_width: int) -> tuple[list[tuple[int, int, int]], int, int]:
    """The place `(x, y, width)` of each token in a frame, and the size of the frame."""
    cells, x, y, used, right = [], 0, 0, 0, 0
    for text in texts:
        units = max(cell_len(text), 2)
        if used and used + units > max_width:
            x, y, used = 0, y + CELL_HEIGHT + GAP, 0
        cells.append((x, y, units * UNIT))
        x, used = x + units * UNIT + GAP, used + units
        right = max(right, x)
        if text.endswith("\n"):
            x, y, used = 0, y + CELL_HEIGHT + GAP, 0
    return cells, right - GAP, y + CELL_HEIGHT


def cell_kinds(states: torch.ByteTensor, previous: torch.ByteTensor) -> list[str]:
    """What a frame shows of each token: `given`, `mask`, `fresh` (committed since the frame before it) or `known`."""
    kinds = []
    for state, before in zip(states.tolist(), previous.tolist(), strict=True):
        if state in (TokenState.GIVEN, TokenState.MASK):
            kinds.append("given" if state == TokenState.GIVEN else "mask")
        else:
            kinds.append("fresh" if before == TokenState.MASK else "known")
    return kinds


def draw_cell(x: int, y: int, width: int, text: str, kind: str, special: bool, color: str) -> list[str]:
    """The elements of one token."""
    box = f'x="{x}" y="{y}" width="{width}" height="{CELL_HEIGHT}" rx="6"'
    kind_of_text = f"{kind} special" if special else kind
    label = f'<text class="cell {kind_of_text}" x="{x + width / 2:g}" y="{y + 25}">{escape(text)}</text>'
    if kind == "mask":
        return [f'<rect class="mask" {box}/>']
    if kind == "given":
        return [label]
    opacity = "" if kind == "fresh" else ' fill-opacity="0.16"'
    return [f'<rect fill="{color}"{opacity} {box}/>', label]


def draw_legend(width: int, y: int, caption: str) -> list[str]:
    """The caption on the left, and the scale of the confidences on the right."""
    x = width - MARGIN - 120
    stops = "".join(
        f'<stop offset="{offset}" stop-color="{confidence_color(offset)}"/>' for offset in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    return [
        f'<text class="note" x="{MARGIN}" y="{y}">{escape(caption)}</text>',
        f'<linearGradient id="confidence">{stops}</linearGradient>',
        f'<text class="note" x="{x - 10}" y="{y}" text-anchor="end">confidence 0</text>',
        f'<rect fill="url(#confidence)" x="{x}" y="{y - 11}" width="104" height="12" rx="6"/>',
        f'<text class="note" x="{x + 112}" y="{y}">1</text>',
    ]


def wrap_svg(shapes: list[str], width: int, height: int) -> str:
    """The document around the shapes, on a card of its own that follows the reader's colour scheme."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    card = f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="12"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", card, *shapes, "</svg>", ""])
