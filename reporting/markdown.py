# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Markdown for reports: tables, numbers, and the parts of a page that a script writes."""

import re


NUMBER = re.compile(r"(about |at least |at most )?[*+−-]*(\d.*)?", re.S)


def table(head: list[str], rows: list[list[str]], aligned: bool = False) -> str:
    """
    A Markdown table, with columns of numbers on the right and all others on the left.

    With `aligned`, cells are padded, which reads well in a terminal.
    """
    columns = []
    for index, name in enumerate(head):
        cells = [row[index] for row in rows]
        is_number = all(NUMBER.fullmatch(cell) for cell in cells)
        width = max(3, *map(len, (name, *cells))) if aligned else 3
        ruler = "-" * (width - 1) + ":" if is_number else "-" * width
        texts = [name, *cells]
        if aligned:
            texts = [text.rjust(width) if is_number else text.ljust(width) for text in texts]
        columns.append([texts[0], ruler, *texts[1:]])
    return "\n".join(f"| {' | '.join(line)} |" for line in zip(*columns, strict=True))


def report_table(rows: list[dict[str, str]], skipped: dict[str, str], aligned: bool = True) -> str:
    """Rows by the names of their columns, without the empty columns, and below them why a row is missing."""
    head = [name for name in rows[0] if any(row[name] for row in rows)]
    parts = [table(head, [[row[name] for name in head] for row in rows], aligned)]
    if skipped:
        parts.append("\n".join(f"- {name}: {reason}" for name, reason in skipped.items()))
    return "\n\n".join(parts)


def fill(page: str, name: str, text: str) -> str:
    """The page with a text between the comments `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"The page must have the two comments of {name!r}, but lacks {begin.strip()} or {end}.")
    return f"{before}{begin}{text}{end}{after}"


def with_interval(value: dict, digits: int, scale: float = 1) -> str:
    """A mean and the ends of its interval, `{"mean": ..., "low": ..., "high": ...}`, times a scale, which is 100 for percent."""
    mean, low, high = (f"{scale * value[name]:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def significant(value: float) -> str:
    """A number with two significant digits: 0.012, 1.2, 120."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 else f"{rounded:.2g}"


def duration(seconds: float) -> str:
    """Seconds in the unit that a reader would choose."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(number: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def joined(items: list) -> str:
    """`a, b and c`."""
    *first, last = map(str, items) if items else [""]
    return f"{', '.join(first)} and {last}" if first else last
