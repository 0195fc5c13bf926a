# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tasks: prompts from the famous poems of llada-poet's training data, with their answers."""

import random
from dataclasses import dataclass

from recipes.poems.couplets import famous_couplets, famous_poems
from recipes.poems.header import poem_header


NUM_GIVEN = {5: 2, 7: 3}  # given characters of a couplet, for lines of 5 and of 7
POEM_FORM, POEM_LENGTH, LINE_LENGTH = "五言绝句", 24, 6  # characters, including punctuation


@dataclass(frozen=True)
class Question:
    """A prompt, its only right answer, which has to follow character by character, and its index, which seeds its noise."""

    prompt: str
    answer: str
    index: int


def line_questions() -> list[tuple[str, str]]:
    """Asks for the next line of a couplet."""
    return [(f"{first}，", f"{second}。") for first, second in famous_couplets()]


def couplet_questions() -> list[tuple[str, str]]:
    """Asks for the rest of a couplet from its first characters."""
    couplets = [(f"{first}，{second}。", NUM_GIVEN[len(first)]) for first, second in famous_couplets()]
    return [(couplet[:given], couplet[given:]) for couplet, given in couplets]


def poem_questions() -> list[tuple[str, str]]:
    """Asks for the rest of a quatrain from its header and its first line."""
    poems = [poem for poem in famous_poems() if poem["form"] == POEM_FORM and len(poem["text"]) == POEM_LENGTH]
    headers = [poem_header(poem["form"], poem["title"], poem["author"]) for poem in poems]
    texts = [poem["text"] for poem in poems]
    return [(header + text[:LINE_LENGTH], text[LINE_LENGTH:]) for header, text in zip(headers, texts, strict=True)]


TASKS = {
    "line": (line_questions, "the next line of a couplet"),
    "couplet": (couplet_questions, "the rest of a couplet from its first 2 or 3 characters"),
    "poem": (poem_questions, "the last three lines of a quatrain (五言绝句) from its header and first line"),
}


def questions_of(task: str, limit: int, seed: int) -> list[Question]:
    """The first `limit` questions of a task in a shuffled order."""
    pairs = TASKS[task][0]()
    random.Random(seed).shuffle(pairs)
    return [Question(prompt, answer, index) for index, (prompt, answer) in enumerate(pairs[:limit])]
