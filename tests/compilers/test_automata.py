# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Regular expressions as automata over tokens: they accept what matches, and none that is too large is compiled."""

import re
import time

import pytest
from hypothesis import example, given, settings
from support.expressions import NUM_CASES, TEXTS, accepted_texts, letters_tokenizer, patterns

from modeling_llada import Constraint


LETTERS = letters_tokenizer()


def check(pattern):
    expected = {text for text in TEXTS if re.fullmatch(pattern, text)}
    try:
        accepted = accepted_texts(Constraint.from_regex(pattern, LETTERS).automaton)
    except ValueError as error:
        assert "none spell one that matches" in str(error)
        accepted = set()
    assert accepted == expected


@given(patterns())
@example("(?:a)?(?:a)?(?:a)?")  # all states accept
@settings(max_examples=40)
def test_an_automaton_accepts_what_matches(pattern):
    check(pattern)


@pytest.mark.slow
@given(patterns())
@settings(max_examples=10 * NUM_CASES, deadline=None)
def test_many_automata_accept_what_matches(pattern):
    check(pattern)


@pytest.mark.parametrize(
    ("pattern", "num_states"), [("(?:a|b)*", 1), ("(?:ab|bb)(?:ab|bb){2}", 7), ("a{0,3}|b{0,3}", 6)]
)
def test_equal_states_are_one(pattern, num_states):
    assert len(Constraint.from_regex(pattern, LETTERS).automaton.table) == num_states


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            "a{100000}{1000}",
            r"'a\{100000\}\{1000\}' asks for about 100,000,000 states with its repetitions written out",
        ),
        ("a{1000000000000}", "asks for about 1,000,000,000,000 states"),
        (".{19000}", "asks for about 152,000 states"),
        pytest.param(".{9000}", r"has [\d,]+ states", marks=pytest.mark.slow),
    ],
)
def test_patterns_that_are_too_large_are_refused_at_once(pattern, message):
    began = time.perf_counter()
    with pytest.raises(ValueError, match=rf"`pattern` must be small enough to compile.*{message}.*Ask for less"):
        Constraint.from_regex(pattern, LETTERS)
    assert time.perf_counter() - began < 6


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["(a|b)*a(a|b){16}", "(a|b)*a(a|b){60}"])
def test_patterns_with_exponentially_many_states_are_refused(pattern):
    """The first one has 131,072 states. The second one could not be compiled."""
    with pytest.raises(ValueError, match=r"has (131,\d{3}|too many) states; the limit is 50,000"):
        Constraint.from_regex(pattern, LETTERS)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="`choices` must be small enough to compile"):
        Constraint.from_choices(["a" * 200_000], LETTERS)
    with pytest.raises(ValueError, match="`schema` must be small enough to compile"):
        Constraint.from_json_schema({"type": "string", "minLength": 2_000_000}, LETTERS)
