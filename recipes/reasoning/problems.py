# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Problems with their working written out, and the two tasks: how a problem is made, and when an answer is right."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from modeling_llada.seeds import named_random
from recipes.reasoning import arithmetic, countdown


HELD_OUT_SHARE = 0.02  # of the sets of numbers
DRAWS = 10  # for each problem that is wanted, before there seem to be no more


@dataclass(frozen=True)
class Problem:
    """A problem and a right answer to it."""

    task: str
    prompt: str
    completion: str


@dataclass(frozen=True)
class Task:
    """
    `draw(count, largest, random)` gives a prompt, without its first word and line break, and a right answer. `is_right(prompt, answer)`
    checks one. `is_formed(prompt, answer)` says whether the answer ends as it should, right or wrong. `numbers(prompt)` are
    those by which problems are held out.
    """

    draw: Callable[[int, int, Random], tuple[str, str]]
    is_right: Callable[[str, str], bool]
    is_formed: Callable[[str, str], bool]
    numbers: Callable[[str], list[int]]


# By the word that a prompt begins with.
TASKS = {
    "evaluate": Task(arithmetic.draw, arithmetic.is_right, arithmetic.is_formed, arithmetic.numbers),
    "countdown": Task(countdown.draw, countdown.is_right, countdown.is_formed, countdown.numbers),
}


@dataclass
class Size:
    """How large the problems of a task are."""

    numbers: int  # of a problem
    largest: int  # of them


def draw_problems(task: str, size: Size, number: int, seed: int, held_out: bool) -> list[Problem]:
    """
    Draws distinct problems of a task. A held-out problem has a set of numbers that no other problem has, in whatever order and
    with whatever operations.

    Raises:
        `ValueError`: if there are not so many, as far as draws tell.
    """
    kind, random = TASKS[task], named_random("reasoning", task, size.numbers, size.largest, held_out, seed)
    found: dict[str, Problem] = {}
    for _ in range(int(DRAWS * number / (HELD_OUT_SHARE if held_out else 1))):
        rest, completion = kind.draw(size.numbers, size.largest, random)
        if is_held_out(kind.numbers(rest)) == held_out:
            prompt = f"{task} {rest}\n"
            found[prompt] = Problem(task, prompt, completion)
        if len(found) == number:
            return list(found.values())
    raise ValueError(
        f"`{'held_out' if held_out else 'trained'}` must be at most the different problems of `tasks.{task}`, but got {number} for "
        f"{size.numbers} numbers up to {size.largest}. Choose fewer problems, or larger numbers."
    )


def is_held_out(numbers: list[int]) -> bool:
    """Whether problems with these numbers are held out, which depends on the numbers alone, and not on their order."""
    return zlib.crc32(" ".join(map(str, sorted(numbers))).encode()) / 2**32 < HELD_OUT_SHARE


def split_prompt(prompt: str) -> tuple[str, str]:
    """The task of a prompt, and the rest of it without the line break."""
    task, _, rest = prompt.strip().partition(" ")
    return task, rest
