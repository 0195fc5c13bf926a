# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The documents of the classics: cleaned, each paragraph once, trained on or held out as a whole."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes.english.sources import SOURCES
from recipes.smollm2.corpus import MIN_DOCUMENT, MIN_PARAGRAPH, Paragraphs
from recipes.smollm2.sources import TextSource


# Typewriter characters, so that the same words are the same tokens in all sources.
PLAIN = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "—": "--", "–": "-", "…": "...", "_": "", "\u00a0": " "}
)
APPLAUSE = re.compile(r"\s*\((Applause|Laughter)[^)]*\)")
# What WordNet says of words that this corpus does without.
OFFENSIVE = re.compile(
    r"\b(slurs?|offensive|obscene|obscenity|vulgar|disparaging|derogatory|taboo|sexual\w*|genital\w*)\b"
)


@dataclass
class Document:
    """A text with a title, its first line."""

    kind: str
    name: str
    text: str

    @property
    def title(self) -> str:
        return self.text.split("\n", 1)[0]


def read_documents(packages: Path, sources: tuple[TextSource, ...] = SOURCES) -> Iterator[Document]:
    """The documents of all sources. A paragraph is in one document only; short ones, such as names, may come again."""
    seen = Paragraphs()
    for source in sources:
        for name, paragraphs in source.documents(packages):
            texts = [clean(paragraph) for paragraph in paragraphs]
            # Scenes may have the same title, the first text.
            titles, texts = (texts[:1], texts[1:]) if source.kind == "plays" else ([], texts)
            text = "\n\n".join(titles + [text for text in texts if is_kept(text, source.kind, seen)])
            if len(text) >= MIN_DOCUMENT:
                yield Document(source.kind, f"{source.package.name} {name}", text)


def clean(paragraph: str) -> str:
    return APPLAUSE.sub("", paragraph.translate(PLAIN)).strip()


def is_kept(paragraph: str, kind: str, seen: Paragraphs) -> bool:
    if not paragraph or (kind == "dictionary" and OFFENSIVE.search(paragraph)):
        return False
    return len(paragraph) < MIN_PARAGRAPH or seen.is_new(paragraph)
