# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Famous passages: which they are is in famous.json, and their text in the documents.

The file names documents by their kind and the beginning of their title, and passages in them by two places: numbers of lines (in the
Bible of verses), or words that are in the first and in the last line. A document without places is a passage as a whole.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


PASSAGES = Path(__file__).with_name("famous.json")
# A sentence of prose ends before a capital letter, but not after a title or an initial.
SENTENCE_END = re.compile(r"(?:(?<=[.!?;])|(?<=[.!?;][\"']))(?<!Mr\.)(?<!Mrs\.)(?<!St\.)(?<!\b[A-Z]\.)\s+(?=[\"'A-Z])")
SPEAKER = re.compile(r"([A-Z][A-Za-z]*\.? ?){1,3}\.|[A-Z .]{2,30}")  # the line above a speech in a play


@dataclass(frozen=True)
class Passage:
    """A famous passage: verses of the Bible, lines of a poem or a speech in a play, or sentences of prose."""

    kind: str
    title: str
    lines: list[str]

    def sentences(self) -> Iterator[dict[str, str]]:
        """The lines that have one before and one after them."""
        for before, text, after in zip(self.lines, self.lines[1:], self.lines[2:], strict=False):
            yield {"kind": self.kind, "title": self.title, "before": before, "text": text, "after": after}


def find_passages(documents, path: Path = PASSAGES) -> Iterator[tuple[Passage, int]]:
    """
    The passages, each with the number of its document.

    Raises:
        `ValueError`: if a passage is in no document.
    """
    for kind, titles in json.loads(path.read_text(encoding="utf-8")).items():
        ours = [
            (number, document, lines_of(document))
            for number, document in enumerate(documents)
            if document.kind == kind
        ]
        for title, places in titles.items():
            # No letter or digit follows, so that Psalms 1 is not Psalms 11.
            named = [one for one in ours if re.match(rf"{re.escape(title)}(?!\w)|$", one[1].title) or not title]
            for first, last in places or [(1, None)]:
                yield find_passage(kind, title, named, first, last)


def find_passage(
    kind: str, title: str, documents: list, first: int | str, last: int | str | None
) -> tuple[Passage, int]:
    """The passage between two places in the first document that has both."""
    for number, document, lines in documents:
        start = find_line(lines, first, 0)
        stop = len(lines) if last is None else None if start is None else find_line(lines, last, start)
        if start is not None and stop is not None:
            return Passage(kind, document.title, lines[start : stop + 1]), number
    raise ValueError(
        f"`passages` must be in the documents, but no {kind} {title!r} has the lines from {first!r} to {last!r}."
    )


def find_line(lines: list[str], place: int | str, start: int) -> int | None:
    """The index of a line: by its number, from 1, or as the first one from `start` that has some words."""
    if isinstance(place, int):
        return place - 1 if place <= len(lines) else None
    words = letters(place)
    return next((number for number in range(start, len(lines)) if words in letters(lines[number])), None)


def letters(text: str) -> str:
    return re.sub(r"[^a-z]+", "", text.lower())


def lines_of(document) -> list[str]:
    """The lines of a document without its title: verses, what is said in a play, or sentences of prose."""
    blocks = document.text.split("\n\n")
    if document.kind == "plays":
        return [line for block in blocks for line in block.split("\n") if not SPEAKER.fullmatch(line)]
    if document.kind in ("novels", "speeches"):
        return [sentence for block in blocks for sentence in SENTENCE_END.split(block)]
    return [line for block in blocks[1:] for line in block.split("\n")]
