# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Whether answers are right, scores by task, and what somebody who sees no picture would score."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

from recipes.vision.rows import ANSWER


MARKS = re.compile("|".join(re.escape(mark.strip()) for mark in ANSWER.values()))
ARTICLE = re.compile(r"^(the|a|an) ")
# Words for the answers of some tasks that mean the same.
SAME = {
    "position": {"centre": "middle", "center": "middle", "upper left": "top left", "upper right": "top right"},
    "colour": {"gray": "grey"},
}


def is_right(task: str, answer: str, truth: str) -> bool:
    """
    Whether an answer is the true one, after reasoning, case, articles, spaces and the full stop are taken off.

    Example:

    ```python
    >>> is_right("naming", "The red apple.", "red apple")
    True
    >>> is_right("two-step", "tea: 3. bread: 4. 3 + 4 = 7. Answer: 7", "7")
    True
    ```
    """
    return normal(task, answer) == normal(task, truth)


def normal(task: str, answer: str) -> str:
    """The form in which answers of a task are compared."""
    last = MARKS.split(answer)[-1]
    plain = " ".join(unicodedata.normalize("NFKC", last).casefold().replace("’", "'").split()).strip(" .。!?\"'")
    plain = ARTICLE.sub("", plain)
    plain = SAME.get(task, {}).get(plain, plain)
    # Chinese has no spaces between words.
    return plain if plain.isascii() else re.sub(r"(?<=[^\x00-\x7f]) | (?=[^\x00-\x7f])", "", plain)


def scores(rows: Iterable[dict], answers: Iterable[str]) -> dict[str, dict[str, float]]:
    """The share of right answers and the number of rows for each task, and for each kind of question as `task/kind`."""
    right = defaultdict(list)
    for row, answer in zip(rows, answers, strict=True):
        is_it = is_right(row["task"], answer, row["answer"])
        right[row["task"]].append(is_it)
        right[f"{row['task']}/{row['kind']}"].append(is_it)
    return {key: {"right": sum(part) / len(part), "rows": len(part)} for key, part in sorted(right.items())}


def blind_answers(train: Iterable[dict], test: Iterable[dict]) -> list[str]:
    """The most frequent answer in training to each kind of question in each language: what guessing without pictures gives."""
    seen = defaultdict(Counter)
    for row in train:
        seen[row["kind"], row["language"]][row["answer"]] += 1
    return [
        max(answers, key=answers.get, default="") for answers in (seen[row["kind"], row["language"]] for row in test)
    ]
