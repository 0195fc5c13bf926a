# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The choices that a row is made of, and what is held out: wordings, layouts, a style for a third of the emoji, words on signs."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from PIL import Image

from recipes.vision.archive import Archive


SPLITS = ("train", "test")
LANGUAGES = ("en", "zh")
EMOJI_SHARE, LAYOUT_SHARE, WORD_SHARE = 3, 5, 5  # one of so many is held out
WORDINGS = json.loads((Path(__file__).parent / "wordings.json").read_text(encoding="utf-8"))
PLACES = {
    "en": ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right"),
    "zh": ("左上", "上边", "右上", "左边", "中间", "右边", "左下", "下边", "右下"),
}
ENGLISH_PREPOSITIONS = {"left": "on the left", "right": "on the right", "middle": "in the middle"}


@dataclass
class Asked:
    """A question about pictures, before it is put into words. `slots` fill the wording."""

    task: str  # what the scores are broken down by
    kind: str  # the key of its wordings
    images: list[Image.Image]
    answer: str
    slots: dict[str, str] = field(default_factory=dict)
    reasoning: str = ""
    layout: tuple[int, ...] = ()
    style: str = ""  # of the emoji to name


class Draw:
    """
    The random choices of one row.

    Args:
        archive (`Archive`): pictures, names and fonts.
        split (`str`): "train" or "test", which never share a layout, a wording, or a word on a sign.
        language (`str`): "en" or "zh".
        rng (`random.Random`): the generator of the row.
        tile (`int`): pixels of a side of a tile. Small print is too small for one tile, and large enough for four.
    """

    def __init__(self, archive: Archive, split: str, language: str, rng: random.Random, tile: int):
        self.archive, self.split, self.language, self.rng, self.tile = archive, split, language, rng, tile

    @property
    def is_test(self) -> bool:
        return self.split == "test"

    def layout(self, *sizes: int, fixed: Sequence[int] = ()) -> tuple[int, ...]:
        """
        Numbers below `sizes`, after the `fixed` ones, that together are a layout of the split. A fifth of all combinations is
        held out: those whose sum divides by five, so that each single number is in both splits.
        """
        while True:
            chosen = (*fixed, *(self.rng.randrange(size) for size in sizes))
            if self.has_layout(chosen):
                return chosen

    def has_layout(self, layout: Sequence[int]) -> bool:
        """Whether a layout belongs to the split."""
        return is_held_out_layout(layout) == self.is_test

    def wording(self, kind: str, slots: dict[str, str]) -> str:
        """A question of the split in the language."""
        text = self.rng.choice(WORDINGS[kind][self.language][self.split])
        capital = {key.capitalize(): value[:1].upper() + value[1:] for key, value in slots.items()}
        return text.format(**slots, **capital)

    def held_out_emoji(self) -> tuple[int, str]:
        """An emoji in the style in which training never sees it."""
        number = self.rng.choice(held_out_numbers(self.archive))
        return number, held_out_style(self.archive, number)

    def emoji(self, count: int = 1) -> list[tuple[int, str]]:
        """Different emoji in styles in which training sees them."""
        numbers = self.rng.sample(range(len(self.archive.emoji)), count)
        return [(number, self.seen_style(number)) for number in numbers]

    def seen_style(self, number: int) -> str:
        held_out = held_out_style(self.archive, number)
        return self.rng.choice([style for style in self.archive.styles_of[number] if style != held_out])

    def name(self, number: int) -> str:
        return self.archive.emoji[number].name(self.language)

    def word(self, language: str | None = None) -> str:
        """A word for signs that belongs to the split."""
        words = self.archive.words[language or self.language]
        while True:
            word = self.rng.choice(words)
            if is_held_out_text(word) == self.is_test:
                return word

    def number(self, low: int, high: int) -> int:
        """A number for signs that belongs to the split."""
        while True:
            number = self.rng.randint(low, high)
            if is_held_out_text(str(number)) == self.is_test:
                return number

    def place(self, row: int, column: int) -> str:
        """The word for a place of nine: rows and columns 0 to 2."""
        return PLACES[self.language][3 * row + column]

    def at(self, row: int, column: int) -> dict[str, str]:
        """The slots of a question that name a place."""
        place = self.place(row, column)
        return {"place": place, "at": ENGLISH_PREPOSITIONS.get(place, f"at the {place}")}

    def join(self, parts: list[str]) -> str:
        """A list in words."""
        comma, last = (", ", " and ") if self.language == "en" else ("、", "和")
        return last.join([comma.join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]

    def say_pairs(self, pairs: Sequence[tuple[str, str]]) -> str:
        """Pairs in words, such as `tea: 3. bread: 4.`"""
        colon, stop = (": ", ". ") if self.language == "en" else ("：", "。")
        return stop.join(colon.join(pair) for pair in pairs) + stop.strip()

    def say(self, english: str, chinese: str) -> str:
        return english if self.language == "en" else chinese


def is_held_out_layout(layout: Sequence[int]) -> bool:
    return sum(layout) % LAYOUT_SHARE == 0


def is_held_out_text(text: str) -> bool:
    return crc32(text.encode()) % WORD_SHARE == 0


def held_out_style(archive: Archive, number: int) -> str | None:
    """The style of an emoji that training never shows, for a third of the emoji. It is another one from emoji to emoji."""
    key = crc32(archive.emoji[number].code.encode())
    styles = archive.styles_of[number]
    return styles[key // EMOJI_SHARE % len(styles)] if key % EMOJI_SHARE == 0 else None


@lru_cache(maxsize=2)
def held_out_numbers(archive: Archive) -> list[int]:
    return [number for number in range(len(archive.emoji)) if held_out_style(archive, number)]
