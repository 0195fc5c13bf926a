# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Acrostics on phrases, put together from lines of several poems (集句, an old game).

The heads of a real poem are hardly ever a word, and what people write acrostics on is. So a part of the training asks
for phrases: titles of four characters and the first four characters of seven, such as 两个黄鹂. Each line of the answer
begins with a character of the phrase and stands at the place where it stood in its own poem; the even lines rhyme.
"""

import random
from collections import defaultdict

from recipes.poems.check_form import RHYME_GROUPS, rhyme_groups
from recipes.poems.cleaning import split_lines


PHRASE_LENGTH = 4
PHRASES = {"五言绝句": 1, "七言绝句": 1, "五言律诗": 2, "七言律诗": 2}  # that the heads of a form are
NUM_TRIES = 4  # to have no rhyme word twice


class LinePool:
    """The lines of some poems.

    Args:
        poems (`list[dict]`): Poems that keep their form, which is one of `PHRASES`.
    """

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
        """A phrase, or two for a form of eight lines; `None` where there are no phrases."""
        return "".join(rng.choice(self._phrases) for _ in range(PHRASES[form])) if self._phrases else None

    def compose(self, heads: str, form: str, rng: random.Random) -> str | None:
        """A poem of the form whose lines begin with the heads; `None` where there are no such lines."""
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
