# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The reversal test: a model that continues a line with the next one should also find the line before it.

A pair is two neighbouring lines of a text. A model gets one of them and is asked for the other, in both directions, by a
question in words or by the text itself. `reversal_models.py` asks the models; this file compares their answers.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..reading import read_json
from .intervals import mean_interval, wilson_interval


DIRECTIONS = ("next", "previous")
QUESTIONS = {"next": "{line}的下一句是什么？", "previous": "{line}的上一句是什么？"}
DOCUMENT = "{first}，{second}。"
# The percentage of answers that contain the line, for 496 pairs of famous lines, by greedy decoding without fine-tuning.
PUBLISHED = {
    "source": "Table 4 of arXiv:2502.09992v3",
    "scores": {
        "GPT-4o (2024-08-06)": {"next": 82.7, "previous": 34.3},
        "Qwen2.5-7B Instruct": {"next": 75.9, "previous": 38.0},
        "LLaDA-8B Instruct": {"next": 51.8, "previous": 45.6},
    },
}

_QUOTES = "“”‘’\"'「」『』《》 \t\r\n"
_MARKS = "，。？！；：,.?!;:\n"
_LINE_END = re.compile(f"[{_MARKS}]")


@dataclass(frozen=True)
class Templates:
    """
    The words around the lines.

    Args:
        next (`str`), previous (`str`):
            The questions for the next and the previous line, with `{line}` for the given line.
        document (`str`):
            The text of both lines, with `{first}` before `{second}`.
    """

    next: str = QUESTIONS["next"]
    previous: str = QUESTIONS["previous"]
    document: str = DOCUMENT

    def __post_init__(self):
        for name in DIRECTIONS:
            if getattr(self, name).count("{line}") != 1:
                raise ValueError(f"`{name}` must contain {{line}} once, but got {getattr(self, name)!r}.")
        if not re.fullmatch(r"[^{}]*\{first\}[^{}]*\{second\}[^{}]*", self.document):
            raise ValueError(
                f"`document` must contain {{first}} and then {{second}}, each once, but got {self.document!r}."
            )

    def question(self, pair: tuple[str, str], direction: str) -> str:
        """The question for the other line of a pair."""
        return getattr(self, direction).replace("{line}", given_line(pair, direction))

    def text(self, pair: tuple[str, str]) -> str:
        """The text of both lines."""
        return self.document.replace("{first}", pair[0]).replace("{second}", pair[1])

    def around(self, pair: tuple[str, str], direction: str) -> tuple[str, str]:
        """The text before and after the line that the model is asked for."""
        start, rest = self.document.split("{first}")
        middle, end = rest.split("{second}")
        return (start + pair[0] + middle, end) if direction == "next" else (start, middle + pair[1] + end)


def given_line(pair: tuple[str, str], direction: str) -> str:
    """The line that the model gets."""
    return pair[0] if direction == "next" else pair[1]


def asked_line(pair: tuple[str, str], direction: str) -> str:
    """The line that the model is asked for."""
    return pair[1] if direction == "next" else pair[0]


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """
    Reads pairs of lines, without repetitions: a JSON list of `[first, second]`, or of objects with the keys `first`
    and `second`, as in `poem_data.json` of the public repository of LLaDA. Raises a `ValueError` if the file is no
    such list, or if a line is empty.
    """
    pairs = []
    for number, entry in enumerate(read_list(path)):
        pair = (entry.get("first"), entry.get("second")) if isinstance(entry, dict) else entry
        if not is_pair(pair):
            raise ValueError(
                f"{path} must contain pairs of two texts, [first, second] or {{'first': ..., 'second': ...}}, but entry "
                f"{number} is {str(entry)[:100]}."
            )
        pairs.append((pair[0].strip(), pair[1].strip()))
    return list(dict.fromkeys(pairs))


def read_list(path: str | Path) -> list:
    """Reads a JSON list that is not empty."""
    entries = read_json(path, list)
    if not entries:
        raise ValueError(f"{path} must be a JSON list with at least one entry, but got [].")
    return entries


def is_pair(pair: object) -> bool:
    """Whether this is a list of two texts that are not empty."""
    is_two = isinstance(pair, list | tuple) and len(pair) == 2
    return is_two and all(isinstance(line, str) and line.strip() for line in pair)


def pair_key(pair: tuple[str, str]) -> str:
    """The key of a pair in a JSON file."""
    return "\t".join(pair)


def compare(answer: str, line: str, given: str = "") -> dict[str, float]:
    """
    Compares an answer with the true line.

    Args:
        answer (`str`):
            The answer of the model, without special tokens.
        line (`str`):
            The true line.
        given (`str`, *optional*, defaults to `""`):
            The line of the question, which an answer may repeat.

    Returns:
        `dict[str, float]`: `exact`, whether the first line of the answer after the given one is the true line;
        `contains`, whether the answer contains the true line (the published measure); `characters`, the share of
        characters of that first line that are right, relative to the longer of the two lines.

    Example:

    ```python
    >>> from modeling_llada.evaluation.reversal import compare

    >>> compare("“床前明月光，疑是地上霜。”", "疑是地上霜", given="床前明月光")
    {'exact': 1.0, 'contains': 1.0, 'characters': 1.0}
    ```
    """
    proposed = proposed_line(answer, line, given)
    right = sum(a == b for a, b in zip(proposed, line, strict=False))
    return {
        "exact": float(proposed == line),
        "contains": float(line in answer),
        "characters": right / max(len(proposed), len(line)),
    }


def proposed_line(answer: str, line: str, given: str) -> str:
    """The line that an answer proposes."""
    if _LINE_END.search(line):  # compared with as many characters of the answer
        answer = answer.strip(_QUOTES)
        return answer.removeprefix(given).lstrip(_MARKS)[: len(line)] if given else answer[: len(line)]
    lines = (part.strip(_QUOTES) for part in _LINE_END.split(answer))
    return next((part for part in lines if part and part != given), "")


def summarise_answers(answers: dict[str, str], pairs: list[tuple[str, str]], direction: str) -> dict:
    """
    The measures of the answers to all pairs: the number of `pairs`, and for each measure of [`compare`] its `mean`
    and the ends of its 95% interval, `low` and `high`.
    """
    measures = [
        compare(answers[pair_key(pair)], asked_line(pair, direction), given_line(pair, direction)) for pair in pairs
    ]
    return {
        "pairs": len(measures),
        "exact": rate([bool(one["exact"]) for one in measures]),
        "contains": rate([bool(one["contains"]) for one in measures]),
        "characters": mean([one["characters"] for one in measures], least=0.0, most=1.0),
    }


def rate(hits: list[bool]) -> dict[str, float]:
    """The share of hits, and the ends of its interval."""
    low, high = wilson_interval(sum(hits), len(hits))
    return {"mean": round(sum(hits) / len(hits), 4), "low": round(low, 4), "high": round(high, 4)}


def mean(values: list[float], least: float, most: float) -> dict[str, float]:
    """A mean, and the ends of its interval between the smallest and the largest possible value."""
    low, high = (min(max(end, least), most) for end in mean_interval(values))
    return {"mean": round(sum(values) / len(values), 4), "low": round(low, 4), "high": round(high, 4)}


def ask_pairs(model, pairs: list[tuple[str, str]], answers: dict[str, dict[str, str]]) -> Iterator[tuple[str, int]]:
    """
    Asks a model for both lines of all pairs, in all ways that it supports. New answers are added to `answers`, by the
    name of the task (such as `"question previous"`) and the key of the pair, and known ones are not asked again.
    Yields the name of the task and the number of new answers.
    """
    for form, direction in model.tasks:
        known = answers.setdefault(f"{form} {direction}", {})
        asked = [pair for pair in pairs if pair_key(pair) not in known]
        for done, new in model.answer(form, direction, asked):
            known.update({pair_key(pair): text for pair, text in zip(done, new, strict=True)})
            yield f"{form} {direction}", len(done)


def summarise(answers: dict[str, dict[str, str]], pairs: list[tuple[str, str]]) -> dict[str, dict]:
    """The summary of each task, see [`summarise_answers`]."""
    return {name: summarise_answers(known, pairs, name.split()[-1]) for name, known in answers.items()}


def measure(model, pairs: list[tuple[str, str]]) -> dict[str, dict]:
    """Asks a model about all pairs, and summarizes the answers; see [`ask_pairs`] and [`summarise`]."""
    answers: dict[str, dict[str, str]] = {}
    for _ in ask_pairs(model, pairs, answers):
        pass
    return summarise(answers, pairs)
