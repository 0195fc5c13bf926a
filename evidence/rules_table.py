# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the tables of docs/rules.md from the results of evidence/rules.

make evidence
"""

import json
import sys
from pathlib import Path

from evidence.__main__ import picture
from evidence.rules.plot import PLOT, TASKS
from modeling_llada.writing import write_atomically
from reporting.markdown import duration, fill, table


ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/rules.md", ROOT / "evidence/results/rules.json"


def main() -> None:
    values = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_atomically(PAGE, fill(PAGE.read_text(encoding="utf-8"), "rules", rules_tables(values)))
    sys.stdout.write(f"Wrote the tables of {PAGE.relative_to(ROOT)}.\n")


def rules_tables(values: dict) -> str:
    """The areas of all families, and for each task the rules on the frontier."""
    settings = values["settings"]
    seconds = sum(one["cpu_seconds"] for results in values["results"].values() for one in results.values())
    counts = ", ".join(f"{len(next(iter(values['results'][task].values()))['hits']):,} of {task}" for task in TASKS)
    parts = [
        f"Questions: {counts}, seed {settings['seed']}; all rules together took {duration(seconds)} of processor time. The "
        "area under the frontier of each family of rules, with its 95% interval:",
        area_table(values["areas"]),
        picture(PLOT),
        "The rules on the frontier: no other has as much quality with as few passes. The differences are from one token a step.",
        *(frontier_table(task, values["compared"][task]) for task in TASKS),
    ]
    return "\n\n".join(parts) + "\n"


def area_table(areas: dict) -> str:
    families = dict.fromkeys(family for task in TASKS for family in areas[task])
    rows = [[family, *(shown(areas[task].get(family)) for task in TASKS)] for family in families]
    return table(["", *TASKS], rows)


def frontier_table(task: str, compared: dict) -> str:
    head = [task, "quality", "difference", "passes a token", "fewer passes", "less time"]
    rows = [
        [
            f"`{label}`",
            shown(one["quality"]),
            shown(one["difference"], sign="+"),
            f"{one['passes_per_token']:.3f}",
            f"{one['fewer_passes']:.1f}x",
            f"{one['fewer_seconds']:.1f}x",
        ]
        for label, one in frontier(compared)
    ]
    return table(head, rows)


def frontier(compared: dict) -> list[tuple[str, dict]]:
    """The results that are better than all with fewer passes, from few passes to many."""
    best, found = -1.0, []
    for label, one in sorted(
        compared.items(), key=lambda item: (item[1]["passes_per_token"], -item[1]["quality"]["mean"])
    ):
        if one["quality"]["mean"] > best:
            best = one["quality"]["mean"]
            found.append((label, one))
    return found


def shown(value: dict | None, sign: str = "") -> str:
    if value is None:
        return ""
    mean, low, high = (f"{value[name]:{sign}.1f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    main()
