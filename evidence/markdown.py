# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tables and numbers in Markdown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """
    What repeats a measurement.

    Args:
        text (`str`): The command line, from the root of the repository.
        does (`str`): What comes out.
        seconds (`float`, *optional*): What it took, from the file of results; left out where it was not run here.
        device (`str`, *optional*): On what.
    """

    text: str
    does: str
    seconds: float | None = None
    device: str | None = None


def cost(command: Command) -> str:
    if command.seconds is None:
        return "not run here"
    return f"{duration(command.seconds)}{f', {command.device}' if command.device else ''}"


def duration(seconds: float) -> str:
    """In the unit that a reader would say."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def device_of(machine: dict) -> str:
    """A machine as the benchmarks describe it."""
    threads = "" if "memory_gib" in machine else f", {counted(machine['threads'], 'thread')}"
    return f"{machine['name']}{threads}"


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def table(head: list[str], rows: list[list[str]]) -> str:
    """The first column on the left, numbers on the right."""
    numbers = [all(is_number(row[column]) for row in rows) for column in range(len(head))]
    lines = [head, ["--:" if right else "---" for right in numbers], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def is_number(cell: str) -> bool:
    return not cell or cell.lstrip("*+-−")[:1].isdigit()


def with_interval(value: dict, digits: int, unit: str = "") -> str:
    """A mean and the ends of its interval, `{"mean": ..., "low": ..., "high": ...}`."""
    return f"{value['mean']:.{digits}f}{unit} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"


def significant(value: float, digits: int = 2) -> str:
    """With so many digits that say something: 0.0123, 1.2, 123."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"


def joined(items: list[str]) -> str:
    """`a, b and c`."""
    return ", ".join(items[:-1]) + f" and {items[-1]}" if len(items) > 1 else "".join(items)
