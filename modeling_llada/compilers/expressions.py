# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Regular expressions as text: their parts, and how long what they match is, without compiling them."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


MAX_CHARACTERS = 2**21  # of an expression that is still compiled, and of the parts that it is made of

TOKEN = re.compile(
    r"""
    (?P<repeat> (?: [*+?] | \{\d+(?:,\d*)?\} ) \?? )
  | (?P<flags>  \(\?[A-Za-z-]+\) )
  | (?P<open>   \( (?: \?P?<\w+> | \?<?[=!] | \?[A-Za-z-]*: )? )
  | (?P<close>  \) )
  | (?P<or>     \| )
  | (?P<anchor> [\^$] )
  | (?P<set>    \[\^?\]? (?: \\. | \[:\^?\w+:\] | &&\[(?:\\.|[^\]\\])*\] | [^\]\\] )* \] )
  | (?P<escape> \\ (?: x[0-9A-Fa-f]{2} | u[0-9A-Fa-f]{4} | [xu]\{[0-9A-Fa-f]+\} | [pP]\{[^}]*\} | . ) )
  | (?P<dot>    \. )
  | (?P<literal> . )
    """,
    re.VERBOSE | re.DOTALL,
)


class Size(NamedTuple):
    """
    How large an expression is.

    Args:
        num_states (`int`): About the number of states over bytes that it asks for, with repetitions written out.
        shortest (`int`): The number of characters of the shortest text that it matches, or less.
        longest (`float`): That of the longest one, or more. It may be infinite.
    """

    num_states: int
    shortest: int
    longest: float


EMPTY = Size(0, 0, 0)
# The states of one character: of sets with most characters that there are, and of digits and letters of all scripts.
MOST_CHARACTERS, DIGITS, LETTERS = 8, 30, 300


def tokens(pattern: str) -> Iterator[tuple[str, str]]:
    """The parts of an expression, each with its kind: the name of a group of `TOKEN`."""
    return ((match.lastgroup, match.group()) for match in TOKEN.finditer(pattern))


def size_of(pattern: str) -> Size:
    """
    The size of what an expression matches.

    Example:

    ```python
    >>> size_of("(ab|c){2,3}d?")
    Size(num_states=10, shortest=2, longest=7)
    ```
    """
    groups = [[[]]]  # of open groups, the sizes of the items of each alternative
    for kind, text in tokens(pattern):
        items = groups[-1][-1]
        if kind == "open":
            groups.append([[]])
        elif kind == "close" and len(groups) > 1:
            group = groups.pop()
            groups[-1][-1].append(size_of_group(group))
        elif kind == "or":
            groups[-1].append([])
        elif kind == "repeat" and items:
            items[-1] = repeated(items[-1], *bounds_of(text))
        elif kind in ("set", "escape", "dot", "literal"):
            items.append(Size(states_of(kind, text), 1, 1))
    return size_of_group(groups[0])


def states_of(kind: str, text: str) -> int:
    """About the number of states of a character."""
    if kind in ("set", "escape") and re.search(r"\\[wWpP]", text):
        return LETTERS
    if kind in ("set", "escape") and re.search(r"\\[dD]", text):
        return DIGITS
    if kind == "dot" or text.startswith("[^") or text == r"\S":
        return MOST_CHARACTERS
    return 1


def size_of_group(alternatives: list[list[Size]]) -> Size:
    sizes = [Size(*(sum(values) for values in zip(*items, strict=True))) if items else EMPTY for items in alternatives]
    return Size(
        sum(size.num_states for size in sizes),
        min(size.shortest for size in sizes),
        max(size.longest for size in sizes),
    )


def bounds_of(repeat: str) -> tuple[int, int | None]:
    """How often a repetition repeats at least, and at most; `None` is no limit."""
    if repeat[0] != "{":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[repeat[0]]
    least, comma, most = repeat.rstrip("?")[1:-1].partition(",")
    return int(least), (int(most) if most else None) if comma else int(least)


def repeated(size: Size, least: int, most: int | None) -> Size:
    times = max(1, least if most is None else most)
    longest = 0 if size.longest == 0 or most == 0 else size.longest * (math.inf if most is None else most)
    return Size(size.num_states * times, size.shortest * least, longest)


def union(parts: Iterable[str]) -> str:
    """What matches one of some expressions."""
    parts = list(dict.fromkeys(parts))
    return parts[0] if len(parts) == 1 else f"(?:{'|'.join(parts)})"


__all__ = ["MAX_CHARACTERS", "Size", "bounds_of", "size_of", "tokens", "union"]
