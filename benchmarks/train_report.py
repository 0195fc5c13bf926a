# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tables of the training bench, and the part of `benchmarks/README.md` that it writes from its JSON files."""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.decode_table import align
from benchmarks.pages import fill
from benchmarks.train_steps import Contender


MARKS = "<!-- train.py --render: begin -->", "<!-- train.py --render: end -->"
BASELINE = Contender("all logits", "eager")
BEFORE = """### Required and reached: training

Bfloat16 on an H100; checkpointed layers, except where activations are kept. *Times all logits*: the tokens a second by
those of `all logits, eager` in the same run. *Times official*: by what the official model code reaches with all logits on such
a GPU. Bold: reached.

{table}
"""


@dataclass(frozen=True)
class Requirement:
    """
    What was required of a cell before it was measured.

    Args:
        shape (`str`), is_full (`bool`), batch (`int`), length (`int`):
            The cell.
        official (`int`, *optional*):
            Tokens a second of the official model code with all logits, where it was measured.
        times (`float`):
            Tokens a second by those of all logits, at least.
        gib (`float`):
            Peak memory, at most.
    """

    shape: str
    is_full: bool
    batch: int
    length: int
    official: int | None
    times: float
    gib: float

    @property
    def name(self) -> str:
        return f"{self.shape} {'in full' if self.is_full else 'LoRA'}, {self.batch} x {self.length}"


REQUIREMENTS = (
    Requirement("8b", False, 8, 1024, 4874, 1.3, 20),
    Requirement("8b", False, 2, 4096, 4588, 1.3, 20),
    Requirement("1b", True, 4, 4096, None, 2, 17),
    Requirement("1b-paper", True, 4, 4096, 16346, 2, 17),
)


def table(rows: list[dict]) -> str:
    """
    The rows, and why rows are missing.

    Args:
        rows (`list[dict]`): Of a report of `train.py`.

    Returns:
        `str`: Markdown.
    """
    texts = [cells(row) for row in rows]
    columns = {column: [text[column] for text in texts] for column in texts[0]}
    shown = {column: values for column, values in columns.items() if any(values)}
    notes = [f"- {contender_of(row)}, {row_size(row)}: {row['skipped']}" for row in rows if row["skipped"]]
    return "\n\n".join([align(shown, ("loss", "engine")), *(["\n".join(notes)] if notes else [])])


def row_size(row: dict) -> str:
    return f"{row['batch']} x {row['length']}"


def contender_of(row: dict) -> Contender:
    return Contender(row["loss"], row["engine"], row["micro_batches"])


def cells(row: dict) -> dict[str, str]:
    """The texts of a row by the column; empty where nothing was measured."""
    values, expected = row["measured"] or {}, row["expected"] or {}

    def show(column: str, form: str) -> str:
        value = values.get(column)
        return "" if value is None else format(value["median"] if isinstance(value, dict) else value, form)

    speeds = expected.get("tokens_per_second")
    return {
        "loss": row["loss"],
        "engine": row["engine"],
        "batch x length": row_size(row),
        "micro-batches": str(row["micro_batches"]),
        "tokens/s": "out of memory" if row["skipped"] else show("tokens_per_second", ",.0f"),
        "expected": "" if speeds is None else f"{speeds[0]:,} to {speeds[1]:,}",
        "masked tokens/s": show("masked_tokens_per_second", ",.0f"),
        "ms a step": show("ms_per_step", ".4g"),
        "times baseline": show("times_baseline", ".2f"),
        "peak GiB": show("peak_gib", ".1f"),
        "expected GiB": str(expected.get("peak_gib", "")),
        "MFU %": show("mfu_percent", ".1f"),
        "first step s": show("first_step_seconds", ".1f"),
    }


def header(report: dict) -> str:
    """What was run, and where."""
    machine, arguments, weights = report["machine"], report["arguments"], report["model"]["weights"]
    trained = "all weights" if arguments["lora"] is None else f"LoRA of rank {arguments['lora']}"
    return (
        f"{title(report)}, {weights['all']:,} parameters of which {weights['trained']:,} are trained "
        f"({trained}), {arguments['dtype']}, "
        f"chunks of {arguments['chunk_size']}, on {machine['name']}, "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items())
        + "."
    )


def title(report: dict) -> str:
    sizes = zip(report["arguments"]["batch"], report["arguments"]["length"], strict=True)
    how = "in full" if report["arguments"]["lora"] is None else "LoRA"
    return f"{report['model']['name']}, {how}, {' and '.join(f'{batch} x {length}' for batch, length in sizes)}"


def requirement_section(reports: list[dict]) -> str:
    """
    What was required above what was reached; empty where no report has such rows.

    Args:
        reports (`list[dict]`): Of `train.py`. Of those with the same cell the last one counts.

    Returns:
        `str`: Markdown.
    """
    lines = []
    for requirement in REQUIREMENTS:
        found = [rows for report in reports if (rows := rows_of(requirement, report))]
        if found:
            lines += requirement_lines(requirement, found[-1])
    if not lines:
        return ""
    columns = {column: [line[column] for line in lines] for column in lines[0]}
    return BEFORE.format(table=align(columns, ("cell", "row")))


def rows_of(requirement: Requirement, report: dict) -> dict[Contender, dict]:
    """What was measured in the cell of a requirement, by contender."""
    arguments = report["arguments"]
    is_meant = (
        report["model"]["name"] == f"shape {requirement.shape}"
        and (arguments["lora"] is None) == requirement.is_full
        and arguments["dtype"] == "bfloat16"
        and "H100" in report["machine"]["name"]
    )
    return {
        contender_of(row): row["measured"]
        for row in report["rows"]
        if is_meant and row["measured"] and (row["batch"], row["length"]) == (requirement.batch, requirement.length)
    }


def requirement_lines(requirement: Requirement, rows: dict[Contender, dict]) -> list[dict[str, str]]:
    """What is required, then each way to the loss of the masked rows: by all logits, by the official code, and its memory."""
    required = {"times all logits": f"at least {requirement.times:g}", "peak GiB": f"at most {requirement.gib:g}"}
    lines = [{"cell": requirement.name, "row": "required"} | required | {"times official": ""}]
    for contender, row in rows.items():
        if contender.loss == BASELINE.loss:
            continue
        speed, ratio = row["tokens_per_second"], "not measured"
        if BASELINE in rows:
            times = speed / rows[BASELINE]["tokens_per_second"]
            ratio = bold(f"{times:.2f}", times >= requirement.times)
        reached = {
            "times all logits": ratio,
            "peak GiB": bold(f"{row['peak_gib']:.1f}", row["peak_gib"] <= requirement.gib),
        }
        official = "" if requirement.official is None else f"{speed / requirement.official:.2f}"
        lines.append({"cell": "", "row": str(contender)} | reached | {"times official": official})
    return lines


def bold(text: str, is_reached: bool) -> str:
    return f"**{text}**" if is_reached else text


def render(page: str, folder: Path) -> str:
    """The page with a table for each `train_*.json` of a folder between its two marks."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("train_*.json"))]
    parts = [requirement_section(reports)]
    for report in reports:
        parts.append(f"### {title(report)}\n\n{header(report)}\n\n`{report['command']}`\n\n{table(report['rows'])}\n")
    return fill(page, MARKS, parts)
