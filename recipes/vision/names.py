# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Chooses the emoji and the words: names that a picture tells apart, in English and Chinese, from Unicode's CLDR."""

import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


# Emoji that a picture does not tell apart, or whose name describes what nobody sees, such as the size of a square.
UNCLEAR = re.compile(
    r"button|thirty|skin tone|\b(small|medium|large)\b.*(square|diamond)|person: |input |^(copyright|registered|trade mark)$"
    r"|arrows? |BACK|END|ON!|SOON|TOP|middle finger|love hotel|oncoming (bus|taxi|auto|police)|[“”()!.]",
)
WORD = re.compile("[a-z]{3,8}")
HAN_WORD = re.compile("[一-鿿]{2,4}")
MIN_WORDS_OF_CHARACTER = 5


@dataclass(frozen=True)
class Emoji:
    """An emoji: its code points in hexadecimal, such as `2764-fe0f`, and its names."""

    code: str
    en: str
    zh: str

    def name(self, language: str) -> str:
        return self.en if language == "en" else self.zh


def annotations(cldr: Path, language: str) -> dict[str, dict]:
    """Names (`tts`) and keywords (`default`) by character."""
    path = cldr / f"package/annotations/{language}/annotations.json"
    return json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]


def choose_emoji(codes: list[str], english: dict[str, dict], chinese: dict[str, dict]) -> list[Emoji]:
    """
    The emoji of one code point whose names are clear and distinct in both languages. Sequences are left out: flags, keycaps,
    skin tones, and the man and the woman beside each person.
    """
    chosen = []
    for code in codes:
        points = code.removesuffix("-fe0f")
        character = "" if "-" in points else chr(int(points, 16))
        names = [part.get(character, {}).get("tts", [""])[0] for part in (english, chinese)]
        if all(names) and not UNCLEAR.search(names[0]):
            chosen.append(Emoji(code, plain(names[0]), names[1].replace(" ", "")))
    for language in ("en", "zh"):
        times = Counter(emoji.name(language).casefold() for emoji in chosen)
        chosen = [emoji for emoji in chosen if times[emoji.name(language).casefold()] == 1]
    return sorted(chosen, key=lambda emoji: emoji.code.zfill(12))


def plain(name: str) -> str:
    """An English name in ASCII: an apostrophe of the keyboard, and no accents."""
    return unicodedata.normalize("NFKD", name.replace("’", "'")).encode("ascii", "ignore").decode()


def choose_words(english: dict[str, dict], chinese: dict[str, dict]) -> dict[str, list[str]]:
    """Words to write on signs: keywords. A Chinese character is in five of them at least, so that it can be learnt."""
    words = {part for entry in english.values() for text in entry["default"] for part in text.split()}
    hans = {text for entry in chinese.values() for text in entry["default"] if HAN_WORD.fullmatch(text)}
    rare = {""}
    while rare:
        times = Counter(character for text in hans for character in set(text))
        rare = {text for text in hans if min(times[character] for character in text) < MIN_WORDS_OF_CHARACTER}
        hans -= rare
    return {"en": sorted(word for word in words if WORD.fullmatch(word)), "zh": sorted(hans)}


def write_names(emoji: list[Emoji]) -> str:
    return "".join(f"{one.code}\t{one.en}\t{one.zh}\n" for one in emoji)


def read_names(text: str) -> list[Emoji]:
    return [Emoji(*line.split("\t")) for line in text.splitlines()]
