# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks the answers to instructions.

A check is a dictionary with the keys of `EMPTY`, so that all checks in a file have the same schema:

| kind | shape | correct |
|---|---|---|
| `fill` | fits `pattern`, in which `_` is any Chinese character | one of `answers`, with any end mark |
| `author` | begins with 《a title》 and a name | the name is one of `answers` |
| `title` | the same | the title is |
| `form` | number and length of the lines are those of `form` | and the rhyme is, see `check_form` |
| `acrostic` | the same | the lines begin with the characters of `heads`, in this order; the rhyme is not checked |
| `theme` | at least two lines | at least half of them are from one famous poem with the tag `theme` |
"""

import re

from recipes.poems.alphabet import LINE_ENDS, PAUSE, is_han
from recipes.poems.check_form import check_form
from recipes.poems.cleaning import split_lines


GAP = "_"  # □ and ＿ are not in the vocabulary
EMPTY = {"kind": "", "answers": [], "pattern": "", "form": "", "heads": "", "theme": ""}
_ENDS = LINE_ENDS + PAUSE + "…—"
_SOURCE = re.compile(r"《(?P<title>[^》\n]+)》(?P<author>[^\s《》]+)(\n|$)")


def make_check(kind: str, **fields) -> dict:
    """Makes a check with all keys."""
    return EMPTY | {"kind": kind} | fields


def check_answer(answer: str, check: dict) -> dict[str, bool]:
    """Checks an answer without special tokens: whether it has the right shape, and whether it is `correct`."""
    shape, correct = _CHECKERS[check["kind"]](answer.strip(), check)
    return {"shape": shape, "correct": shape and correct}


def bare(text: str) -> str:
    """The text without the marks around it."""
    return text.strip().strip("《》“”").rstrip(_ENDS)


def _fill(answer: str, check: dict) -> tuple[bool, bool]:
    given, pattern = bare(answer), bare(check["pattern"])
    fits = all(is_han(c) if asked == GAP else c == asked for c, asked in zip(given, pattern, strict=False))
    return len(given) == len(pattern) and fits, given in {bare(text) for text in check["answers"]}


def _source(answer: str, check: dict) -> tuple[bool, bool]:
    found = _SOURCE.match(answer)
    return found is not None, found is not None and found[check["kind"]] in check["answers"]


def _form(answer: str, check: dict) -> tuple[bool, bool]:
    report = check_form(answer, check["form"])
    return report.shape, report.passed


def _acrostic(answer: str, check: dict) -> tuple[bool, bool]:
    heads = "".join(line[0] for line in split_lines(answer))
    return check_form(answer, check["form"]).shape, heads == check["heads"]


def _theme(answer: str, check: dict) -> tuple[bool, bool]:
    from recipes.poems.themes import famous_themes

    lines = set(split_lines(answer))
    poems = [set(split_lines(poem["text"])) for poem in famous_themes()[check["theme"]]]
    return len(lines) > 1, any(2 * len(lines & poem) >= max(len(lines), 1) for poem in poems)


_CHECKERS = {"fill": _fill, "author": _source, "title": _source, "form": _form, "acrostic": _acrostic, "theme": _theme}
