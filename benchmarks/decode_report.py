# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The part of `benchmarks/README.md` that decode.py writes from its JSON files."""

import json
from collections import Counter
from pathlib import Path

from benchmarks.decode_requirements import requirement_section
from benchmarks.decode_table import table
from benchmarks.pages import fill
from benchmarks.shapes import NOT_INSTALLED


MARKS = "<!-- decode.py --render: begin -->", "<!-- decode.py --render: end -->"


def title(report: dict) -> str:
    """The one that was given, or else what was run on what, and what the rows vary."""
    arguments = report["arguments"]
    if arguments["title"]:
        return arguments["title"]
    subject = listed(arguments["mode"])
    if arguments["quantize"]:
        subject += f" with {listed(arguments['quantize'])} weights"
    if arguments["ladder"]:
        subject = "ladder"
    parts = [f"{report['model']['name']} on {arguments['device']}: {subject}", f"batch {listed(arguments['batch'])}"]
    if len(arguments["prompt"]) > 1:
        lengths = zip(arguments["prompt"], arguments["answer"], strict=True)
        parts.append(listed([f"{prompt} + {answer}" for prompt, answer in lengths]))
    if arguments["tokens_per_step"] != [1]:
        parts.append(f"{listed(arguments['tokens_per_step'])} tokens a step")
    return ", ".join(parts)


def listed(values: list) -> str:
    """Values as in a sentence: a, b and c."""
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last


def header(report: dict) -> str:
    """What was run, where, and the assumptions of the roofline."""
    machine, versions, model = report["machine"], report["versions"], report["model"]
    return (
        f"{model['name']}, {model['parameters'] / 1e6:,.0f} M parameters, {report['arguments']['dtype']}, on "
        f"{machine['name']} ({machine['threads']} threads), "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f". Roofline: {report['rates']['text']}. The baseline is `{report['baseline']}`."
    )


def render(page: str, folder: Path) -> str:
    """The page with a table for each `decode*.json` of a folder between its two marks."""
    reports = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("decode*.json"))}
    counts = Counter(map(title, reports.values()))
    parts = [requirement_section(list(reports.values()))]
    for stem, report in reports.items():
        # What a missing package left out says nothing about the machine.
        rows = [row for row in report["rows"] if row["skipped"] != NOT_INSTALLED]
        heading = title(report) if counts[title(report)] == 1 else f"{title(report)} ({stem})"
        parts.append(f"### {heading}\n\n{header(report)}\n\n`{report['command']}`\n\n{table(rows)}\n")
    return fill(page, MARKS, parts)
