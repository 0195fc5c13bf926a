# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Makes the one file of emoji pictures, names, words and fonts that pictures are drawn from.

    python -m recipes.vision.prepare

npm and apt download the packages into `--packages`, unless their archives lie there: names, styles and fonts are in `sources.py`,
with their licences. Needs `resvg-py` and `fonttools`, and `dpkg-deb` for the fonts. Training needs only the written file.
"""

import argparse
import io
import json
from pathlib import Path

from PIL import Image

from recipes.packages import unpack, version_of
from recipes.vision.archive import Archive
from recipes.vision.draw import WORDINGS
from recipes.vision.names import Emoji, annotations, choose_emoji, choose_words
from recipes.vision.sources import CLDR, FONTS, NOTO, PACKAGES, STYLES, Font, style_reader
from recipes.vision.tasks import COLUMNS


SIDE = 64  # pixels: the size of two of the packages
MIN_SHOWN = 0.6  # the least part of the side that is cut out, so that a dot stays a dot
MIN_STYLES = 3
PRINTED = "".join(map(chr, range(32, 127))) + "，。：？、年月日元"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, default=Path("data/packages"), help="archives of the packages")
    parser.add_argument("--output", type=Path, default=Path("data/vision.zip"), help="the file to write")
    options = parser.parse_args(arguments)
    archive = prepare(options.packages)
    archive.save(options.output)
    print(json.dumps(archive.about, indent=1))
    print(f"wrote {options.output}: {options.output.stat().st_size / 1e6:.1f} MB")


def prepare(packages: Path) -> Archive:
    """Makes the archive from a folder of packages; what is missing there is downloaded."""
    english, chinese = (annotations(unpack(CLDR, packages), language) for language in ("en", "zh"))
    entries = json.loads((unpack(NOTO, packages) / "package/emoji.json").read_text(encoding="utf-8"))
    emoji = choose_emoji([entry["unified"].lower() for entry in entries], english, chinese)
    emoji, pictures = draw_styles(emoji, packages)
    words = choose_words(english, chinese)
    questions = [text for kinds in WORDINGS.values() for part in kinds["zh"].values() for text in part]
    written = [*words["zh"], *(one.zh for one in emoji), *(chinese for _, chinese in COLUMNS), *questions]
    characters = {"en": PRINTED, "zh": PRINTED + "".join(written)}
    fonts = {font.name: (font.language, cut_font(font, packages, characters[font.language])) for font in FONTS}
    styles = {style: sum(of == style for _, of in pictures) for style in STYLES}
    about = {
        "names": len(emoji),
        "words": {language: len(part) for language, part in words.items()},
        "styles": {style: {"package": STYLES[style].name, "pictures": number} for style, number in styles.items()},
        "packages": [
            {"name": one.name, "version": version_of(one, packages), "licence": one.licence, "source": one.source}
            for one in PACKAGES
        ],
    }
    return Archive(emoji, pictures, words, fonts, about)


def draw_styles(emoji: list[Emoji], packages: Path) -> tuple[list[Emoji], dict[tuple[int, str], bytes]]:
    """The emoji that are in at least three styles, and their pictures."""
    readers = {style: style_reader(style, packages) for style in STYLES}
    kept, pictures = [], {}
    for one in emoji:
        found = {style: picture for style, read in readers.items() if (picture := read(one.code, one.en)) is not None}
        if len(found) >= MIN_STYLES:
            pictures |= {(len(kept), style): compress(fit(picture)) for style, picture in found.items()}
            kept.append(one)
    return kept, pictures


def fit(picture: Image.Image) -> Image.Image:
    """A square of 64 pixels with what is visible, because styles leave margins of different widths."""
    left, top, right, bottom = picture.getchannel("A").point(lambda value: 255 * (value > 16)).getbbox()
    side = round(max(right - left, bottom - top, MIN_SHOWN * max(picture.size)))
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    return picture.crop((x, y, x + side, y + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def compress(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90)
    return buffer.getvalue()


def cut_font(font: Font, packages: Path, characters: str) -> bytes:
    """The file of a font with these characters only."""
    from fontTools import subset, ttLib

    path = next(unpack(font.package, packages).rglob(font.file))
    options = subset.Options(layout_features=[], hinting=True, notdef_outline=True)
    with ttLib.TTFont(path, fontNumber=font.number) as whole:
        cutter = subset.Subsetter(options)
        cutter.populate(text=characters)
        cutter.subset(whole)
        buffer = io.BytesIO()
        whole.save(buffer)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
