# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The reversal test: is a line that follows another one also found from that one backwards?

A pair is two lines that stand together in a text. A model is given one of them and asked for the other, in both
directions, by a question in words or by the text itself (`reversal_models.py` has the ways in which each kind of model is
asked). What it answers is judged here.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .intervals import mean_interval, wilson_interval


DIRECTIONS = ("next", "previous")
QUESTIONS = {"next": "{line}的下一句是什么？", "previous": "{line}的上一句是什么？"}
DOCUMENT = "{first}，{second}。"
# In percent; an answer counts that has the line in it. 496 pairs of famous lines, greedy decoding, no fine-tuning.
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
            A question with the given line in place of `{line}`.
        document (`str`):
            The text in which the two lines stand together, `{first}` before `{second}`.
    """

    next: str = QUESTIONS["next"]
    previous: str = QUESTIONS["previous"]
    document: str = DOCUMENT

    def __post_init__(self):
        for name in DIRECTIONS:
            if getattr(self, name).count("{line}") != 1:
                raise ValueError(f"`{name}` must have {{line}} in it once, but got {getattr(self, name)!r}.")
        if not re.fullmatch(r"[^{}]*\{first\}[^{}]*\{second\}[^{}]*", self.document):
            raise ValueError(
                f"`document` must have {{first}} and then {{second}} in it, each once, but got {self.document!r}."
            )

    def question(self, pair: tuple[str, str], direction: str) -> str:
        """The question for one line of a pair."""
        return getattr(self, direction).replace("{line}", given_line(pair, direction))

    def text(self, pair: tuple[str, str]) -> str:
        """The text in which both lines stand."""
        return self.document.replace("{first}", pair[0]).replace("{second}", pair[1])

    def around(self, pair: tuple[str, str], direction: str) -> tuple[str, str]:
        """The text before and after the line that is asked for."""
        start, rest = self.document.split("{first}")
        middle, end = rest.split("{second}")
        return (start + pair[0] + middle, end) if direction == "next" else (start, middle + pair[1] + end)


def given_line(pair: tuple[str, str], direction: str) -> str:
    """The line that the model sees."""
    return pair[0] if direction == "next" else pair[1]


def asked_line(pair: tuple[str, str], direction: str) -> str:
    """The line that it is asked for."""
    return pair[1] if direction == "next" else pair[0]


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """
    Reads pairs of lines.

    Args:
        path (`str` or `Path`):
            A JSON list of `[first, second]`, or of objects with the keys `first` and `second`, as in `poem_data.json` of
            the public repository of LLaDA.

    Returns:
        `list[tuple[str, str]]`, without repetitions.

    Raises:
        `ValueError`: if the file is no such list, or a line in it is empty.
    """
    pairs = []
    for number, entry in enumerate(read_list(path)):
        pair = (entry.get("first"), entry.get("second")) if isinstance(entry, dict) else entry
        if not is_pair(pair):
            raise ValueError(
                f"{path} must hold pairs, [first, second] or {{'first': ..., 'second': ...}} with two texts, but entry "
                f"{number} is {str(entry)[:100]}."
            )
        pairs.append((pair[0].strip(), pair[1].strip()))
    return list(dict.fromkeys(pairs))


def read_list(path: str | Path) -> list:
    """Reads a JSON list that is not empty."""
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a JSON file, but it cannot be read: {error}.") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} must be a JSON list with at least one entry, but got {str(entries)[:100]}.")
    return entries


def is_pair(pair: object) -> bool:
    """Whether something is a list of two texts that are not empty."""
    is_two = isinstance(pair, list | tuple) and len(pair) == 2
    return is_two and all(isinstance(line, str) and line.strip() for line in pair)


def pair_key(pair: tuple[str, str]) -> str:
    """The name of a pair in a JSON file."""
    return "\t".join(pair)


def judge(answer: str, line: str, given: str = "") -> dict[str, float]:
    """
    Compares an answer with the true line.

    Args:
        answer (`str`):
            What the model said, without special tokens.
        line (`str`):
            The true line.
        given (`str`, *optional*, defaults to `""`):
            The line of the question. An answer may repeat it.

    Returns:
        `dict[str, float]`: `exact`, whether the first line of the answer, apart from the given one, is the true one;
        `contains`, whether the true line is anywhere in the answer (the published measure); `characters`, the share of
        characters of that first line that are right at their place, of the longer of the two.

    Example:

    ```python
    >>> from modeling_llada.evaluation.reversal import judge

    >>> judge("“床前明月光，疑是地上霜。”", "疑是地上霜", given="床前明月光")
    {'exact': 1.0, 'contains': 1.0, 'characters': 1.0}
    ```
    """
    said = said_line(answer, line, given)
    right = sum(a == b for a, b in zip(said, line, strict=False))
    return {
        "exact": float(said == line),
        "contains": float(line in answer),
        "characters": right / max(len(said), len(line)),
    }


def said_line(answer: str, line: str, given: str) -> str:
    """The line that an answer proposes."""
    if _LINE_END.search(line):  # such a line is compared with as much of the answer
        answer = answer.strip(_QUOTES)
        return answer.removeprefix(given).lstrip(_MARKS)[: len(line)] if given else answer[: len(line)]
    lines = (part.strip(_QUOTES) for part in _LINE_END.split(answer))
    return next((part for part in lines if part and part != given), "")


def summarise_answers(answers: dict[str, str], pairs: list[tuple[str, str]], direction: str) -> dict:
    """
    What the answers to all pairs amount to.

    Args:
        answers (`dict[str, str]`):
            The answer for the key of each pair.
        pairs (`list[tuple[str, str]]`):
            The pairs.
        direction (`str`):
            `"next"` or `"previous"`.

    Returns:
        `dict`: `pairs`, their number, and each measure of [`judge`] with its `mean` and the ends of its 95% interval, `low`
        and `high`.
    """
    judged = [
        judge(answers[pair_key(pair)], asked_line(pair, direction), given_line(pair, direction)) for pair in pairs
    ]
    summary = {"pairs": len(judged)}
    for name in ("exact", "contains"):
        summary[name] = rate([bool(one[name]) for one in judged])
    summary["characters"] = mean([one["characters"] for one in judged], least=0.0, most=1.0)
    return summary


def rate(hits: list[bool]) -> dict[str, float]:
    """A rate, as the mean of hits, and the ends of its interval."""
    low, high = wilson_interval(sum(hits), len(hits))
    return {"mean": round(sum(hits) / len(hits), 4), "low": round(low, 4), "high": round(high, 4)}


def mean(values: list[float], least: float, most: float) -> dict[str, float]:
    """A mean and the ends of its interval, within what is possible."""
    low, high = (min(max(end, least), most) for end in mean_interval(values))
    return {"mean": round(sum(values) / len(values), 4), "low": round(low, 4), "high": round(high, 4)}


def ask_pairs(model, pairs: list[tuple[str, str]], answers: dict[str, dict[str, str]]) -> Iterator[tuple[str, int]]:
    """
    Asks a model for both lines of all pairs, in all ways in which its kind can be asked, and adds what is not answered yet.

    Args:
        model ([`LLaDALines`] or [`CausalLines`]):
            The model.
        pairs (`list[tuple[str, str]]`):
            The pairs.
        answers (`dict[str, dict[str, str]]`):
            The answers so far, by the name of the task (`"question previous"`) and the key of the pair. Changed in place.

    Yields:
        `tuple[str, int]`: The name of the task and the number of pairs that have just been answered.
    """
    for form, direction in model.tasks:
        known = answers.setdefault(f"{form} {direction}", {})
        asked = [pair for pair in pairs if pair_key(pair) not in known]
        for done, new in model.answer(form, direction, asked):
            known.update({pair_key(pair): text for pair, text in zip(done, new, strict=True)})
            yield f"{form} {direction}", len(done)


def summarise(answers: dict[str, dict[str, str]], pairs: list[tuple[str, str]]) -> dict[str, dict]:
    """The summary of each task; see [`summarise_answers`]."""
    return {name: summarise_answers(known, pairs, name.split()[-1]) for name, known in answers.items()}


def batches_of_equal(rows: list, length_of: Callable[[object], object], batch_size: int) -> Iterator[list]:
    """Cuts rows into batches of equal length, so that no row needs padding."""
    groups = {}
    for row in rows:
        groups.setdefault(length_of(row), []).append(row)
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]
