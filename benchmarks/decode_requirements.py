# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The requirements for the 8B shape from before it was measured, beside what the decoding bench reached."""

from dataclasses import dataclass

from benchmarks.shapes import OWN_FP8
from reporting.markdown import table


ENGINES = ("graph", "compiled", "eager")
MODEL = "shape 8b"
# What rows that count have beside the whole model. The number of tokens that a step commits costs nothing.
ROW = {"who": "ours", "prompt": 128, "answer": 256, "block_length": 32, "dtype": "bfloat16"}
SECTION = """### {title}

{model} in bfloat16 on an {device}, {weights}, 128 + 256 in blocks of 32. If several files have such a
row, the slowest counts. Bold: reached. {note}

{table}
"""


@dataclass(frozen=True)
class Requirement:
    """The largest or the smallest value of a column that is good enough, and the rows that count."""

    text: str  # its row in the table
    column: str
    at_most: float | None = None
    aim: str = ""  # the value that was hoped for
    modes: tuple[str, ...] = ("exact", "dual")
    batches: tuple[int, ...] = (1, 8)
    engines: tuple[str, ...] = ENGINES
    at_least: float | None = None
    tokens_per_step: int | None = None  # that count; all of them by default

    @property
    def bound(self) -> str:
        return f"at least {self.at_least:,g}" if self.at_most is None else f"at most {self.at_most:g}"


@dataclass(frozen=True)
class Goal:
    """Requirements on a device, and the columns of their table: engines, or kinds of weights."""

    title: str
    device: str
    columns: dict[str, dict[str, str | None]]
    requirements: tuple[Requirement, ...]
    weights: str
    note: str


PLAIN = Goal(
    "Required and reached",
    "H100",
    {engine: {"engine": engine, "weights": None} for engine in ENGINES},
    (
        Requirement("batch 1, exact: ms a pass", "ms_per_pass", 13, "11", ("exact",), (1,)),
        Requirement("batch 1, dual: ms inside a block", "ms_inside_block", 8.4, "7", ("dual",), (1,)),
        Requirement("batch 8, exact: ms a pass", "ms_per_pass", 84, "", ("exact",), (8,)),
        Requirement("batch 8, dual: ms inside a block", "ms_inside_block", 12, "", ("dual",), (8,)),
        Requirement("host syncs a step", "syncs_per_step", 0.5),
        Requirement("recording or compiling, s", "first_call_seconds", 120, engines=("graph", "compiled")),
    ),
    "plain weights",
    "`graph` is what `generate` does by default.",
)
FLOAT8 = Goal(
    "Required and reached: eight bits",
    "H200",
    {
        "bfloat16": {"engine": "compiled", "weights": None},
        "eight bits": {"engine": "compiled", "weights": OWN_FP8},
    },
    (
        Requirement("batch 1, exact: ms a pass", "ms_per_pass", 6.8, "6.2", ("exact",), (1,)),
        Requirement("batch 1, dual: ms inside a block", "ms_inside_block", 4.0, "3.6", ("dual",), (1,)),
        Requirement("batch 8, exact: ms a pass", "ms_per_pass", 52, "46", ("exact",), (8,)),
        Requirement("batch 8, dual: ms inside a block", "ms_inside_block", 6.5, "5.5", ("dual",), (8,)),
        Requirement(
            "batch 1, dual, 4 tokens a step: tokens/s",
            "tokens_per_second",
            aim="1,050",
            modes=("dual",),
            batches=(1,),
            at_least=900,
            tokens_per_step=4,
        ),
    ),
    "projections in bfloat16 or by `quantize_for_decoding`",
    "All rows have a `compile_config`.",
)


def requirement_section(reports: list[dict]) -> str:
    """The sections in Markdown from the reports of the decoding bench; empty if none has such rows."""
    return "\n".join(filter(None, (section_of(goal, reports) for goal in (PLAIN, FLOAT8))))


def section_of(goal: Goal, reports: list[dict]) -> str:
    rows = [
        row
        for report in reports
        if report["model"]["name"] == MODEL and goal.device in report["machine"]["name"]
        for row in report["rows"]
        if row["measured"] is not None and all(row[name] == value for name, value in ROW.items())
    ]
    if not rows:
        return ""
    lines = []
    for one in goal.requirements:
        values = [
            reached(one, [row for row in rows if fields.items() <= row.items()])
            if fields["engine"] in one.engines
            else ""
            for fields in goal.columns.values()
        ]
        lines.append([one.text, one.bound, one.aim, *values])
    text = table(["", "required", "aim", *goal.columns], lines)
    names = {"title": goal.title, "device": goal.device, "weights": goal.weights, "note": goal.note}
    return SECTION.format(model=MODEL.capitalize(), table=text, **names)


def reached(requirement: Requirement, rows: list[dict]) -> str:
    """The worst value of the rows that count, bold if it is good enough."""
    values = [
        row["measured"][requirement.column]
        for row in rows
        if row["mode"] in requirement.modes
        and row["batch"] in requirement.batches
        and requirement.tokens_per_step in (None, row["tokens_per_step"])
    ]
    if not values:
        return "not measured"
    numbers = [value["median"] if isinstance(value, dict) else value for value in values]
    worst = min(numbers) if requirement.at_most is None else max(numbers)
    is_reached = worst >= requirement.at_least if requirement.at_most is None else worst <= requirement.at_most
    return f"**{worst:.4g}**" if is_reached else f"{worst:.4g}"
