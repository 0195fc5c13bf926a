# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tables of the training bench, and its requirements beside what was reached."""

from dataclasses import dataclass

from benchmarks.report import shown
from benchmarks.train_steps import Contender
from reporting.markdown import joined, report_table
from reporting.markdown import table as markdown_table


BASELINE = Contender("all logits", "eager")
SECTION = """### Required and reached: training

Bfloat16 on an H100, with checkpointed layers unless activations are kept. *Times all logits*: the tokens a second divided by those
of `all logits, eager` in the same run. *Times official*: divided by those of the official model code with all logits on such a
GPU. Bold: reached.

{table}
"""


@dataclass(frozen=True)
class Requirement:
    """The requirement for a cell from before it was measured."""

    shape: str
    is_full: bool
    batch: int
    length: int
    official: int | None  # tokens a second of the official model code with all logits, if it was measured
    times: float  # the least speedup over all logits
    gib: float  # the largest peak memory

    @property
    def name(self) -> str:
        return f"{self.shape} {'in full' if self.is_full else 'LoRA'}, {self.batch} x {self.length}"


REQUIREMENTS = (
    Requirement("8b", False, 8, 1024, 4874, 1.3, 20),
    Requirement("8b", False, 2, 4096, 4588, 1.3, 20),
    Requirement("1b", True, 4, 4096, None, 2, 17),
    Requirement("1b-paper", True, 4, 4096, 16346, 2, 17),
)


def sections(reports: dict[str, dict]) -> list[str]:
    """A section in Markdown for each report, by the name of its file."""
    return [
        f"## {title(one)}\n\n{header(one)}\n\n`{one['command']}`\n\n{table(one['rows'], aligned=False)}\n"
        for one in reports.values()
    ]


def table(rows: list[dict], aligned: bool = True) -> str:
    """The rows as a Markdown table, and why rows are missing."""
    skipped = {f"{contender_of(row)}, {row_size(row)}": row["skipped"] for row in rows if row["skipped"]}
    return report_table([cells(row) for row in rows], skipped, aligned)


def row_size(row: dict) -> str:
    return f"{row['batch']} x {row['length']}"


def contender_of(row: dict) -> Contender:
    return Contender(row["loss"], row["engine"], row["micro_batches"])


def cells(row: dict) -> dict[str, str]:
    """The texts of a row by column; a measured value is empty if there is none."""
    values, expected = row["measured"] or {}, row["expected"] or {}
    speeds = expected.get("tokens_per_second")
    return {
        "loss": row["loss"],
        "engine": row["engine"],
        "batch x length": row_size(row),
        "micro-batches": str(row["micro_batches"]),
        "tokens/s": "out of memory" if row["skipped"] else shown(values, "tokens_per_second", ",.0f"),
        "expected": "" if speeds is None else f"{speeds[0]:,} to {speeds[1]:,}",
        "masked tokens/s": shown(values, "masked_tokens_per_second", ",.0f"),
        "ms a step": shown(values, "ms_per_step", ".4g"),
        "times baseline": shown(values, "times_baseline", ".2f"),
        "peak GiB": shown(values, "peak_gib", ".1f"),
        "expected GiB": str(expected.get("peak_gib", "")),
        "MFU %": shown(values, "mfu_percent", ".1f"),
        "first step s": shown(values, "first_step_seconds", ".1f"),
    }


def header(report: dict) -> str:
    """The model and the machine."""
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
    return f"{report['model']['name']}, {how}, {joined([f'{batch} x {length}' for batch, length in sizes])}"


def requirement_section(reports: list[dict]) -> str:
    """The section in Markdown, empty if no report has such rows. If several reports have a cell, the last one counts."""
    lines = []
    for requirement in REQUIREMENTS:
        found = [rows for report in reports if (rows := rows_of(requirement, report))]
        if found:
            lines += requirement_lines(requirement, found[-1])
    if not lines:
        return ""
    head = ["cell", "row", "times all logits", "peak GiB", "times official"]
    return SECTION.format(table=markdown_table(head, lines))


def rows_of(requirement: Requirement, report: dict) -> dict[Contender, dict]:
    """The measured values in the cell of a requirement, by contender."""
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


def requirement_lines(requirement: Requirement, rows: dict[Contender, dict]) -> list[list[str]]:
    """The requirement, and then a line for each contender that computes the logits of masked rows only."""
    lines = [[requirement.name, "required", f"at least {requirement.times:g}", f"at most {requirement.gib:g}", ""]]
    for contender, row in rows.items():
        if contender.loss == BASELINE.loss:
            continue
        speed, ratio = row["tokens_per_second"], "not measured"
        if BASELINE in rows:
            times = speed / rows[BASELINE]["tokens_per_second"]
            ratio = bold(f"{times:.2f}", times >= requirement.times)
        peak = bold(f"{row['peak_gib']:.1f}", row["peak_gib"] <= requirement.gib)
        official = "" if requirement.official is None else f"{speed / requirement.official:.2f}"
        lines.append(["", str(contender), ratio, peak, official])
    return lines


def bold(text: str, is_reached: bool) -> str:
    return f"**{text}**" if is_reached else text
