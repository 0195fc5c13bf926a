# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising as an animated GIF or WebP. It needs Pillow."""

import io

from PIL import Image, ImageDraw

from .cells import Cell, Picture
from .colors import DARK, LIGHT, Palette, mix, mix_confidence
from .fonts import find_font
from .layout import CELL_HEIGHT, Layout, Place, lay_out_animation, printable
from .timing import Timing, drop_repeats, thin_out


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
            A line above the picture.
        columns (`int`, *optional*):
            The number of Han characters in a line, for verse. By default 24.
        dark (`bool`, *optional*, defaults to `False`):
            Whether the background is dark.
        max_frames (`int`, *optional*, defaults to 160):
            The largest number of images. More pictures are thinned out at even distances.

    Returns:
        `list[Image.Image]`: One for each picture that differs from the one before it.

    Raises:
        `ValueError`: if there are no pictures, `max_frames` is smaller than 2, or no font has the characters.
    """
    if max_frames < 2:
        raise ValueError(f"`max_frames` must be at least 2, for the start and the result, but got {max_frames}.")
    painter = Painter(lay_out_animation(pictures, columns), title, pictures[-1].step + 1, DARK if dark else LIGHT)
    return [painter.paint(picture) for picture in thin_out(drop_repeats(pictures), max_frames)]


def denoising_animation(pictures: list[Picture], format: str = "GIF", timing: Timing = Timing(), **options) -> bytes:  # noqa: B008
    """
    The denoising as an animated image.

    Args:
        pictures (`list[Picture]`):
            The pictures, from `pictures_of`.
        format (`str`, *optional*, defaults to `"GIF"`):
            `"GIF"` or `"WEBP"`.
        timing ([`Timing`], *optional*):
            How long the pictures stay.
        options:
            Other arguments of `denoising_images`.

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
    """Draws the pictures of one call with Pillow."""

    def __init__(self, layout: Layout, title: str, num_steps: int, palette: Palette) -> None:
        self.layout, self.title, self.num_steps, self.palette = layout, title, num_steps, palette
        self.width = max(layout.width, MIN_WIDTH) + 2 * MARGIN
        self.top = MARGIN + (TITLE_HEIGHT if title else 0)
        self.left = (self.width - layout.width) // 2
        self.height = self.top + layout.height + FOOT_HEIGHT + MARGIN
        text = "".join(place.label for place in layout.places) + title
        self.text_font = find_font(text, TEXT_SIZE * SCALE)
        self.draft_font = find_font(text, (TEXT_SIZE - 4) * SCALE)
        self.end_font = find_font("EOS", END_SIZE * SCALE)
        self.note_font = find_font(text, NOTE_SIZE * SCALE)

    def paint(self, picture: Picture) -> Image.Image:
        """The image of one picture."""
        image = Image.new("RGB", (self.width * SCALE, self.height * SCALE), self.palette.card)
        draw = ImageDraw.Draw(image)
        if self.title:
            draw.text(scale(MARGIN, MARGIN + 4), self.title, self.palette.ink, self.note_font)
        for place in self.layout.places:
            cell = picture.cells[place.position]
            x, y = self.left + place.x, self.top + place.y
            if cell.state in ("mask", "pad"):
                self._paint_mask(draw, cell, place, x, y)
            else:
                self._paint_token(draw, cell, place, x, y)
        self._paint_progress(draw, picture)
        return image

    def _paint_mask(self, draw: ImageDraw.ImageDraw, cell: Cell, place: Place, x: int, y: int) -> None:
        """A mask; in the active block with its most probable token, if that fits."""
        fill = self.palette.active if cell.is_active else self.palette.mask
        draw.rounded_rectangle(box_of(place, x, y), RADIUS * SCALE, fill)
        if cell.is_active and cell.best and len(cell.best[0]) <= max(len(place.label), 1):
            color = mix(fill, self.palette.ink, DRAFT_SHARE)
            draw.text(middle_of(place, x, y), one_line(cell.best[0]).strip(), color, self.draft_font, anchor="mm")

    def _paint_token(self, draw: ImageDraw.ImageDraw, cell: Cell, place: Place, x: int, y: int) -> None:
        """A token; a committed one stands on the colour of its confidence, and a new one on all of it."""
        ink, color = self.palette.ink, mix_confidence(cell.confidence)
        if cell.state == "new":
            draw.rounded_rectangle(box_of(place, x, y), RADIUS * SCALE, color)
            ink = (255, 255, 255)
        elif cell.state == "committed":
            draw.rounded_rectangle(box_of(place, x, y), RADIUS * SCALE, mix(self.palette.card, color, 0.2))
            if cell.confidence:
                length = max(place.width - 2 * BAR_INSET, 0)  # a later piece of a character has no width of its own
                end, bottom = x + BAR_INSET + length * cell.confidence, y + CELL_HEIGHT - 2
                draw.rectangle((*scale(x + BAR_INSET, bottom - BAR), *scale(end, bottom)), color)
        font = self.end_font if cell.is_special else self.text_font
        draw.text(middle_of(place, x, y), one_line(printable(cell.label)), ink, font, anchor="mm")

    def _paint_progress(self, draw: ImageDraw.ImageDraw, picture: Picture) -> None:
        y, left, right = self.height - MARGIN - 6, MARGIN + 120, self.width - MARGIN
        note = f"step {picture.step + 1} of {self.num_steps}"
        draw.text(scale(MARGIN, y - 2), note, self.palette.quiet, self.note_font, anchor="lm")
        has_masks = any(picture.cells[place.position].state == "mask" for place in self.layout.places)
        share = (picture.step + 1) / max(self.num_steps, 1) if has_masks else 1.0
        draw.rounded_rectangle((*scale(left, y - 3), *scale(right, y)), SCALE, self.palette.mask)
        if share > 0:
            end = left + (right - left) * share
            draw.rounded_rectangle((*scale(left, y - 3), *scale(end, y)), SCALE, self.palette.seal)


def scale(x: float, y: float) -> tuple[float, float]:
    """A point of the layout on the image."""
    return x * SCALE, y * SCALE


def box_of(place: Place, x: int, y: int) -> tuple[float, float, float, float]:
    """The corners of a cell on the image."""
    return *scale(x, y), *scale(x + place.width, y + CELL_HEIGHT)


def middle_of(place: Place, x: int, y: int) -> tuple[float, float]:
    """The middle of a cell on the image."""
    return scale(x + place.width / 2, y + CELL_HEIGHT / 2)


def one_line(text: str) -> str:
    """The text without line breaks, which Pillow cannot centre. Some tokens are spaces around a line break."""
    return text.replace("\r", "").replace("\n", "")
