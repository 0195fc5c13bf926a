# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tables of the decoding bench."""

from collections import Counter

from benchmarks.report import shown
from benchmarks.shapes import NOT_INSTALLED
from reporting.markdown import joined, report_table


TIME = "ms a pass (p10 to p90)"


def sections(reports: dict[str, dict]) -> list[str]:
    """A section in Markdown for each report, by the name of its file."""
    titles = {name: title(report) for name, report in reports.items()}
    counts = Counter(titles.values())
    parts = []
    for name, report in reports.items():
        # A row without its package says nothing about the machine.
        rows = [row for row in report["rows"] if row["skipped"] != NOT_INSTALLED]
        heading = titles[name] if counts[titles[name]] == 1 else f"{titles[name]} ({name})"
        text = table(rows, aligned=False)
        parts.append(f"## {heading}\n\n{header(report)}\n\n`{report['command']}`\n\n{text}\n")
    return parts


def title(report: dict) -> str:
    """The given title, or the model, the device and what the rows vary."""
    arguments = report["arguments"]
    if arguments["title"]:
        return arguments["title"]
    subject = joined(arguments["mode"])
    if arguments["quantize"]:
        subject += f" with {joined(arguments['quantize'])} weights"
    if arguments["ladder"]:
        subject = "ladder"
    parts = [f"{report['model']['name']} on {arguments['device']}: {subject}", f"batch {joined(arguments['batch'])}"]
    if len(arguments["prompt"]) > 1:
        lengths = zip(arguments["prompt"], arguments["answer"], strict=True)
        parts.append(joined([f"{prompt} + {answer}" for prompt, answer in lengths]))
    if arguments["tokens_per_step"] != [1]:
        parts.append(f"{joined(arguments['tokens_per_step'])} tokens a step")
    return ", ".join(parts)


def header(report: dict) -> str:
    """The model, the machine, and the assumptions of the roofline."""
    model = report["model"]
    return (
        f"{model['name']}, {model['parameters'] / 1e6:,.0f} M parameters, {circumstances(report)} The baseline is "
        f"`{report['baseline']}`."
    )


def circumstances(report: dict) -> str:
    """The precision, the machine, and the assumptions of the roofline."""
    machine, versions = report["machine"], report["versions"]
    return (
        f"{report['arguments']['dtype']}, on {machine['name']} ({machine['threads']} threads), "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". Roofline: {report['rates']['text']}."
    )


def table(rows: list[dict], aligned: bool = True) -> str:
    """The rows as a Markdown table, and why rows are missing."""
    skipped = {f"not run, {name(row)}": row["skipped"] for row in rows if row["skipped"]}
    return table_of_differences([cells(row) for row in rows], skipped, aligned)


def table_of_differences(texts: list[dict[str, str]], skipped: dict[str, str], aligned: bool) -> str:
    """The cells of rows as a Markdown table, after the values that all of them share."""
    constants = {column: value for column in texts[0] if (value := shared_value(column, texts))}
    differences = [{column: text for column, text in row.items() if column not in constants} for row in texts]
    text = report_table(differences, skipped, aligned)
    if not constants:
        return text
    return "In all rows: " + "; ".join(f"{column} {value}" for column, value in constants.items()) + ".\n\n" + text


def shared_value(column: str, texts: list[dict[str, str]]) -> str | None:
    """The value of all rows that have one; `None` if they differ, or if there is nothing to compare."""
    values = [text[column] for text in texts if text[column]]
    return values[0] if column != TIME and len(values) > 1 and len(set(values)) == 1 else None


def name(row: dict) -> str:
    lengths = (f"batch {row['batch']}", f"{row['prompt']} + {row['answer']}")
    return " ".join(filter(None, (row["who"], row["mode"], row["engine"], row["weights"], *lengths)))


def cells(row: dict) -> dict[str, str]:
    """The texts of a row by column; a measured value is empty if there is none."""
    settings = {
        "who": row["who"],
        "mode": row["mode"],
        "engine": " ".join(filter(None, (row["engine"], row["weights"]))),
        "batch": str(row["batch"]),
        "prompt + answer": f"{row['prompt']} + {row['answer']}",
        "tokens a step": str(row["tokens_per_step"]),
    }
    expected = " to ".join(f"{one:.3g}" for one in row["expected"]["ms_per_pass"])
    return settings | measured_cells(row["measured"], expected)


def measured_cells(values: dict | None, expected: str) -> dict[str, str]:
    is_measured, values = values is not None, values or {}

    def with_percentiles(column: str, form: str) -> str:
        median, p10, p90 = (format(values[column][part], form) for part in ("median", "p10", "p90"))
        return f"{median} ({p10} to {p90})"

    return {
        "passes": shown(values, "passes", "d"),
        TIME: with_percentiles("ms_per_pass", ".3g") if is_measured else "-",
        "expected": expected,
        "ms inside a block": shown(values, "ms_inside_block", ".3g"),
        "tokens/s": shown(values, "tokens_per_second", ",.0f"),
        "times baseline (p10 to p90)": with_percentiles("times_baseline", ".2f") if is_measured else "",
        "same tokens": shown(values, "same_tokens", ".1%"),
        "syncs a step": shown(values, "syncs_per_step", ".2f"),
        "peak GiB": shown(values, "peak_gib", ".1f"),
        "% of roofline": shown(values, "roofline_percent", ".0f"),
        "first call s": shown(values, "first_call_seconds", ".1f"),
    }
