# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Draws a sheet of rows with their pictures, questions and answers, to look at what a model is asked.

python -m recipes.vision.sheet --stage 2 --split test --output sheet.png
"""

import argparse
import math
from pathlib import Path

from PIL import Image, ImageDraw

from recipes.vision.rows import VisionRows


ACROSS, WIDTH, PICTURE_HEIGHT, LINE = 5, 340, 270, 16
CHARACTERS = 42  # of a line


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=Path("data/vision.zip"), help="the file of `prepare`")
    parser.add_argument("--stage", type=int, default=2, choices=(1, 2, 3))
    parser.add_argument("--split", default="train", choices=("train", "test"))
    parser.add_argument("--rows", type=int, default=40, help="how many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tile", type=int, default=64, help="pixels of a side of a tile")
    parser.add_argument("--output", type=Path, required=True, help="the picture to write")
    options = parser.parse_args(arguments)
    rows = VisionRows(options.archive, options.split, options.stage, options.rows, options.seed, options.tile)
    draw_sheet(rows).save(options.output)
    print(f"wrote {options.output}")


def draw_sheet(rows: VisionRows) -> Image.Image:
    """A sheet with a cell for each row."""
    height = PICTURE_HEIGHT + 4 * LINE
    sheet = Image.new("RGB", (ACROSS * WIDTH, math.ceil(len(rows) / ACROSS) * height), (228, 228, 232))
    brush = ImageDraw.Draw(sheet)
    fonts = [rows.archive.font(rows.archive.fonts_of(language)[0], 13) for language in ("en", "zh")]
    for index in range(len(rows)):
        row = rows[index]
        x, y = index % ACROSS * WIDTH, index // ACROSS * height
        left = x + 4
        for picture in row["images"]:
            picture.thumbnail((WIDTH - 8, PICTURE_HEIGHT - 8))
            sheet.paste(picture, (left, y + 4))
            left += picture.width + 6
        texts = [message["content"][-1]["text"] for message in row["messages"]]
        text = "  ".join(map(" = ".join, zip(texts[::2], texts[1::2], strict=True)))
        for line, start in enumerate(range(0, len(text), CHARACTERS)):
            at = (x + 4, y + PICTURE_HEIGHT + line * LINE)
            brush.text(at, text[start : start + CHARACTERS], "black", fonts[not text.isascii()])
    return sheet


if __name__ == "__main__":
    main()
