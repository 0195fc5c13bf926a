# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tables of the decoding bench: on the terminal, and in `benchmarks/README.md` from the JSON files."""

import json
import re
from pathlib import Path

from modeling_llada.files import write_atomically


FOLDER = Path(__file__).parent
MARKS = "<!-- decode.py --render: begin -->", "<!-- decode.py --render: end -->"
COLUMNS = (
    "who",
    "mode",
    "engine",
    "batch",
    "prompt + answer",
    "tokens a step",
    "passes",
    "ms a pass (p10 to p90)",
    "expected",
    "ms inside a block",
    "tokens/s",
    "times baseline (p10 to p90)",
    "same tokens",
    "syncs a step",
    "peak GiB",
    "% of roofline",
    "first call s",
)
NUM_TEXTS = 3  # columns on the left


def header(report: dict) -> str:
    """What was run, where, and the assumptions of the roofline."""
    machine, versions, model = report["machine"], report["versions"], report["model"]
    return (
        f"{model['name']}, {model['parameters'] / 1e6:,.0f} M parameters, {report['arguments']['dtype']}, on "
        f"{machine['name']} ({machine['threads']} threads), "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". Roofline: {report['rates']['text']}. The baseline is `{report['baseline']}`."
    )


def table(report: dict) -> str:
    """The rows as a Markdown table whose columns line up, and why rows are missing."""
    lines = [COLUMNS, *(cells(row) for row in report["rows"])]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    padded = [pad_column(column, is_text=index < NUM_TEXTS) for index, column in enumerate(columns)]
    texts = ["| " + " | ".join(line) + " |" for line in zip(*padded, strict=True)]
    notes = [f"- not run, {name(row)}: {row['skipped']}" for row in report["rows"] if row["skipped"]]
    return "\n".join(texts + ([""] + notes if notes else []))


def pad_column(column: tuple[str, ...], is_text: bool) -> list[str]:
    """A column with the line below its head, in one width: texts on the left, numbers on the right."""
    width = max(3, *(len(text) for text in column))
    ruler = "-" * width if is_text else "-" * (width - 1) + ":"
    head, *texts = (text.ljust(width) if is_text else text.rjust(width) for text in column)
    return [head, ruler, *texts]


def name(row: dict) -> str:
    parts = (
        row["who"],
        row["mode"],
        row["engine"],
        row["weights"],
        f"batch {row['batch']}",
        f"{row['prompt']} + {row['answer']}",
    )
    return " ".join(filter(None, parts))


def cells(row: dict) -> tuple[str, ...]:
    """The texts of a row; empty where nothing was measured."""
    values, low_high = row["measured"], row["expected"]["ms_per_pass"]
    engine = " ".join(filter(None, (row["engine"], row["weights"])))
    start = (row["who"], row["mode"], engine, str(row["batch"]), f"{row['prompt']} + {row['answer']}")
    expected = " to ".join(f"{value:.3g}" for value in low_high)
    if values is None:
        return (*start, str(row["tokens_per_step"]), "", "-", expected, *[""] * 8)
    return (
        *start,
        str(row["tokens_per_step"]),
        str(values["passes"]),
        with_spread(values["ms_per_pass"], ".3g"),
        expected,
        show(values["ms_inside_block"], ".3g"),
        show(values["tokens_per_second"], ",.0f"),
        with_spread(values["times_baseline"], ".2f"),
        show(values["same_tokens"], ".1%"),
        show(values["syncs_per_step"], ".2f"),
        show(values["peak_gib"], ".1f"),
        show(values["roofline_percent"], ".0f"),
        show(values["first_call_seconds"], ".1f"),
    )


def show(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def with_spread(value: dict[str, float], form: str) -> str:
    median, p10, p90 = (format(value[name], form) for name in ("median", "p10", "p90"))
    return f"{median} ({p10} to {p90})"


def render(page: str, folder: Path) -> str:
    """The page with a table for each `decode*.json` of a folder between its two marks."""
    parts = []
    for path in sorted(folder.glob("decode*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        parts.append(f"### {report['title']}\n\n{header(report)}\n\n`{report['command']}`\n\n{table(report)}\n")
    begin, end = (re.escape(mark) for mark in MARKS)
    if not re.search(f"{begin}.*{end}", page, flags=re.S):
        raise SystemExit(f"The page lacks the two lines {' and '.join(MARKS)}.")
    tables = "\n".join([MARKS[0], "", *parts, MARKS[1]])
    return re.sub(f"{begin}.*{end}", lambda _: tables, page, flags=re.S)


def render_readme() -> None:
    """Fills the tables of `benchmarks/README.md`."""
    path = FOLDER / "README.md"
    write_atomically(path, render(path.read_text(encoding="utf-8"), FOLDER / "results"))
