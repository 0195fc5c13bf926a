# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The fonts for GIF and WebP. The package has none of its own: a font with Han characters is larger than a small model."""

import os
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont


# The best first: poems are printed in serif fonts. Pillow looks for these files in the font folders of the system.
HAN_FONTS = (
    "NotoSerifCJK-Regular.ttc",
    "NotoSerifCJKsc-Regular.otf",
    "NotoSerifSC-Regular.otf",
    "SourceHanSerif-Regular.ttc",
    "SourceHanSerifSC-Regular.otf",
    "Songti.ttc",
    "simsun.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "PingFang.ttc",
    "STHeiti Light.ttc",
    "msyh.ttc",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
)
LATIN_FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf", "Helvetica.ttc")
MAX_FACES = 12  # of a collection


def find_font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font of the environment variable LLADA_FONT, or one of this machine that has the characters of the text."""
    path, face = find_file(needs_han=any(is_wide(character) for character in text))
    return ImageFont.truetype(path, size, index=face) if path else ImageFont.load_default(size)


def is_wide(character: str) -> bool:
    """Whether Latin fonts lack this character, as they lack Han characters and their punctuation."""
    return "\u2e80" <= character <= "\uffef" or character >= "\U00020000"


@lru_cache
def find_file(needs_han: bool) -> tuple[str, int]:
    """The file of a font and the number of its face; an empty path stands for the font of Pillow."""
    named = os.environ.get("LLADA_FONT")
    if named and not Path(named).is_file():
        raise ValueError(f"the environment variable LLADA_FONT must name a font file, but there is no {named!r}.")
    names = HAN_FONTS if needs_han else (*HAN_FONTS, *LATIN_FONTS)
    for name in [named] if named else names:
        try:
            path = ImageFont.truetype(name).path
        except OSError:
            continue
        return path, find_face(path)
    if needs_han:
        raise ValueError(
            "this machine has no font with Han characters. Install one (Debian: fonts-noto-cjk), name its file in the "
            "environment variable LLADA_FONT, or write SVG, which uses the fonts of the reader."
        )
    return "", 0


def find_face(path: str) -> int:
    """The face of a font collection for simplified Chinese, or the first face."""
    for index in range(MAX_FACES):
        try:
            family = ImageFont.truetype(path, index=index).getname()[0] or ""
        except OSError:
            break
        if family.endswith(" SC"):
            return index
    return 0
