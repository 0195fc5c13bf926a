# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A small archive for the recipe of LLaDA-V: drawn shapes in the place of emoji, and the font that Pillow brings."""

import io
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from recipes.vision.archive import Archive
from recipes.vision.names import Emoji


STYLES = ("plain", "framed", "dark")
FONT = ImageFont.load_default(12).font_bytes
COLOURS = ("red", "green", "blue", "orange", "purple", "brown")


@cache
def small_archive(count: int = 60) -> Archive:
    """So many "emoji" with names such as `ab` and `红一`, all in three styles, and ten words in each language."""
    emoji = [Emoji(f"1f{index:03x}", name(index), chr(0x4E00 + index)) for index in range(count)]
    pictures = {(index, style): picture(index, style) for index in range(count) for style in STYLES}
    words = {
        "en": [f"word{letter}" for letter in "abcdefghijklmnopqrst"],
        "zh": [chr(0x5000 + i) * 2 for i in range(20)],
    }
    fonts = {f"{language} {index}": (language, FONT) for language in ("en", "zh") for index in range(2)}
    return Archive(emoji, pictures, words, fonts, {"names": count})


def name(index: int) -> str:
    """A short name of letters, and every third with a second word."""
    first = chr(97 + index // 26) + chr(97 + index % 26)
    return f"{first} thing" if index % 3 == 0 else first


def picture(index: int, style: str) -> bytes:
    canvas = Image.new("RGBA", (64, 64))
    fill = COLOURS[index % len(COLOURS)] if style != "dark" else "black"
    ImageDraw.Draw(canvas).regular_polygon(
        (32, 32, 28), 3 + index % 7, index, fill, "white" if style == "framed" else None
    )
    buffer = io.BytesIO()
    canvas.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()
