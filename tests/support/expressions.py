# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Random regular expressions and a tokenizer for them, for the tests of constraints."""

import itertools
import os

import torch
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from support.automata import accepts


# `CONSTRAINT_CASES=1000 pytest -m slow tests/compilers` tries 10,000 expressions, and 1,000 schemas with a model.
NUM_CASES = int(os.environ.get("CONSTRAINT_CASES", 50))

TOKENS = ["a", "b", "é", "ab", "ba", "aéb"]
TEXTS = ["".join(text) for length in range(5) for text in itertools.product("abé", repeat=length)]


def letters_tokenizer() -> PreTrainedTokenizerFast:
    """Three letters and some longer tokens."""
    backend = Tokenizer(models.WordLevel({token: index for index, token in enumerate(TOKENS)}))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


ATOMS = st.sampled_from(["a", "b", "é", ".", "[^a]", "[aé]", "", "[^b]"])
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?", "??"])


@st.composite
def patterns(draw, depth=3):
    """Random regular expressions over three letters."""
    kind = draw(st.sampled_from(["atom", "sequence", "sequence", "choice", "repeat"])) if depth else "atom"
    if kind == "atom":
        return draw(ATOMS)
    parts = patterns(depth - 1)
    if kind == "sequence":
        return "".join(draw(parts) for _ in range(draw(st.integers(1, 3))))
    if kind == "choice":
        return f"(?:{draw(parts)}|{draw(parts)})"
    return f"(?:{draw(parts)}){draw(REPEATS)}"


def splits(text: str) -> list[list[int]]:
    """All ways to split a text into tokens."""
    if not text:
        return [[]]
    return [
        [index, *rest]
        for index, token in enumerate(TOKENS)
        if text.startswith(token)
        for rest in splits(text[len(token) :])
    ]


WAYS = sorted(((way, text) for text in TEXTS for way in splits(text)), key=lambda pair: len(pair[0]))
WAYS_BY_LENGTH = [list(group) for _, group in itertools.groupby(WAYS, key=lambda pair: len(pair[0]))]


def accepted_texts(automaton) -> set[str]:
    """The texts of up to four letters that an automaton accepts. All ways to split a text must agree."""
    accepted, refused = set(), set()
    for group in WAYS_BY_LENGTH:
        ways = torch.tensor([way for way, _ in group], dtype=torch.long)
        for (_, text), is_accepted in zip(group, accepts(automaton, ways).tolist(), strict=True):
            (accepted if is_accepted else refused).add(text)
    assert not accepted & refused
    return accepted
