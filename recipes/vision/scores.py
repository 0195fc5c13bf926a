# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tables of scores for the card and the pages, and what was required of the small model before it was trained."""

from reporting.markdown import counted, joined, table


# The rows of the tables of results, and what is asked in each.
TASKS = {
    "naming": "name an emoji, in a style that training shows for other emoji only",
    "finding": "name the emoji at a place",
    "position": "the place of an emoji, or its side of another one",
    "count": "how many there are, 1 to 9",
    "colour": "colours and shapes",
    "reading": "signs, or a line of one",
    "table": "cells and rows of tables",
    "chart": "bars of charts",
    "describe": "everything in a picture, in order",
    "compare": "two pictures",
    "two-step /think": "two findings put together, with the reasoning written out",
    "two-step /no_think": "the same questions, answered at once",
}
REQUIRED = {"naming": 0.6, "position": 0.9, "count": 0.9, "reading": 0.8, "two-step /think": 0.8}
# One token in each pass, as the scores were measured.
ONE_TOKEN = "one token a pass"


def results_table(scores: dict[str, dict]) -> str:
    """The scores of one model by task, bold where they reach what was required."""
    rows = []
    for task in tasks_of(scores):
        score, required = scores[task], REQUIRED.get(task)
        right, languages = percent(score), [percent(scores[f"{task}/{one}"]) for one in ("en", "zh")]
        if required is not None and is_reached(scores, task):
            right = f"**{right}**"
        low, high = score["interval"]
        rows.append(
            [
                task,
                TASKS[task],
                f"{right} ({low:.1%} to {high:.1%})",
                "" if required is None else f"{required:.0%}",
                *languages,
                f"{score['passes']:.1f}",
            ]
        )
    return table(["task", "question", "right", "aim", "English", "Chinese", "passes"], rows)


def verdict(scores: dict[str, dict]) -> str:
    """Which of the required scores were reached, in words."""
    asked = [task for task in REQUIRED if task in scores]
    reached = [task for task in asked if is_reached(scores, task)]
    missed = [f"{task} ({percent(scores[task])})" for task in asked if task not in reached]
    parts = [f"The aims set before the training were {joined([f'{task} {REQUIRED[task]:.0%}' for task in asked])}."]
    parts += [f"Reached: {joined(reached)}."] if reached else []
    parts += [f"Missed: {joined(missed)}."] if missed else []
    return " ".join(parts)


def studies_table(studies: dict[str, dict]) -> str:
    """The scores of the short runs beside each other, bold where the interval is below that of the first one."""
    names = list(studies)
    first = studies[names[0]]["scores"]
    rows = [
        ["minutes of the stages", *(f"{sum(one['seconds'].values()) / 60:.1f}" for one in studies.values())],
        ["steps of the stages", *(f"{sum(one['steps'].values()):,}" for one in studies.values())],
    ]
    for task in tasks_of(first):
        cells = [percent(first[task])]
        for name in names[1:]:
            score = studies[name]["scores"][task]
            is_below = score["interval"][1] < first[task]["interval"][0]
            cells.append(f"**{percent(score)}**" if is_below else percent(score))
        rows.append([task, *cells])
    return table(["", *(label(name, one) for name, one in studies.items())], rows)


def seconds_section(timings: list[dict]) -> str:
    """Seconds of one answer on each machine, or nothing before they are measured."""
    if not timings:
        return ""
    rows = []
    for timing in timings:
        machine = timing["machine"]
        threads = "" if "memory_gib" in machine else f", {counted(machine['threads'], 'thread')}"
        for way, seconds in timing["answers"].items():
            rows.append(
                [machine["name"] + threads, way, *(f"{seconds[mark]:.2g}" for mark in ("/no_think", "/think"))]
            )
    return f"""Seconds of one answer, picture included, in float32. The threshold is the default of `llada generate` and `llada chat`;
the scores are without it.

{table(["machine", "decoding", "answer alone, s", "with reasoning, s"], rows)}

"""


def label(name: str, run: dict) -> str:
    """What a short run lacks, in words. One that changes another value of the recipe has the name of its folder."""
    if run["changes"]:
        return name.replace("-", " ")
    lacks = [f"without {'the tower' if stage == 'tower' else f'stage {stage}'}" for stage in run["skipped"]]
    lacks += ["grey pictures"] if run["blind"] else []
    lacks += ["one tile"] if run["one_tile"] else []
    return joined(lacks) or "with all"


def tasks_of(scores: dict[str, dict]) -> list[str]:
    return [task for task in TASKS if task in scores]


def is_reached(scores: dict[str, dict], task: str) -> bool:
    return scores[task]["right"] >= REQUIRED[task]


def percent(score: dict) -> str:
    return f"{score['right']:.1%}"
