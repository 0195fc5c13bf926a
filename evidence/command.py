# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The commands that repeat a measurement."""

from dataclasses import dataclass

from reporting.markdown import counted, duration


@dataclass(frozen=True)
class Command:
    """A command that repeats a measurement."""

    text: str  # the command line, from the root of the repository
    does: str  # the part that it measures
    seconds: float | None = None  # from the file of results; `None` if it was not run here
    device: str | None = None

    def __str__(self) -> str:
        cost = "not run here" if self.seconds is None else duration(self.seconds)
        return f"{self.does}: `{self.text}` ({cost}{f', {self.device}' if self.device else ''})"


def device_of(machine: dict) -> str:
    """The device that [`~reporting.results.describe_machine`] described."""
    threads = "" if "memory_gib" in machine else f", {counted(machine['threads'], 'thread')}"
    return f"{machine['name']}{threads}"
