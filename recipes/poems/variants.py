# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Replaces variant characters that the conversion to simplified script does not change (隠 to 隐, 鴈 to 雁)."""

import json
import re
from functools import cached_property
from pathlib import Path


_MAP_PATH = Path(__file__).with_name("variant_map.json")


class VariantFolder:
    """Replaces variant characters, except inside words that need them.

    Some characters are variants only in some words: 祇 means 只 in 祇今 but a god in 神祇. So the table `words` has precedence over the
    table `characters`.
    """

    def __init__(self):
        tables = json.loads(_MAP_PATH.read_text(encoding="utf-8"))
        self.characters: dict[str, str] = tables["characters"]
        self.words: dict[str, str] = tables["words"]

    def __call__(self, text: str) -> str:
        """Returns the text with its variants replaced."""
        if self._needs_words.isdisjoint(text):
            return text.translate(self._table)
        return self._pattern.sub(lambda match: self._fold(match.group()), text)

    def _fold(self, piece: str) -> str:
        return self.words.get(piece) or self.characters[piece]

    @cached_property
    def _table(self) -> dict[int, str]:
        return str.maketrans(self.characters)

    @cached_property
    def _needs_words(self) -> set[str]:
        # Translating a whole string is much faster than a pattern, and few poems have one of these characters.
        in_words = set("".join(self.words))
        return {c for c in in_words if c in self.characters} | {w[0] for w in self.words if w != self.words[w]}

    @cached_property
    def _pattern(self) -> re.Pattern:
        words = sorted(self.words, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, words)) + "|[" + "".join(self.characters) + "]")
