# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Acrostics on phrases, made of lines of several poems (集句, an old game).

The first characters of the lines of a real poem rarely form a word, but people write acrostics on words. So a part of the
training asks for phrases: titles of four characters and the first four characters of lines of seven, such as 两个黄鹂. Each line
of the answer begins with a character of the phrase and keeps its place from its own poem; the even lines rhyme.
"""

import random
from collections import defaultdict

from recipes.poems.check_form import RHYME_GROUPS, rhyme_groups
from recipes.poems.cleaning import split_lines


PHRASE_LENGTH = 4
PHRASES = {"五言绝句": 1, "七言绝句": 1, "五言律诗": 2, "七言律诗": 2}  # the number of phrases in the heads of a form
NUM_TRIES = 4  # to find a poem without a repeated rhyme word


class LinePool:
    """The lines of some poems that keep their form, which is one of `PHRASES`."""

    def __init__(self, poems: list[dict]) -> None:
        self._phrases = []
        self._lines = defaultdict(list)  # by form, place, head, and for even lines the rhyme
        for poem in poems:
            lines = split_lines(poem["text"])
            phrases = [lines[0][:PHRASE_LENGTH]] if len(lines[0]) == 7 else []
            self._phrases += [*phrases, poem["title"]] if len(poem["title"] or "") == PHRASE_LENGTH else phrases
            for place, line in enumerate(lines):
                for rhyme in rhyme_groups(line[-1]) if place % 2 else [None]:
                    self._lines[poem["form"], place, line[0], rhyme].append(line)

    def draw_heads(self, form: str, rng: random.Random) -> str | None:
        """Draws a phrase, or two for a form of eight lines; `None` if there are no phrases."""
        return "".join(rng.choice(self._phrases) for _ in range(PHRASES[form])) if self._phrases else None

    def compose(self, heads: str, form: str, rng: random.Random) -> str | None:
        """Composes a poem of the form whose lines begin with the heads; `None` if there are no such lines."""
        options = {rhyme: self._choices(heads, form, rhyme) for rhyme in RHYME_GROUPS}
        options = [choices for choices in options.values() if all(choices)]
        if not options:
            return None
        (choices,) = rng.choices(options, [min(map(len, choices[1::2])) for choices in options])
        for _ in range(NUM_TRIES):
            lines = list(map(rng.choice, choices))
            if len({line[-1] for line in lines[1::2]}) == len(lines) // 2:
                return "".join(line + "，。"[place % 2] for place, line in enumerate(lines))
        return None

    def _choices(self, heads: str, form: str, rhyme: str) -> list[list[str]]:
        return [
            self._lines.get((form, place, head, rhyme if place % 2 else None), []) for place, head in enumerate(heads)
        ]
