# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The one file that `prepare` writes: a ZIP archive with the pictures, names, words and fonts, and where they come from."""

import io
import json
import zipfile
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageFont

from modeling_llada.writing import write_atomically
from recipes.vision.names import Emoji, read_names, write_names


class Archive:
    """
    What rows are made from. It holds the compressed pictures and decodes each one once, so that a worker of a `DataLoader`
    takes 16 kB for a picture that it has used.

    Args:
        emoji (`list[Emoji]`): the emoji by number.
        pictures (`dict[tuple[int, str], bytes]`): compressed square pictures with transparency, by emoji and style.
        words (`dict[str, list[str]]`): the words for signs by language.
        fonts (`dict[str, tuple[str, bytes]]`): the language and the file of each font.
        about (`dict`): the packages with versions, licences and counts.
    """

    def __init__(self, emoji, pictures, words, fonts, about):
        self.emoji: list[Emoji] = emoji
        self.pictures: dict[tuple[int, str], bytes] = pictures
        self.words: dict[str, list[str]] = words
        self.fonts: dict[str, tuple[str, bytes]] = fonts
        self.about: dict = about
        self.styles = tuple(dict.fromkeys(style for _, style in sorted(pictures)))
        self.styles_of = [[] for _ in emoji]
        for number, style in sorted(pictures):
            self.styles_of[number].append(style)
        self._decoded: dict[tuple[int, str], Image.Image] = {}
        self._loaded: dict[tuple[str, int], ImageFont.FreeTypeFont] = {}

    def picture(self, number: int, style: str) -> Image.Image:
        """The RGBA picture of an emoji in a style. Do not change it."""
        key = (number, style)
        if key not in self._decoded:
            self._decoded[key] = Image.open(io.BytesIO(self.pictures[key])).convert("RGBA")
        return self._decoded[key]

    def fonts_of(self, language: str) -> list[str]:
        """The names of the fonts for a language."""
        return [name for name, (of, _) in self.fonts.items() if of == language]

    def font(self, name: str, size: int) -> ImageFont.FreeTypeFont:
        key = (name, size)
        if key not in self._loaded:
            self._loaded[key] = ImageFont.truetype(io.BytesIO(self.fonts[name][1]), size)
        return self._loaded[key]

    def __getstate__(self):
        # Processes that start afresh get the files, and decode what they use.
        return self.__dict__ | {"_decoded": {}, "_loaded": {}}

    def save(self, path: Path) -> None:
        """Writes the file, or leaves the old one."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for (number, style), data in self.pictures.items():
                archive.writestr(_entry(f"pictures/{style}/{self.emoji[number].code}.webp"), data)
            for name, (language, data) in self.fonts.items():
                archive.writestr(_entry(f"fonts/{language}/{name}"), data)
            for name, text in (
                ("names.tsv", write_names(self.emoji)),
                ("words.json", json.dumps(self.words, ensure_ascii=False)),
                ("about.json", json.dumps(self.about, ensure_ascii=False, indent=1)),
            ):
                archive.writestr(_entry(name), text.encode())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())


@lru_cache(maxsize=2)
def load_archive(path: str | Path) -> Archive:
    """Reads the file of `prepare`, once in a process."""
    if not Path(path).is_file():
        raise ValueError(
            f"`archive` must be the file that `python -m recipes.vision.prepare` writes; got {path}, which is no file."
        )
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    emoji = read_names(files["names.tsv"].decode())
    number = {one.code: index for index, one in enumerate(emoji)}
    pictures, fonts = {}, {}
    for name, data in files.items():
        folder, *rest = name.split("/")
        if folder == "pictures":
            pictures[number[rest[1].removesuffix(".webp")], rest[0]] = data
        elif folder == "fonts":
            fonts[rest[1]] = (rest[0], data)
    return Archive(emoji, pictures, json.loads(files["words.json"]), fonts, json.loads(files["about.json"]))


def _entry(name: str) -> zipfile.ZipInfo:
    # A fixed time: the same packages give the same bytes.
    return zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
