# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising as an SVG picture: a line for each of some denoising steps."""

from html import escape

from ..streaming.frames import TokenState
from ..streaming.records import DenoisingRecord
from .cells import Cell, picture_of
from .colors import confidence_color
from .layout import CELL_HEIGHT, lay_out, printable
from .timing import thin_out


ROW_GAP, MARGIN, LABEL_WIDTH, MIN_WIDTH = 12, 28, 44, 420  # in pixels
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
    record: DenoisingRecord,
    row: int = 0,
    caption: str = "",
    max_frames: int = 10,
    max_width: int = 68,
    skip_prompt: bool = False,
) -> str:
    """
    Draws the denoising of one row: a line for each of some denoising steps, a column for each token. The tokens that
    were committed since the line above stand on the colour of their confidence. Padding is left out.

    Args:
        record ([`DenoisingRecord`]):
            The record of a [`RecordingStreamer`], or `DenoisingRecord.from_output`.
        row (`int`, *optional*, defaults to 0):
            The row to draw.
        caption (`str`, *optional*):
            A line below the picture.
        max_frames (`int`, *optional*, defaults to 10):
            The largest number of denoising steps to draw, at even distances. The start is drawn as well.
        max_width (`int`, *optional*, defaults to 68):
            The width at which a line is wrapped, in half Han characters.
        skip_prompt (`bool`, *optional*, defaults to `False`):
            Whether to draw only the completion.

    Returns:
        `str`: The SVG document.

    Raises:
        `ValueError`: if the record is not complete, has no such row, or `max_frames` is smaller than 1.

    Example:

    ```python
    >>> from modeling_llada.drawing import denoising_svg
    >>> from modeling_llada.streaming import DenoisingRecord
    >>> from modeling_llada.writing import write_atomically

    >>> output = model.generate(**inputs, return_dict_in_generate=True, output_trajectory=True)
    >>> record = DenoisingRecord.from_output(output, inputs["input_ids"], tokenizer, model.config.mask_token_id)
    >>> write_atomically("denoising.svg", denoising_svg(record))
    ```
    """
    check_record(record, row, max_frames)
    start, final = record.frames[0], record.frames[-1]
    is_text = final.states[row] != TokenState.PAD
    steps = [frame for frame in record.frames if (frame.states[row, is_text] == TokenState.NEW).any()]
    result = picture_of(final, row=row)
    layout = lay_out(result, max_width, start=final.prompt_length if skip_prompt else 0)
    before, shapes, top = start, [], MARGIN
    for frame in thin_out([start, *steps], max_frames + 1):
        picture, has_changed = picture_of(frame, row=row), (frame.tokens != before.tokens)[row].tolist()
        shapes.append(f'<text class="note" x="{MARGIN}" y="{top + 22}">{frame.step + 1 or "start"}</text>')
        for place in layout.places:
            cell, last = picture.cells[place.position], result.cells[place.position]
            kind = kind_of(cell, has_changed[place.position])
            # A token that an edit replaced later has the place of the last one.
            is_last = frame.tokens[row, place.position] == final.tokens[row, place.position]
            shown, label = (last, place.label) if is_last else (cell, printable(cell.label).strip())
            box = (MARGIN + LABEL_WIDTH + place.x, top + place.y, place.width)
            shapes += draw_cell(*box, label, kind, shown.is_special, confidence_color(cell.confidence))
        before, top = frame, top + layout.height + ROW_GAP
    width = max(layout.width + LABEL_WIDTH, MIN_WIDTH) + 2 * MARGIN
    shapes += draw_legend(width, top + 18, caption)
    return wrap_svg(shapes, width, height=top + 18 + MARGIN)


def check_record(record: DenoisingRecord, row: int, max_frames: int) -> None:
    """Raises a `ValueError` if this cannot be drawn."""
    if not record.frames or not record.frames[-1].is_final:
        raise ValueError("`record` is not complete. Draw it after `generate` has returned.")
    num_rows = len(record.frames[-1].tokens)
    if not 0 <= row < num_rows:
        raise ValueError(f"`row` must be one of the {num_rows} rows of the record, but got {row}.")
    if max_frames < 1:
        raise ValueError(f"`max_frames` must be at least 1, but got {max_frames}.")


def kind_of(cell: Cell, has_changed: bool) -> str:
    """How a line shows a token: `given`, `mask`, `fresh` (committed since the line above) or `known`."""
    if cell.state in ("given", "mask"):
        return cell.state
    return "fresh" if has_changed else "known"


def draw_cell(x: int, y: int, width: int, text: str, kind: str, special: bool, color: str) -> list[str]:
    """The elements of one token; `kind` is `given`, `mask`, `fresh` or `known`."""
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
    """The elements of the caption on the left and the scale of the confidences on the right."""
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
    """The document around the elements. Its background follows the colour scheme of the reader."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    card = f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="12"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", card, *shapes, "</svg>", ""])
