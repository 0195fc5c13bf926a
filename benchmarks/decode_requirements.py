# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What was required of the 8B shape on an H100 before it was measured, beside what the reports of decode.py reached."""

from dataclasses import dataclass

from benchmarks.decode_table import align


ENGINES = ("graph", "compiled", "eager")
# What the rows of a report have to be: the whole model, plain weights. How many tokens a step commits costs nothing.
MODEL, DEVICE = "shape 8b", "H100"
ROW = {
    "who": "ours",
    "weights": None,
    "prompt": 128,
    "answer": 256,
    "block_length": 32,
    "dtype": "bfloat16",
}
BEFORE = """### Required and reached

{model} in bfloat16 on an {device}, plain weights, {prompt} + {answer} in blocks of {block_length}. Of rows that several files
below have, the slowest counts. Bold: reached. `graph` is what `generate` does by itself.

{table}
"""


@dataclass(frozen=True)
class Requirement:
    """The largest value of a column that is good enough.

    Args:
        text (`str`): Its row in the table.
        column (`str`): Of the measured values.
        at_most (`float`): The value.
        aim (`str`): What was hoped for.
        modes (`tuple[str, ...]`): Of the rows that count.
        batches (`tuple[int, ...]`): Of the rows that count.
        engines (`tuple[str, ...]`): Those that it is required of.
    """

    text: str
    column: str
    at_most: float
    aim: str = ""
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
    """The section, empty where no report has such rows.

    Args:
        reports (`list[dict]`): Of `decode.py`.

    Returns:
        `str`: Markdown.
    """
    rows = [
        row
        for report in reports
        if report["model"]["name"] == MODEL and DEVICE in report["machine"]["name"]
        for row in report["rows"]
        if row["measured"] is not None and all(row[name] == value for name, value in ROW.items())
    ]
    if not rows:
        return ""
    columns = {
        "": [one.text for one in REQUIREMENTS],
        "required": [f"at most {one.at_most:g}" for one in REQUIREMENTS],
        "aim": [one.aim for one in REQUIREMENTS],
    }
    columns |= {engine: [reached(one, engine, rows) for one in REQUIREMENTS] for engine in ENGINES}
    return BEFORE.format(model=MODEL.capitalize(), device=DEVICE, **ROW, table=align(columns, ("",)))


def reached(requirement: Requirement, engine: str, rows: list[dict]) -> str:
    """The largest value of the rows that count, bold where it is small enough."""
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
