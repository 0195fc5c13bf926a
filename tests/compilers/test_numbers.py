# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Ranges of numbers as regular expressions."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modeling_llada.compilers.numbers import Bound, integers_between, multiples_between, numbers_between


def matches(pattern: str | None, text: str) -> bool:
    return pattern is not None and bool(re.fullmatch(pattern, text))


bounds_of_integers = st.none() | st.integers(-1500, 1500)


@given(bounds_of_integers, bounds_of_integers, st.lists(st.integers(-20000, 20000) | st.integers(-150, 150)))
@settings(max_examples=50)
def test_integers(low, high, values):
    pattern = integers_between(low, high)
    for value in {*values, *filter(None, (low, high))}:
        inside = (low is None or low <= value) and (high is None or value <= high)
        assert matches(pattern, str(value)) == inside
    assert not any(matches(pattern, text) for text in ("-0", "00", "01", "", "-", "1.0"))


@given(
    bounds_of_integers,
    bounds_of_integers,
    st.sampled_from([1, 2, 4, 5, 8, 10, 25, 125, 250, 1000]),
    st.lists(st.integers(-5000, 5000), min_size=5),
)
@settings(max_examples=50)
@example(None, -7, 8, [-8, -16, -7, 0])
def test_multiples_that_their_last_digits_tell(low, high, divisor, values):
    pattern = multiples_between(low, high, divisor)
    for value in {*values, *(value * divisor for value in values), *filter(None, (low, high)), 0}:
        inside = (low is None or low <= value) and (high is None or value <= high)
        assert matches(pattern, str(value)) == (inside and value % divisor == 0), value


def test_other_multiples_are_listed():
    pattern = multiples_between(-20, 22, 7)
    assert [value for value in range(-50, 50) if matches(pattern, str(value))] == [-14, -7, 0, 7, 14, 21]
    assert multiples_between(1, 6, 7) is None
    with pytest.raises(ValueError, match="many multiples of 7.*Give bounds with at most 2000"):
        multiples_between(0, None, 7)


decimals = st.decimals(-200, 200, places=3) | st.decimals(-2, 2, places=2) | st.integers(-3, 3).map(Decimal)
bounds = st.none() | st.builds(Bound, decimals, st.booleans())


@given(bounds, bounds, st.lists(decimals))
@settings(max_examples=100)
def test_numbers(low, high, values):
    pattern = numbers_between(low, high)
    near = [bound.value + step for bound in (low, high) if bound for step in map(Decimal, ("0", "0.00001", "-0.1"))]
    for value in {*values, *near}:
        inside = (low is None or low.value < value or (low.is_included and low.value == value)) and (
            high is None or value < high.value or (high.is_included and high.value == value)
        )
        texts = {f"{value:f}", f"{value.normalize():f}", f"{value:.6f}"} if value else {"0", "0.00"}
        assert [text for text in texts if matches(pattern, text) != inside] == []
    assert not any(matches(pattern, text) for text in ("-0", "-0.0", "00", "1.", ".5", "1e3", "-"))


@pytest.mark.parametrize("value", ["0", "0.5", "123456789.25", "99999999999999", "0.00000000000001"])
def test_floats_are_on_the_side_of_the_bound_that_the_text_is_on(value):
    """Also next to a bound that is excluded."""
    bound = Decimal(value)
    above, below = numbers_between(Bound(bound, False), None), numbers_between(None, Bound(bound, False))
    step = Decimal(10) ** (len(str(int(bound))) - 15)
    for text, pattern in ((f"{bound + step:f}", above), (f"{bound - step:f}", below)):
        assert matches(pattern, text)
        assert (json.loads(text) > float(bound)) == (pattern is above)
        assert json.loads(text) != float(bound)


def test_bounds_with_many_digits_are_refused():
    for value in ("1234567890.1234567", "1000000000000000", "0.000000000000001"):
        with pytest.raises(ValueError, match=f"at most 15 digits together, but got {Decimal(value)}"):
            numbers_between(Bound(Decimal(value), True), None)
