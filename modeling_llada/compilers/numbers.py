# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Ranges of numbers as regular expressions. Each number has one way to be written, but for zeros at the end of a fraction."""

from decimal import Decimal
from typing import NamedTuple

from .expressions import union


INTEGER = "(?:0|-?[1-9][0-9]*)"
NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?"
MAX_MULTIPLES = 2000  # that are listed one by one
# A float tells decimal numbers with so many digits apart, so that it is on the same side of a bound as the text.
MAX_DIGITS = 15


# Integers


def integers_between(low: int | None, high: int | None) -> str | None:
    """The integers from `low` to `high`; `None` is no bound, and as the result says that there are none."""
    if low is None and high is None:
        return INTEGER
    if low is not None and high is not None and low > high:
        return None
    parts = []
    if low is None or low < 0:
        parts.append(f"-{naturals_between(1 if high is None or high >= 0 else -high, None if low is None else -low)}")
    if high is None or high >= 0:
        parts.append(naturals_between(0 if low is None else max(0, low), high))
    return union(parts)


def naturals_between(low: int, high: int | None) -> str:
    """The natural numbers from `low` to `high`, by their number of digits."""
    num_digits = len(str(low if high is None else high))
    parts = []
    for length in range(len(str(low)), num_digits + 1):
        first, last = 0 if length == 1 else 10 ** (length - 1), 10**length - 1
        parts.append(digits_between(str(max(low, first)), str(last if high is None else min(high, last))))
    if high is None:
        parts.append(f"[1-9][0-9]{{{num_digits},}}")
    return union(parts)


def digits_between(low: str, high: str) -> str:
    """The numbers from `low` to `high`, both of the same number of digits."""
    rest = len(low) - 1
    if low == high:
        return low
    if not rest:
        return f"[{low}-{high}]"
    if low[0] == high[0]:
        return low[0] + digits_between(low[1:], high[1:])
    if set(low[1:]) == {"0"} and set(high[1:]) == {"9"}:
        return f"[{low[0]}-{high[0]}][0-9]{{{rest}}}"
    parts = [low[0] + digits_between(low[1:], "9" * rest), high[0] + digits_between("0" * rest, high[1:])]
    if int(low[0]) + 1 < int(high[0]):
        parts.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}][0-9]{{{rest}}}")
    return union(parts)


def multiples_between(low: int | None, high: int | None, divisor: int) -> str | None:
    """
    The multiples of `divisor` from `low` to `high`; `None` as the result says that there are none.

    Raises:
        `ValueError`: if they are too many to be listed, and their last digits do not tell them.
    """
    if low is not None and high is not None and high // divisor - (low - 1) // divisor <= MAX_MULTIPLES:
        values = range(-(-low // divisor) * divisor, high + 1, divisor)
        return union(map(str, values)) if values else None
    num_digits = next((digits for digits in range(1, 4) if 10**digits % divisor == 0), None)
    if num_digits is None:
        raise ValueError(
            f"may hold many multiples of {divisor}, and their last digits do not tell them. Give bounds with at most "
            f"{MAX_MULTIPLES} multiples between them"
        )
    parts = []
    if high is None or high >= 0:
        parts.append(natural_multiples(max(0, low or 0) if low is not None else 0, high, divisor, num_digits))
    if low is None or low < 0:
        least = 1 if high is None or high >= 0 else -high
        negative = natural_multiples(least, None if low is None else -low, divisor, num_digits)
        parts.append(negative and f"-{negative}")
    parts = [part for part in parts if part]
    return union(parts) if parts else None


def natural_multiples(low: int, high: int | None, divisor: int, num_digits: int) -> str | None:
    """The natural multiples of a divisor of `10**num_digits`: a number in front, and one of some endings."""
    block = 10**num_digits
    # Where the numbers of a block are all in the range, each ending may follow.
    first = max(1, -(-low // block))
    last = None if high is None else (high + 1) // block - 1
    parts = []
    if last is None or first <= last:
        endings = union(f"{ending:0{num_digits}}" for ending in range(0, block, divisor))
        parts.append(naturals_between(first, last) + endings)
        edges = [*range(low, first * block), *([] if last is None else range((last + 1) * block, high + 1))]
    else:
        edges = range(low, high + 1)
    parts += [str(value) for value in edges if value % divisor == 0]
    return union(parts) if parts else None


# Numbers with a fraction


class Bound(NamedTuple):
    """A bound, and whether a number may be equal to it."""

    value: Decimal
    is_included: bool


class Fraction(NamedTuple):
    """A bound of the digits behind the point, without zeros at the end."""

    digits: str
    is_included: bool


def numbers_between(low: Bound | None, high: Bound | None) -> str | None:
    """
    The numbers with up to 15 digits in front of the point, and with some behind it, from `low` to `high`; `None` is no bound,
    and as the result says that there are none.

    Raises:
        `ValueError`: if a bound has too many digits.
    """
    bounds = [bound.value for bound in (low, high) if bound is not None]
    num_integer_digits = max([1, *(len(str(abs(int(value)))) for value in bounds)])
    places = MAX_DIGITS - num_integer_digits
    for value in bounds:
        if places < 1 or len(fraction_of(value)) > places:
            raise ValueError(f"must have bounds with at most {MAX_DIGITS} digits together, but got {value}")
    limit = Decimal(10) ** MAX_DIGITS
    low, high = low or Bound(-limit, False), high or Bound(limit, False)
    zero, parts = Bound(Decimal(0), False), []
    if high.value >= 0:
        parts.append(positives_between(low if low.value >= 0 else zero._replace(is_included=True), high, places))
    if low.value < 0:
        nearest = zero if high.value >= 0 else Bound(-high.value, high.is_included)
        negative = positives_between(nearest, Bound(-low.value, low.is_included), places)
        parts.append(negative and f"-{negative}")
    parts = [part for part in parts if part]
    return union(parts) if parts else None


def fraction_of(value: Decimal) -> str:
    """The digits behind the point, without zeros at the end."""
    return f"{value:f}".partition(".")[2].rstrip("0")


def positives_between(low: Bound, high: Bound, places: int) -> str | None:
    """The numbers from `low` to `high`, which are not negative."""
    first, last = int(low.value), int(high.value)
    least, most = (Fraction(fraction_of(bound.value), bound.is_included) for bound in (low, high))
    if first > last:
        return None
    if first == last:
        return with_fraction(str(first), least, most, places)
    parts = [with_fraction(str(first), least, None, places), with_fraction(str(last), None, most, places)]
    if first + 1 < last:
        parts.append(with_fraction(naturals_between(first + 1, last - 1), None, None, places))
    parts = [part for part in parts if part]
    return union(parts) if parts else None


def with_fraction(integer: str, low: Fraction | None, high: Fraction | None, places: int) -> str | None:
    """An integer, with the fractions between two bounds."""
    digits, may_be_empty = fractions_between(low, high, places)
    if digits is None:
        return integer if may_be_empty else None
    return rf"{integer}(?:\.{digits}){'?' if may_be_empty else ''}"


def fractions_between(low: Fraction | None, high: Fraction | None, places: int) -> tuple[str | None, bool]:
    """
    The digits behind the point for a number between two bounds, up to `places`. `None` if there are none, and whether there
    may be no digits at all.
    """
    may_be_empty = (low is None or low == ("", True)) and (high is None or high.digits != "" or high.is_included)
    if places == 0:
        return None, may_be_empty
    least, most = (int(low.digits[:1] or 0) if low else 0), (int(high.digits[:1] or 0) if high else 9)
    parts = []
    for digit in range(least, most + 1):
        below = low._replace(digits=low.digits[1:]) if low and digit == least else None
        above = high._replace(digits=high.digits[1:]) if high and digit == most else None
        rest, may_end = fractions_between(below, above, places - 1) if below or above else (None, True)
        if below is above is None:
            parts.append((digit, f"[0-9]{{0,{places - 1}}}"))
        elif rest is not None:
            parts.append((digit, f"(?:{rest})?" if may_end else rest))
        elif may_end:
            parts.append((digit, ""))
    # Digits in a row with the same rest are one range.
    rests = {}
    for digit, rest in parts:
        rests.setdefault(rest, []).append(str(digit))
    return union(f"[{''.join(digits)}]{rest}" for rest, digits in rests.items()) if parts else None, may_be_empty


__all__ = ["INTEGER", "NUMBER", "Bound", "integers_between", "multiples_between", "numbers_between"]
