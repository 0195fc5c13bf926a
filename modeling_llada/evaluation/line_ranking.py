# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The rank of the true line among other lines, by the log-likelihood that a model gives them.

A model cannot recall a line that it has never read, but should still rank the true line high. Ranking needs no decoding,
and an autoregressive model can rank lines in both directions (see `reversal_models.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from .reversal import DIRECTIONS, asked_line, is_pair, mean, pair_key, rate, read_list


FORMS = ("text", "question")


@dataclass(frozen=True)
class RankedPair:
    """A pair and the lines that compete with its lines."""

    pair: tuple[str, str]
    first_distractors: tuple[str, ...]  # compete with the first line
    second_distractors: tuple[str, ...]

    def distractors(self, direction: str) -> tuple[str, ...]:
        """The lines that compete with the line that is asked for."""
        return self.second_distractors if direction == "next" else self.first_distractors


def read_candidates(path: str | Path) -> list[RankedPair]:
    """
    Reads pairs with their distractors: a JSON list of objects with the keys `first`, `second`, `first_distractors`
    and `second_distractors`. Raises a `ValueError` if the file is no such list, or if a true line is among its
    distractors.
    """
    ranked = []
    for number, entry in enumerate(read_list(path)):
        entry = entry if isinstance(entry, dict) else {}
        lists = [entry.get(f"{name}_distractors") for name in ("first", "second")]
        pair = (entry.get("first"), entry.get("second"))
        if not is_pair(pair) or not all(isinstance(lines, list) and lines for lines in lists):
            raise ValueError(
                f"{path} must contain objects with the texts `first` and `second` and the lists `first_distractors` and "
                f"`second_distractors`, but entry {number} is {str(entry)[:100]}."
            )
        if any(line in lines for line, lines in zip(pair, lists, strict=True)):
            raise ValueError(f"{path}: entry {number} has a true line among its distractors: {pair}. Remove it.")
        ranked.append(RankedPair(pair, *map(tuple, lists)))
    return ranked


def rank_of_first(scores: list[float]) -> float:
    """
    The rank of the first score, 1 for the best. Equal scores share their mean rank.

    Example:

    ```python
    >>> rank_of_first([-2.0, -1.0, -2.0, -3.0])
    2.5
    ```
    """
    if any(map(isnan, scores)):
        raise ValueError(f"`scores` must not contain NaN, but got {scores}. Check the weights of the model.")
    true, others = scores[0], scores[1:]
    return 1 + sum(other > true for other in others) + sum(other == true for other in others) / 2


def rank_pairs(
    model,
    ranked: list[RankedPair],
    ranks: dict[str, dict[str, float]],
    forms: Sequence[str] = FORMS,
    seed: int = 0,
) -> Iterator[tuple[str, int]]:
    """
    Ranks the true lines of all pairs in both directions. The form `"text"` ranks the lines within their text, and
    `"question"` as answers that end with EOS. New ranks are added to `ranks`, by the name of the task (such as
    `"text previous"`) and the key of the pair; known ranks stay. Yields the name of the task and the number of new ranks.
    """
    for form in forms:
        for direction in DIRECTIONS:
            known = ranks.setdefault(f"{form} {direction}", {})
            for one in ranked:
                if pair_key(one.pair) in known:
                    continue
                before, after = model.sides(form, direction, one.pair)
                lines = [asked_line(one.pair, direction), *one.distractors(direction)]
                known[pair_key(one.pair)] = rank_of_first(model.score(before, lines, after, seed))
                yield f"{form} {direction}", 1


def summarise_ranks(ranks: dict[str, dict[str, float]], ranked: list[RankedPair]) -> dict[str, dict]:
    """
    The measures of the ranks of each task.

    Returns:
        `dict[str, dict]`: By the name of the task: the numbers of `pairs` and of `candidates` (a guess has the mean rank
        `(candidates + 1) / 2`), and `first` (how often the true line is the most probable one), `mean_rank` and
        `reciprocal_rank`, each with its `mean` and the ends of its 95% interval, `low` and `high`.
    """
    summaries = {}
    for name, known in ranks.items():
        values = [known[pair_key(one.pair)] for one in ranked]
        candidates = max(len(one.distractors(name.split()[-1])) for one in ranked) + 1
        summaries[name] = {
            "pairs": len(values),
            "candidates": candidates,
            "first": rate([value == 1 for value in values]),
            "mean_rank": mean(values, least=1.0, most=candidates),
            "reciprocal_rank": mean([1 / value for value in values], least=0.0, most=1.0),
        }
    return summaries
