# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Finding a font for images: the package brings none, as one with Han characters is larger than its checkpoint."""

import os
import sys
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont


FOLDERS = {
    "linux": ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": ("C:/Windows/Fonts",),
}
# The best first: serif fonts, as poems are printed.
HAN_FONTS = (
    "NotoSerifCJK-Regular.ttc",
    "NotoSerifCJKsc-Regular.otf",
    "NotoSerifSC*",
    "SourceHanSerif*Regular*",
    "Songti.ttc",
    "simsun.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC*",
    "PingFang.ttc",
    "STHeiti Light.ttc",
    "msyh.ttc",
    "wqy-*",
    "DroidSansFallback*",
)
LATIN_FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf", "Helvetica.ttc")
HAN = "月"
MAX_FACES = 12  # of a collection


def find_font(text: str, size: int) -> ImageFont.FreeTypeFont:
    """
    A font for a text: that of the environment variable LLADA_FONT, or one of the machine.

    Args:
        text (`str`):
            What is to be written.
        size (`int`):
            The size in pixels.

    Returns:
        `ImageFont.FreeTypeFont`: The font.

    Raises:
        `ValueError`: if the text has Han characters and no font for them is found.
    """
    path, index = find_file(needs_han=any(is_wide(character) for character in text))
    return ImageFont.truetype(path, size, index=index) if path else ImageFont.load_default(size)


def is_wide(character: str) -> bool:
    """Whether it is one of those that Latin fonts lack: Han characters and their punctuation among them."""
    return "\u2e80" <= character <= "\uffef" or character >= "\U00020000"


@lru_cache
def find_file(needs_han: bool) -> tuple[str, int]:
    """The file of a font and the number of its face; `("", 0)` where any will do and there is none."""
    named = os.environ.get("LLADA_FONT")
    if named:
        if not Path(named).is_file():
            raise ValueError(f"LLADA_FONT names a font that is not there: {named}.")
        return named, find_face(named)
    for pattern in HAN_FONTS if needs_han else (*HAN_FONTS, *LATIN_FONTS):
        for folder in FOLDERS.get(sys.platform, FOLDERS["linux"]):
            for path in sorted(Path(folder).expanduser().rglob(pattern)):
                if pattern in LATIN_FONTS or has_glyph(str(path), HAN):
                    return str(path), find_face(str(path))
    if needs_han:
        raise ValueError(
            "there is no font with Han characters on this machine: install one (Debian: fonts-noto-cjk), name the file "
            "of one in the environment variable LLADA_FONT, or write SVG, which takes the fonts of who looks at it."
        )
    return "", 0


def find_face(path: str) -> int:
    """The face of a collection for simplified characters, or the first."""
    for index in range(MAX_FACES):
        try:
            name = ImageFont.truetype(path, 16, index=index).getname()[0] or ""
        except OSError:
            break
        if name.endswith((" SC", "Songti SC")):
            return index
    return 0


def has_glyph(path: str, character: str) -> bool:
    """Whether a font draws a character, and not the box that stands for what it lacks."""
    try:
        font = ImageFont.truetype(path, 24)
    except OSError:
        return False
    return bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))
