# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The size of regular expressions."""

import math
import re

import pytest
from hypothesis import given, settings
from support.expressions import TEXTS, patterns

from modeling_llada.compilers.expressions import size_of


@pytest.mark.parametrize(
    ("pattern", "num_states", "shortest", "longest"),
    [
        ("", 0, 0, 0),
        ("abc", 3, 3, 3),
        ("(ab|c){2,3}d?", 10, 2, 7),
        (r"\d{3}[^\]a-z]*?\x{4e00}", 99, 4, math.inf),
        ("a{100000}{1000}", 10**8, 10**8, 10**8),
        ("(?:|a+)(?i)(?P<name>.)", 9, 1, math.inf),
        ("(a{0}|b{0,})", 2, 0, math.inf),
        ("[{]{2}[[:alpha:]]", 3, 3, 3),
    ],
)
def test_sizes(pattern, num_states, shortest, longest):
    assert size_of(pattern) == (num_states, shortest, longest)


@given(patterns())
@settings(max_examples=60)
def test_no_match_is_shorter_or_longer(pattern):
    size = size_of(pattern)
    lengths = [len(text) for text in TEXTS if re.fullmatch(pattern, text)]
    assert all(size.shortest <= length <= size.longest for length in lengths)
    assert not lengths or min(lengths) == size.shortest
