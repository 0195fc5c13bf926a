# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How quality.py writes differences and tables on its page."""

from evidence.quality.statistics import Comparison


def difference(comparison: Comparison) -> str:
    """In points, with its interval; bold where that contains 0."""
    text = f"{points(comparison.difference)} [{points(comparison.low)}, {points(comparison.high)}]"
    return f"**{text}**" if comparison.is_equal else text


def points(value: float) -> str:
    """With its sign, unless it is rounded to 0."""
    return f"{value:+.1f}" if abs(value) >= 0.05 else "0.0"


def markdown_table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
