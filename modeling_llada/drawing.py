# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures of the denoising: live in a terminal, and as an SVG file."""

import math
import os
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

import torch
from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from transformers import PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer


MASK_GLYPH = "░░"  # as wide as a Han character
CONFIDENCE_COLORS = ((209, 73, 91), (226, 149, 52), (38, 140, 128))  # at 0, 0.5 and 1
BAR_LENGTH = 24


def confidence_color(confidence: float) -> str:
    """The colour of a confidence in [0, 1], from red over amber to teal.

    Example:

    ```python
    >>> confidence_color(1.0)
    '#268c80'
    ```
    """
    if math.isnan(confidence):
        confidence = 1.0
    position = min(max(confidence, 0.0), 1.0) * (len(CONFIDENCE_COLORS) - 1)
    index = min(int(position), len(CONFIDENCE_COLORS) - 2)
    low, high = CONFIDENCE_COLORS[index : index + 2]
    mixed = (round(a + (b - a) * (position - index)) for a, b in zip(low, high, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


class LiveDenoising(BaseStreamer):
    """
    A streamer that draws the canvas of `generate` in a terminal: given text bold, masks as blocks, committed tokens in
    the colour of their confidence, those of the last step inverted.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the model.
        mask_token_id (`int`):
            The mask token of the model; official tokenizers do not name it.
        console (`Console`, *optional*):
            Where to draw. By default the terminal.
        delay (`float`, *optional*, defaults to 0.0):
            The shortest time between two steps in seconds, so that a small model can be followed.

    Example:

    ```python
    >>> from modeling_llada.drawing import LiveDenoising

    >>> with LiveDenoising(tokenizer, model.config.mask_token_id, delay=0.1) as streamer:
    ...     output = model.generate(**inputs, streamer=streamer)
    ```
    """

    takes_steps = True

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        mask_token_id: int,
        console: Console | None = None,
        delay: float = 0.0,
    ) -> None:
        self.mask_token_id = mask_token_id
        self.delay = delay
        self.seconds_waited = 0.0
        self._text_of = token_reader(tokenizer)
        self._hidden = set(tokenizer.all_special_ids) - {mask_token_id}
        self._live = Live(console=console or Console(), auto_refresh=False, transient=True)
        self._tokens: torch.Tensor | None = None
        self._drawn_at = -math.inf

    def __enter__(self) -> "LiveDenoising":
        self._live.start()
        return self

    def __exit__(self, *exception) -> None:
        self._live.stop()

    def put(self, value: torch.Tensor) -> None:
        """Takes the prompts first, and then each finished block."""
        value = value if value.ndim == 2 else value[None]
        if self._tokens is None:
            self._tokens = value.clone()
            self._prompt_length = self._finished = value.shape[1]
            self._is_given = value != self.mask_token_id
            self._confidence = torch.full(value.shape, torch.nan)
            return
        end = self._finished + value.shape[1]
        self._tokens[:, self._finished : end] = value
        self._finished = end

    def put_draft(self, value: torch.Tensor, step: int, confidence: torch.Tensor, top_tokens: torch.Tensor) -> None:
        """Takes the canvas from the start of the active block to its end, and draws."""
        # Masks in the prompt are a block of their own, which comes first.
        prompt_is_active = (self._tokens[:, : self._prompt_length] == self.mask_token_id).any()
        start = 0 if prompt_is_active else self._finished
        before = self._tokens
        self._tokens = torch.cat([before[:, :start], value], dim=1)
        self._confidence = torch.cat([self._confidence[:, :start], confidence], dim=1)
        added = self._tokens.shape[1] - before.shape[1]
        before = torch.nn.functional.pad(before, (0, added), value=self.mask_token_id)
        self._is_given = torch.nn.functional.pad(self._is_given, (0, added))
        self._wait()
        is_fresh = (before == self.mask_token_id) & (self._tokens != self.mask_token_id)
        self._live.update(self._draw(step, is_fresh), refresh=True)

    def end(self) -> None:
        """Takes the picture away: the caller shows the result."""
        self._live.update("", refresh=True)

    def draw_text(self, row: int, is_fresh: torch.Tensor | None = None) -> Text:
        """A row of the canvas as coloured text. Without `is_fresh` it is the finished text, which shows no EOS."""
        text = Text()
        for index, token in enumerate(self._tokens[row].tolist()):
            confidence = self._confidence[row, index].item()
            if token == self.mask_token_id:
                text.append(MASK_GLYPH, style="bright_black")
            elif self._is_given[row, index]:
                text.append(self._text_of(token), style="bold")
            elif token in self._hidden:
                if is_fresh is not None and not math.isnan(confidence):
                    text.append("·", style="bright_black")
            else:
                inverted = is_fresh is not None and is_fresh[row, index]
                style = f"bold white on {confidence_color(confidence)}" if inverted else confidence_color(confidence)
                text.append(self._text_of(token), style=style)
        return text

    def _draw(self, step: int, is_fresh: torch.Tensor) -> Group:
        masks = (self._tokens == self.mask_token_id).sum().item()
        share = 1 - masks / max((~self._is_given).sum().item(), 1)
        filled = round(share * BAR_LENGTH)
        status = Text.assemble(
            (f"step {step + 1:<4}", "bold"),
            ("━" * filled, confidence_color(1.0)),
            ("━" * (BAR_LENGTH - filled), "bright_black"),
            (f" {masks} mask{'s' if masks != 1 else ''} left", "bright_black"),
        )
        return Group(*(self.draw_text(row, is_fresh) for row in range(len(self._tokens))), status)

    def _wait(self) -> None:
        remaining = self._drawn_at + self.delay - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)
            self.seconds_waited += remaining
        self._drawn_at = time.monotonic()


def token_reader(tokenizer: PreTrainedTokenizerBase) -> Callable[[int], str]:
    """A function that decodes one token id, and remembers it."""
    known: dict[int, str] = {}

    def text_of(token: int) -> str:
        if token not in known:
            known[token] = tokenizer.decode([token])
        return known[token]

    return text_of


# The picture in a file

END_LABEL = "EOS"
UNIT, GAP, CELL_HEIGHT, ROW_GAP, MARGIN, LABEL_WIDTH = 14, 4, 34, 12, 28, 44  # in pixels; a Han character is two units
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
    tokens: torch.Tensor,
    steps: torch.Tensor,
    confidence: torch.Tensor,
    tokenizer: PreTrainedTokenizerBase,
    caption: str = "",
    max_frames: int = 10,
    max_width: int = 68,
) -> str:
    """
    Draws the denoising of one sequence: a row for each of some steps, a column for each token, the newly committed ones
    on the colour of their confidence.

    Args:
        tokens (`torch.LongTensor` of shape `(length,)`):
            A row of `output.sequences`.
        steps (`torch.IntTensor` of shape `(length,)`):
            The step that committed each token, -1 for given ones: a row of `output.trajectory[0]`.
        confidence (`torch.FloatTensor` of shape `(length,)`):
            Its confidence: a row of `output.trajectory[1]`.
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the model.
        caption (`str`, *optional*):
            A line below the picture.
        max_frames (`int`, *optional*, defaults to 10):
            The most steps to draw, evenly spread and the last among them; the start comes on top.
        max_width (`int`, *optional*, defaults to 68):
            The width at which a row is wrapped, in half Han characters.

    Returns:
        `str`: The SVG document.
    """
    text_of, special = token_reader(tokenizer), set(tokenizer.all_special_ids)
    tokens, steps, confidence = tokens.tolist(), steps.tolist(), confidence.tolist()
    while steps and steps[-1] < 0 and tokens[len(steps) - 1] in special:
        steps.pop()  # the pads after EOS
    tokens = tokens[: len(steps)]
    texts = [END_LABEL if token in special else text_of(token) for token in tokens]
    cells, width, frame_height = lay_out(texts, max_width)
    shapes = []
    previous, top = -1, MARGIN
    for step in choose_frames(max(steps, default=-1), max_frames):
        shapes.append(f'<text class="note" x="{MARGIN}" y="{top + 22}">{step + 1 or "start"}</text>')
        for index, (x, y, cell_width) in enumerate(cells):
            if not texts[index].strip("\n"):
                continue
            kind = cell_kind(steps[index], step, previous)
            color = confidence_color(confidence[index])
            shapes += draw_cell(MARGIN + LABEL_WIDTH + x, top + y, cell_width, texts[index], kind, color)
        previous, top = step, top + frame_height + ROW_GAP
    width = max(width + LABEL_WIDTH, 420) + 2 * MARGIN
    shapes += draw_legend(width, top + 18, caption)
    return wrap_svg(shapes, width, height=top + 18 + MARGIN)


def choose_frames(last_step: int, max_frames: int) -> list[int]:
    """The steps to draw: the start (-1), and then up to `max_frames` evenly spread, the last among them."""
    count = min(max_frames, last_step + 1)
    return [-1] + [round((last_step + 1) * (index + 1) / count) - 1 for index in range(count)]


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


def cell_kind(committed_at: int, step: int, previous: int) -> str:
    """What a frame shows of a token: `given`, `mask`, `fresh` (committed since the frame before) or `known`."""
    if committed_at < 0:
        return "given"
    if committed_at > step:
        return "mask"
    return "fresh" if committed_at > previous else "known"


def draw_cell(x: int, y: int, width: int, text: str, kind: str, color: str) -> list[str]:
    """The elements of one token."""
    box = f'x="{x}" y="{y}" width="{width}" height="{CELL_HEIGHT}" rx="6"'
    kind_of_text = f"{kind} special" if text == END_LABEL else kind
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


def write_atomically(path: str | Path, text: str) -> None:
    """Writes a file beside its place and then moves it there, so that it is whole or as it was."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
