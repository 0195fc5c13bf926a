# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Splits poems and themes into those of training instructions and those of test instructions.

The famous poems are halved by a hash of their text. The base model has read all of them, and the training instructions ask only
about one half. The split `test` of the corpus is held out; the base model has not read it either. A training poem that shares a
line of at least four characters with a test poem is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from recipes.poems.cleaning import split_lines
from recipes.poems.couplets import famous_poems
from recipes.poems.dedupe import is_held_out
from recipes.poems.themes import famous_themes


MIN_LINE_LENGTH = 4  # shorter lines, such as 归去来, are in many poems
HELD_OUT_THEMES = 20  # percent
COLUMNS = ("text", "title", "author", "form")


@dataclass(frozen=True)
class Split:
    """The poems and the names of the themes of instructions. Without a corpus, the famous poems take its place."""

    famous: list[dict]
    corpus: list[dict]
    themes: set[str]


def split_poems(corpus: Path | None = None) -> tuple[Split, Split]:
    """Splits the poems and the themes for training and for the test. The corpus is the folder that `prepare.py` writes."""
    halves = {False: [], True: []}
    for poem in famous_poems():
        halves[is_held_out(poem["text"], percent=50)].append(poem)
    themes = {True: set(), False: set()}
    for theme in famous_themes():
        themes[is_held_out(theme, HELD_OUT_THEMES)].add(theme)
    corpus_train, corpus_test = read_corpus(corpus) if corpus else (halves[False], halves[True])
    test = Split(halves[True], corpus_test, themes[True])
    held_out = lines_of([*test.famous, *test.corpus])
    train = Split(without(halves[False], held_out), without(corpus_train, held_out), themes[False])
    return train, test


def read_corpus(folder: Path) -> tuple[list[dict], list[dict]]:
    """Reads the splits `train` and `test` of the corpus."""
    from datasets import load_from_disk

    if not (folder / "dataset_dict.json").exists():
        raise ValueError(f"`corpus` must be the folder that recipes/poems/prepare.py writes; got {folder}.")
    splits = load_from_disk(str(folder))
    return tuple(splits[name].select_columns(list(COLUMNS)).to_list() for name in ("train", "test"))


def lines_of(poems: Iterable[dict]) -> set[str]:
    """The lines of poems that are long enough to identify them."""
    return {line for poem in poems for line in split_lines(poem["text"]) if len(line) >= MIN_LINE_LENGTH}


def without(poems: list[dict], lines: set[str]) -> list[dict]:
    """The poems without any of the lines."""
    return [poem for poem in poems if lines.isdisjoint(split_lines(poem["text"]))]
