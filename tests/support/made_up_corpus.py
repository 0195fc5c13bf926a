# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A made-up corpus of poems, whose tokens say what they are, for the tests of training."""

import random

import numpy as np

from modeling_llada.training import Corpus, TokenizedDocuments


EOS, BOS, COMMA, STOP, QUESTION, MASK = 1, 0, 2, 3, 4, 98
FIRST_CHARACTER, LAST_CHARACTER = 10, 97
ENTRIES = [
    {"kind": "windows", "width": 32, "share": 0.4, "famous": 0.25},
    {"kind": "documents", "width": 48, "share": 0.2, "famous": 0.25},
    {"kind": "spans", "width": 32, "share": 0.2, "famous": 0.25},
    {"kind": "exact", "width": 12, "share": 0.2, "famous": 0.5},
]
PHASES = [{"fraction": 1.0, "entries": ENTRIES}]


def made_up_poem(rng, width=None, lines=None):
    width, lines = width or rng.choice([5, 7]), lines or rng.choice([2, 4, 8])
    tokens = []
    for line in range(lines):
        tokens += [rng.randint(FIRST_CHARACTER, LAST_CHARACTER) for _ in range(width)]
        tokens.append(COMMA if line % 2 == 0 else rng.choice([STOP, QUESTION]))
    return tokens


def documents_of(texts, headers=None):
    headers = headers or [[] for _ in texts]
    flat = lambda rows: np.array([token for row in rows for token in row], np.uint16)  # noqa: E731
    lengths = lambda rows: np.array([len(row) for row in rows], np.int32)  # noqa: E731
    return TokenizedDocuments(flat(texts), lengths(texts), flat(headers), lengths(headers))


def made_up_split(count, seed):
    rng = random.Random(seed)
    headers = [[rng.randint(5, 9)] * rng.choice([0, 2, 3]) for _ in range(count)]  # 5 .. 9 appear in headers alone
    return documents_of([made_up_poem(rng) for _ in range(count)], headers)


def corpus_of(splits):
    return Corpus(splits, 99, BOS, EOS, MASK, line_ends=[COMMA, STOP, QUESTION], sentence_ends=[STOP, QUESTION])


def copies_of(layout):
    """The copies of the documents in a layout, without BOS."""
    places = zip(layout.starts, layout.lengths, strict=True)
    return [layout.tokens[start : start + length].tolist() for start, length in places]


def made_up_corpus():
    return corpus_of({"train": made_up_split(200, 0), "famous": made_up_split(20, 1), "test": made_up_split(30, 2)})
