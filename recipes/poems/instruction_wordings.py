# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The wordings of the instructions. Reads `instruction_phrasings.json`, a small grammar, and draws sentences from it.

The file has lists of words that many sentences share (`lists`, by language), and the sentences of each group (`groups`, by
language, then `trained` and `new`). In a sentence

- `{line}` is a slot, which the item fills;
- `[next|following|]` is a choice, here of two words and nothing;
- `<please>` is a choice from the list of that name. Usual words are in a list several times.

Each sentence of `trained` has many wordings, hundreds for each group and language, so that a model learns the words that
matter. The sentences of `new` are only in the test, and share neither openers nor sentences with training.
"""

import json
import random
import re
from functools import cache
from pathlib import Path


PHRASINGS_PATH = Path(__file__).with_name("instruction_phrasings.json")
LANGUAGES = ("zh", "en")
LOWER_CASE = 0.25  # share of the English instructions in lower case
NUM_TRIES = 8  # tries to draw a wording that is short enough, before the shortest wordings are used

Sentence = list  # of texts and of choices; a choice is a tuple of sentences


def say(group: str, language: str, phrasing: str, slots: dict[str, str], limit: int, rng: random.Random) -> str | None:
    """Puts an item into at most `limit` characters; `None` if each sentence is too long."""
    sentences = phrasings()[group][language][phrasing]
    for _ in range(NUM_TRIES):
        text = draw(rng.choice(sentences), rng).format(**slots)
        if len(text) <= limit:
            return spell(text, language, rng)
    short = [text for sentence in sentences if len(text := shortest(sentence).format(**slots)) <= limit]
    return spell(rng.choice(short), language, rng) if short else None


def spell(text: str, language: str, rng: random.Random) -> str:
    """Writes English with a capital at the start, or in lower case."""
    if language == "en":
        return text.lower() if rng.random() < LOWER_CASE else text[:1].upper() + text[1:]
    return text


def draw(sentence: Sentence, rng: random.Random) -> str:
    """Draws a wording."""
    return "".join(part if isinstance(part, str) else draw(rng.choice(part), rng) for part in sentence)


def shortest(sentence: Sentence) -> str:
    """The shortest wording; the first of several."""
    return "".join(part if isinstance(part, str) else min(map(shortest, part), key=len) for part in sentence)


def count_wordings(sentence: Sentence) -> int:
    """Counts the wordings of a sentence; a repeated word in a list counts once."""
    number = 1
    for part in sentence:
        if not isinstance(part, str):
            distinct = {json.dumps(option): option for option in part}
            number *= sum(map(count_wordings, distinct.values()))
    return number


def to_pattern(sentence: Sentence) -> str:
    """The regular expression of all wordings, with their slots."""
    return "".join(
        re.escape(part) if isinstance(part, str) else f"(?:{'|'.join(dict.fromkeys(map(to_pattern, part)))})"
        for part in sentence
    )


@cache
def phrasings() -> dict[str, dict[str, dict[str, list[Sentence]]]]:
    """Reads the sentences: by group, language, and `trained` or `new`."""
    data = json.loads(PHRASINGS_PATH.read_text(encoding="utf-8"))
    return {
        group: {
            language: {kind: [parse(text, data["lists"][language]) for text in texts] for kind, texts in kinds.items()}
            for language, kinds in languages.items()
        }
        for group, languages in data["groups"].items()
    }


def parse(text: str, lists: dict[str, list[str]]) -> Sentence:
    """Reads one sentence of the file."""
    text = re.sub(r"<([^<>]+)>", lambda match: f"[{'|'.join(lists[match[1]])}]", text)
    tokens = iter(re.findall(r"[\[\]|]|[^\[\]|]+", text))
    (sentence,) = _parse_options(tokens)
    return sentence


def _parse_options(tokens) -> tuple[Sentence, ...]:
    options = [[]]
    for token in tokens:
        if token == "]":
            break
        if token == "|":
            options.append([])
        else:
            options[-1].append(_parse_options(tokens) if token == "[" else token)
    return tuple(options)


def count_all() -> dict[str, dict[str, dict[str, int]]]:
    """Counts the training sentences, their wordings and the test sentences of each group and language."""
    return {
        group: {
            language: {
                "sentences": len(kinds["trained"]),
                "wordings": sum(map(count_wordings, kinds["trained"])),
                "new": len(kinds["new"]),
            }
            for language, kinds in languages.items()
        }
        for group, languages in phrasings().items()
    }
