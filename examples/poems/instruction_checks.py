# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Says whether an answer is what an instruction asked for.

A check is a dictionary with the keys of `EMPTY`, so that a file of them has one schema:

| kind | shape | correct |
|---|---|---|
| `line` | as long as the right line | one of `answers`, whatever mark ends it |
| `name` | one to sixteen characters | one of `answers`, with or without 《》 |
| `fill` | fits `pattern`, in which `_` stands for any Chinese character | one of `answers` |
| `form` | number and length of the lines are those of `form` | and the rhyme is, see `check_form` |
| `acrostic` | the same | its lines begin with the characters of `heads`, one after the other; no rhyme is asked for |
| `theme` | at least two lines | at least half of them are of one famous poem that is tagged with `theme` |
"""

from alphabet import LINE_ENDS, PAUSE, is_han
from check_form import check_form
from cleaning import split_lines


GAP = "_"  # □ and ＿ are not in the vocabulary
EMPTY = {"kind": "", "answers": [], "pattern": "", "form": "", "heads": "", "theme": ""}
_ENDS = LINE_ENDS + PAUSE + "…—"


def make_check(kind: str, **fields) -> dict:
    """Writes a check with all of its keys."""
    return EMPTY | {"kind": kind} | fields


def check_answer(answer: str, check: dict) -> dict[str, bool]:
    """Checks an answer.

    Args:
        answer (`str`):
            What the model wrote, without special tokens.
        check (`dict`):
            What was asked for: a `check` of the instructions.

    Returns:
        `dict[str, bool]`: `shape`, whether it is an answer to this kind of instruction at all, and `correct`.

    Example:

    ```python
    >>> check_answer("疑是地上霜", make_check("line", answers=["疑是地上霜。"]))
    {'shape': True, 'correct': True}
    ```
    """
    shape, correct = _CHECKERS[check["kind"]](answer.strip(), check)
    return {"shape": shape, "correct": shape and correct}


def bare(text: str) -> str:
    """The text without the marks around it."""
    return text.strip().strip("《》“”").rstrip(_ENDS)


def _line(answer: str, check: dict) -> tuple[bool, bool]:
    given, right = bare(answer), {bare(text) for text in check["answers"]}
    return all(is_han(c) or c == PAUSE for c in given) and len(given) in map(len, right), given in right


def _name(answer: str, check: dict) -> tuple[bool, bool]:
    given = bare(answer)
    return 1 <= len(given) <= 16 and all(is_han(c) or c in "·，、" for c in given), given in check["answers"]


def _fill(answer: str, check: dict) -> tuple[bool, bool]:
    given, pattern = bare(answer), bare(check["pattern"])
    fits = all(is_han(c) if asked == GAP else c == asked for c, asked in zip(given, pattern, strict=False))
    return len(given) == len(pattern) and fits, given in {bare(text) for text in check["answers"]}


def _form(answer: str, check: dict) -> tuple[bool, bool]:
    report = check_form(answer, check["form"])
    return report.shape, report.passed


def _acrostic(answer: str, check: dict) -> tuple[bool, bool]:
    heads = "".join(line[0] for line in split_lines(answer))
    return check_form(answer, check["form"]).shape, heads == check["heads"]


def _theme(answer: str, check: dict) -> tuple[bool, bool]:
    from themes import famous_themes

    lines = set(split_lines(answer))
    poems = [set(split_lines(poem["text"])) for poem in famous_themes()[check["theme"]]]
    return len(lines) > 1, any(2 * len(lines & poem) >= max(len(lines), 1) for poem in poems)


_CHECKERS = {"line": _line, "name": _name, "fill": _fill, "form": _form, "acrostic": _acrostic, "theme": _theme}
