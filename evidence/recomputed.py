# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The picture of the positions that each forward pass recomputes: a line for each pass, a column for each position."""

import torch

from modeling_llada.drawing import MARGIN, wrap_svg


PROMPT = "七言律诗《春夜》\n"
OPTIONS = {"max_new_tokens": 64, "block_length": 16, "steps": 16, "stop_at_eos": False}
PANELS = {
    "no cache": {},
    "block_cache='prefix'": {"block_cache": "prefix"},
    "block_cache='dual'": {"block_cache": "dual"},
    "block_cache='vicinity'": {"block_cache": "vicinity"},
    "'dual', cache_refresh_interval=2": {"block_cache": "dual", "cache_refresh_interval": 2},
    "suffix_window=16": {"suffix_window": 16},
}
COLUMN, LINE, PANEL_GAP, TITLE_HEIGHT = 5, 8, 34, 26  # in pixels
COLORS = """
  .computed { fill: #2f8f83 }
  .kept { fill: #2f8f83; fill-opacity: 0.18 }
  .fixed { fill: #d1495b }
  @media (prefers-color-scheme: dark) {
    .computed { fill: #2aa394 }
    .fixed { fill: #ff8a9a }
  }
"""


def recomputed_svg(model, tokenizer) -> str:
    """Draws a panel for each setting, two in a row."""
    inputs = tokenizer(PROMPT, return_tensors="pt")
    length = inputs["input_ids"].shape[1] + OPTIONS["max_new_tokens"]
    panel_width, panel_height = length * COLUMN, OPTIONS["steps"] * LINE + TITLE_HEIGHT
    shapes = [f"<style>{COLORS}</style>"]
    for number, (title, options) in enumerate(PANELS.items()):
        windows, commits = follow(model, inputs, {**OPTIONS, **options})
        left = MARGIN + number % 2 * (panel_width + PANEL_GAP)
        top = MARGIN + number // 2 * (panel_height + PANEL_GAP // 2)
        has_cache = "block_cache" in options
        shapes += draw_panel(title, windows, commits, length, has_cache, left, top)
    width = 2 * (MARGIN + panel_width) + PANEL_GAP
    top = MARGIN + -(-len(PANELS) // 2) * (panel_height + PANEL_GAP // 2)
    shapes += draw_legend(top + 4)
    return wrap_svg(shapes, width, height=top + 4 + MARGIN)


def follow(model, inputs: dict, options: dict) -> tuple[list[slice], list[list[int]]]:
    """The positions that each forward pass of a call computes, and the positions that it commits."""
    windows = []

    def note_window(_, args, kwargs) -> None:
        position_ids = kwargs.get("position_ids")
        start = 0 if position_ids is None else int(position_ids[0, 0])
        windows.append(slice(start, start + kwargs["input_ids"].shape[1]))

    hook = model.register_forward_pre_hook(note_window, with_kwargs=True)
    try:
        output = model.generate(**inputs, **options, return_dict_in_generate=True, output_trajectory=True)
    finally:
        hook.remove()
    steps = output.trajectory[0][0]
    return windows, [torch.nonzero(steps == index)[:, 0].tolist() for index in range(len(windows))]


def draw_panel(
    title: str, windows: list[slice], commits: list[list[int]], length: int, has_cache: bool, left: int, top: int
) -> list[str]:
    """The lines of one setting."""
    computed = sum(window.stop - window.start for window in windows)
    percent = 100 * computed / (length * len(windows))
    shapes = [f'<text class="note" x="{left}" y="{top + 14}">{title}: {percent:.0f}% computed</text>']
    for index, (window, committed) in enumerate(zip(windows, commits, strict=True)):
        y = top + TITLE_HEIGHT + index * LINE
        if has_cache:
            shapes.append(rectangle("kept", left, y, 0, length))
        shapes.append(rectangle("computed", left, y, window.start, window.stop))
        shapes += [rectangle("fixed", left, y, position, position + 1) for position in committed]
    return shapes


def rectangle(kind: str, left: int, y: int, start: int, stop: int) -> str:
    width = (stop - start) * COLUMN - 1
    return f'<rect class="{kind}" x="{left + start * COLUMN}" y="{y}" width="{width}" height="{LINE - 2}"/>'


def draw_legend(y: int) -> list[str]:
    shapes, x = [], MARGIN
    for kind, label in (("computed", "computed"), ("kept", "kept from an earlier pass"), ("fixed", "committed")):
        shapes.append(f'<rect class="{kind}" x="{x}" y="{y - 10}" width="14" height="10"/>')
        shapes.append(f'<text class="note" x="{x + 20}" y="{y}">{label}</text>')
        x += 50 + 7 * len(label)
    return shapes
