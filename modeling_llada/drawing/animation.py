# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising as an animated GIF or WebP. Needs Pillow."""

import io

from PIL import Image, ImageDraw

from .cells import Cell, Picture
from .colors import mix, mix_confidence
from .fonts import find_font
from .palette import DARK, LIGHT, Palette
from .svg import CELL_HEIGHT, lay_out
from .timing import Timing, clean, drop_repeats, one_line, spread


SCALE = 2  # pixels of the image for one of the layout
MARGIN, TITLE_HEIGHT, FOOT_HEIGHT, RADIUS, BAR, BAR_INSET = 24, 40, 34, 6, 2, 4
TEXT_SIZE, END_SIZE, NOTE_SIZE, DRAFT_SHARE = 21, 11, 13, 0.62
MIN_WIDTH = 380
FORMATS = ("GIF", "WEBP")
GIF_COLORS = 96


def denoising_images(
    pictures: list[Picture], title: str = "", columns: int | None = None, dark: bool = False, max_frames: int = 160
) -> list[Image.Image]:
    """
    Draws the pictures of a denoising.

    Args:
        pictures (`list[Picture]`):
            The pictures, from `pictures_of`.
        title (`str`, *optional*):
            A line above.
        columns (`int`, *optional*):
            The cells of a line, for verse. By default 24 Han characters.
        dark (`bool`, *optional*, defaults to `False`):
            Whether to draw on a dark ground.
        max_frames (`int`, *optional*, defaults to 160):
            The most images; of a longer run evenly spread ones, the first and the last among them.

    Returns:
        `list[Image.Image]`: One for each picture that differs from the one before it.

    Raises:
        `ValueError`: if there are no pictures, or no font has their characters.
    """
    if not pictures:
        raise ValueError("`pictures` is empty: there is nothing to draw before the first step.")
    # The result tells what each cell will hold; what is no text in it (pads) has no place.
    last = pictures[-1]
    kept = [position for position, cell in enumerate(last.cells) if cell.state != "pad"]
    labels = [clean(last.cells[position]) for position in kept]
    painter = Painter(labels, title, columns, DARK if dark else LIGHT)
    shown = spread(drop_repeats(pictures), max_frames)
    return [painter.paint(picture, kept, last.step) for picture in shown]


def denoising_animation(pictures: list[Picture], format: str = "GIF", timing: Timing = Timing(), **options) -> bytes:  # noqa: B008
    """
    The denoising as a moving picture.

    Args:
        pictures (`list[Picture]`):
            The pictures, from `pictures_of`.
        format (`str`, *optional*, defaults to `"GIF"`):
            `"GIF"` or `"WEBP"`.
        timing ([`Timing`], *optional*):
            How long pictures stand.
        options:
            Those of `denoising_images`.

    Returns:
        `bytes`: The content of the file.

    Raises:
        `ValueError`: if there is no such format, no picture, or no font.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from modeling_llada.drawing import pictures_of
    >>> from modeling_llada.drawing.animation import denoising_animation

    >>> Path("denoising.gif").write_bytes(denoising_animation(pictures_of(streamer.record.frames), columns=12))
    ```
    """
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}, but got {format!r}.")
    images = denoising_images(pictures, **options)
    durations = [timing.step] * len(images)
    durations[0], durations[-1] = timing.start, timing.end
    if format == "GIF":
        images = [image.quantize(GIF_COLORS, dither=Image.Dither.NONE) for image in images]
        more = {"optimize": False, "disposal": 1}
    else:
        more = {"quality": 85, "method": 3}
    file = io.BytesIO()
    images[0].save(file, format, save_all=True, append_images=images[1:], duration=durations, loop=0, **more)
    return file.getvalue()


class Painter:
    """
    Draws pictures of one canvas.

    Args:
        labels (`list[str]`):
            What the cells hold in the end.
        title (`str`):
            A line above.
        columns (`int`, *optional*):
            The cells of a line.
        palette ([`Palette`]):
            The colours.
    """

    def __init__(self, labels: list[str], title: str, columns: int | None, palette: Palette) -> None:
        self.labels, self.title, self.palette = labels, title, palette
        self.cells, width, height = lay_out(labels, 2 * (columns or 24))
        self.width = max(width, MIN_WIDTH) + 2 * MARGIN
        self.top = MARGIN + (TITLE_HEIGHT if title else 0)
        self.left = (self.width - width) // 2
        self.height = self.top + height + FOOT_HEIGHT + MARGIN
        text = "".join(labels) + title
        self.text_font = find_font(text, TEXT_SIZE * SCALE)
        self.draft_font = find_font(text, (TEXT_SIZE - 4) * SCALE)
        self.end_font = find_font("EOS", END_SIZE * SCALE)
        self.note_font = find_font(text, NOTE_SIZE * SCALE)

    def paint(self, picture: Picture, kept: list[int], last_step: int) -> Image.Image:
        """One picture."""
        palette = self.palette
        image = Image.new("RGB", (self.width * SCALE, self.height * SCALE), palette.card)
        draw = ImageDraw.Draw(image)
        if self.title:
            draw.text(self._at(MARGIN, MARGIN + 4), self.title, palette.ink, self.note_font)
        for position, place, label in zip(kept, self.cells, self.labels, strict=True):
            if label.strip("\n") or not label:
                self._paint_cell(draw, picture.cells[position], place, label)
        self._paint_progress(draw, picture, kept, last_step)
        return image

    def _paint_cell(self, draw: ImageDraw.ImageDraw, cell: Cell, place: tuple[int, int, int], label: str) -> None:
        x, y, width = self.left + place[0], self.top + place[1], place[2]
        box = (*self._at(x, y), *self._at(x + width, y + CELL_HEIGHT))
        palette, color = self.palette, mix_confidence(cell.confidence if cell.confidence is not None else 1.0)
        middle = self._at(x + width / 2, y + CELL_HEIGHT / 2)
        if cell.state in ("mask", "pad"):
            fill = palette.active if cell.is_active else palette.mask
            draw.rounded_rectangle(box, RADIUS * SCALE, fill)
            if cell.best and cell.is_active:
                draft = mix(fill, palette.ink, DRAFT_SHARE)
                fits = len(cell.best[0]) <= max(len(label), 1)
                draw.text(middle, one_line(cell.best[0]).strip() if fits else "", draft, self.draft_font, anchor="mm")
            return
        ink, font = palette.ink, self.end_font if cell.is_special else self.text_font
        if cell.state in ("new", "committed"):
            is_new = cell.state == "new"
            draw.rounded_rectangle(box, RADIUS * SCALE, color if is_new else mix(palette.card, color, 0.2))
            if cell.confidence and not is_new:
                end = x + BAR_INSET + (width - 2 * BAR_INSET) * cell.confidence
                bar = (*self._at(x + BAR_INSET, y + CELL_HEIGHT - 2 - BAR), *self._at(end, y + CELL_HEIGHT - 2))
                draw.rectangle(bar, color)
            ink = (255, 255, 255) if is_new else ink
        draw.text(middle, one_line(clean(cell)), ink, font, anchor="mm")

    def _paint_progress(self, draw: ImageDraw.ImageDraw, picture: Picture, kept: list[int], last_step: int) -> None:
        palette, y = self.palette, self.height - MARGIN - 6
        masks = sum(picture.cells[position].state == "mask" for position in kept)
        right = self.width - MARGIN
        note = f"step {picture.step + 1} of {last_step + 1}"
        draw.text(self._at(MARGIN, y - 2), note, palette.quiet, self.note_font, anchor="lm")
        start = MARGIN + 120
        share = (picture.step + 1) / max(last_step + 1, 1) if masks else 1.0
        draw.rounded_rectangle((*self._at(start, y - 3), *self._at(right, y)), SCALE, palette.mask)
        if share > 0:
            draw.rounded_rectangle(
                (*self._at(start, y - 3), *self._at(start + (right - start) * share, y)), SCALE, palette.seal
            )

    @staticmethod
    def _at(x: float, y: float) -> tuple[float, float]:
        return x * SCALE, y * SCALE
