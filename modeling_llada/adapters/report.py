# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The report of a conversion."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class AdapterReport:
    """
    The result of a conversion. `str(report)` is a table.

    Args:
        num_tensors (`int`):
            The number of tensors that were written, which are all tensors of the source.
        modules (`list[tuple[str, str, list[int], int]]`):
            For each type of module its old and new name, with `*` for the layer, its layers, and its number of tensors.
        targets (`dict[str, list[str]]`):
            For each entry of the old `target_modules` the new names of the modules that it adapted.
        changes (`dict[str, tuple]`):
            The old and the new value of each changed field of adapter_config.json.
        warnings (`list[str]`):
            What does not fit together, but is no error.
        not_copied (`list[str]`):
            The files of the source that were not copied.
    """

    num_tensors: int
    modules: list[tuple[str, str, list[int], int]] = field(default_factory=list)
    targets: dict[str, list[str]] = field(default_factory=dict)
    changes: dict[str, tuple] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    not_copied: list[str] = field(default_factory=list)

    def warn_left_out(self, field: str, entry: str) -> None:
        """Warns of an entry of the config without tensors."""
        self.warnings.append(f"`{field}` names {entry}, but there are no tensors for it: it was left out")

    def __str__(self) -> str:
        lines = [f"{self.num_tensors} tensors renamed:"]
        for old, new, layers, count in self.modules:
            where = f"layers {spans(layers)}, " if layers else ""
            lines.append(f"  {old} -> {new}: {where}{count} tensor{'s' * (count > 1)}")
        lines.append("target_modules:")
        lines += [f"  {old} -> {', '.join(new) or 'dropped: no tensors'}" for old, new in self.targets.items()]
        lines += [f"{name}: {shorten(old)} -> {shorten(new)}" for name, (old, new) in self.changes.items()]
        lines += [f"not copied: {', '.join(self.not_copied)}"] if self.not_copied else []
        return "\n".join(lines)


def spans(numbers: Iterable[int]) -> str:
    """Ranges of numbers, such as `0-3, 7`."""
    runs = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def listed(items: list[str], separator: str = ", ") -> str:
    """The first names of a list, and how many there are."""
    return separator.join(items[:5]) + (f"{separator}... ({len(items)} in all)" if len(items) > 5 else "")


def shorten(value) -> str:
    """A value of a config, at most 80 characters long."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
