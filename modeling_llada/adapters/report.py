# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a conversion did, for people."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class AdapterReport:
    """
    What was converted. `str(report)` is a table for people.

    Args:
        num_tensors (`int`):
            Tensors that were written: all that the source holds.
        modules (`list[tuple[str, str, list[int], int]]`):
            For each type of module its old and new name, with `*` for the layer, the layers, and the number of tensors.
        targets (`dict[str, list[str]]`):
            For each entry of the old `target_modules` the new names of what it adapted; none if it adapted nothing.
        changes (`dict[str, tuple]`):
            The old and the new value of each field of adapter_config.json that changed.
        warnings (`list[str]`):
            What does not fit together, without being an error.
        not_copied (`list[str]`):
            Files of the source that were left there.
    """

    num_tensors: int
    modules: list[tuple[str, str, list[int], int]] = field(default_factory=list)
    targets: dict[str, list[str]] = field(default_factory=dict)
    changes: dict[str, tuple] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    not_copied: list[str] = field(default_factory=list)

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
    """Numbers as people write them, such as `0-3, 7`."""
    runs = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def listed(items: list[str], separator: str = ", ") -> str:
    """The first few of a list of names."""
    return separator.join(items[:5]) + (f"{separator}... ({len(items)} in all)" if len(items) > 5 else "")


def shorten(value) -> str:
    """A value of a config, for one line."""
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
