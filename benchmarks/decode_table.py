# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The rows of the decoding bench as a Markdown table."""

TEXTS = ("who", "mode", "engine")  # columns on the left
TIME = "ms a pass (p10 to p90)"


def table(rows: list[dict]) -> str:
    """
    The rows, why rows are missing, and in front what is the same in all of them.

    Args:
        rows (`list[dict]`): Of a report of `decode.py`.

    Returns:
        `str`: Markdown.
    """
    texts = [cells(row) for row in rows]
    columns = {column: [text[column] for text in texts] for column in texts[0]}
    constants = {column: value for column, values in columns.items() if (value := find_constant(column, values))}
    shown = {column: values for column, values in columns.items() if any(values) and column not in constants}
    parts = ["In all rows: " + "; ".join(f"{column} {value}" for column, value in constants.items()) + "."]
    parts = parts if constants else []
    parts.append(align(shown, TEXTS))
    notes = [f"- not run, {name(row)}: {row['skipped']}" for row in rows if row["skipped"]]
    return "\n\n".join(parts + (["\n".join(notes)] if notes else []))


def find_constant(column: str, values: list[str]) -> str | None:
    """What all rows have that have anything; `None` where they differ, or where there is nothing to compare."""
    values = [value for value in values if value]
    return values[0] if column != TIME and len(values) > 1 and len(set(values)) == 1 else None


def align(columns: dict[str, list[str]], texts: tuple[str, ...]) -> str:
    """A Markdown table whose columns line up: the named texts on the left, numbers on the right."""
    padded = [pad_column([head, *values], head in texts) for head, values in columns.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in zip(*padded, strict=True))


def pad_column(column: list[str], is_text: bool) -> list[str]:
    """A column with the line below its head, in one width."""
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


def cells(row: dict) -> dict[str, str]:
    """The texts of a row by the column; empty where nothing was measured."""
    settings = {
        "who": row["who"],
        "mode": row["mode"],
        "engine": " ".join(filter(None, (row["engine"], row["weights"]))),
        "batch": str(row["batch"]),
        "prompt + answer": f"{row['prompt']} + {row['answer']}",
        "tokens a step": str(row["tokens_per_step"]),
    }
    return settings | measured_cells(
        row["measured"], " to ".join(f"{one:.3g}" for one in row["expected"]["ms_per_pass"])
    )


def measured_cells(values: dict | None, expected: str) -> dict[str, str]:
    is_measured, values = values is not None, values or {}

    def show(column: str, form: str) -> str:
        value = values.get(column)
        return "" if value is None else format(value, form)

    def with_spread(column: str, form: str) -> str:
        median, p10, p90 = (format(values[column][part], form) for part in ("median", "p10", "p90"))
        return f"{median} ({p10} to {p90})"

    return {
        "passes": show("passes", "d"),
        TIME: with_spread("ms_per_pass", ".3g") if is_measured else "-",
        "expected": expected,
        "ms inside a block": show("ms_inside_block", ".3g"),
        "tokens/s": show("tokens_per_second", ",.0f"),
        "times baseline (p10 to p90)": with_spread("times_baseline", ".2f") if is_measured else "",
        "same tokens": show("same_tokens", ".1%"),
        "syncs a step": show("syncs_per_step", ".2f"),
        "peak GiB": show("peak_gib", ".1f"),
        "% of roofline": show("roofline_percent", ".0f"),
        "first call s": show("first_call_seconds", ".1f"),
    }
