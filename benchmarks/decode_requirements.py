# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The requirements for the 8B shape on an H100 from before it was measured, beside what the decoding bench reached."""

from dataclasses import dataclass

from reporting.markdown import table


ENGINES = ("graph", "compiled", "eager")
# Rows that count have the whole model and plain weights. The number of tokens that a step commits costs nothing.
MODEL, DEVICE = "shape 8b", "H100"
ROW = {"who": "ours", "weights": None, "prompt": 128, "answer": 256, "block_length": 32, "dtype": "bfloat16"}
SECTION = """### Required and reached

{model} in bfloat16 on an {device}, plain weights, {prompt} + {answer} in blocks of {block_length}. If several files have such a
row, the slowest counts. Bold: reached. `graph` is what `generate` does by default.

{table}
"""


@dataclass(frozen=True)
class Requirement:
    """The largest value of a column that is good enough, and the rows that count."""

    text: str  # its row in the table
    column: str
    at_most: float
    aim: str = ""  # the value that was hoped for
    modes: tuple[str, ...] = ("exact", "dual")
    batches: tuple[int, ...] = (1, 8)
    engines: tuple[str, ...] = ENGINES


REQUIREMENTS = (
    Requirement("batch 1, exact: ms a pass", "ms_per_pass", 13, "11", ("exact",), (1,)),
    Requirement("batch 1, dual: ms inside a block", "ms_inside_block", 8.4, "7", ("dual",), (1,)),
    Requirement("batch 8, exact: ms a pass", "ms_per_pass", 84, "", ("exact",), (8,)),
    Requirement("batch 8, dual: ms inside a block", "ms_inside_block", 12, "", ("dual",), (8,)),
    Requirement("host syncs a step", "syncs_per_step", 0.5),
    Requirement("recording or compiling, s", "first_call_seconds", 120, engines=("graph", "compiled")),
)


def requirement_section(reports: list[dict]) -> str:
    """The section in Markdown from the reports of the decoding bench; empty if none has such rows."""
    rows = [
        row
        for report in reports
        if report["model"]["name"] == MODEL and DEVICE in report["machine"]["name"]
        for row in report["rows"]
        if row["measured"] is not None and all(row[name] == value for name, value in ROW.items())
    ]
    if not rows:
        return ""
    lines = [
        [one.text, f"at most {one.at_most:g}", one.aim, *(reached(one, engine, rows) for engine in ENGINES)]
        for one in REQUIREMENTS
    ]
    return SECTION.format(
        model=MODEL.capitalize(), device=DEVICE, **ROW, table=table(["", "required", "aim", *ENGINES], lines)
    )


def reached(requirement: Requirement, engine: str, rows: list[dict]) -> str:
    """The largest value of the rows that count, bold if it is small enough."""
    if engine not in requirement.engines:
        return ""
    values = [
        row["measured"][requirement.column]
        for row in rows
        if row["engine"] == engine and row["mode"] in requirement.modes and row["batch"] in requirement.batches
    ]
    if not values:
        return "not measured"
    largest = max(value["median"] if isinstance(value, dict) else value for value in values)
    return f"**{largest:.4g}**" if largest <= requirement.at_most else f"{largest:.4g}"
