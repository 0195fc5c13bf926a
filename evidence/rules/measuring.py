# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Measures rules on tasks. Each result is written as soon as it is known, and a result that is in the file is not measured again."""

import time
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from evidence.quality.settings import RULES, Rule
from evidence.rules.frontier import area, compare
from evidence.rules.rule_file import read_rule_file
from evidence.rules.tasks import ROOT, ask, open_task
from reporting.results import load, save


STORED = ROOT / "evidence/results/rules.json"
PLAIN = RULES[0]


def stored_rules() -> list[Rule]:
    """The rules whose results are stored: the built-in ones and those of examples/rules/."""
    return [
        *RULES,
        *(rule for path in sorted((ROOT / "examples/rules").glob("*.py")) for rule in read_rule_file(path)),
    ]


def weights() -> dict[str, str]:
    """The beginnings of the checksums of the checkpoints, because a result belongs to its weights."""
    return {name: checksum(ROOT / "checkpoints" / name) for name in ("llada-poet", "llada-sudoku")}


def checksum(folder: Path) -> str:
    digest = sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def open_results(path: Path | None, settings: dict) -> dict:
    """The results so far: a dictionary by task, and in it one by the label of the rule."""
    return load(path, settings | {"weights": weights()}, results={})


def measure(
    values: dict, path: Path | None, tasks: Iterable[str], rules: list[Rule], limit: int, seed: int
) -> Iterator[tuple[str, str]]:
    """Measures the plain rule and others where results are missing. Yields the task and the rule of each result, new or not."""
    for task in tasks:
        results, opened = values["results"].setdefault(task, {}), None
        for rule in [PLAIN, *(one for one in rules if one.label != PLAIN.label)]:
            if rule.label not in results:
                started = time.monotonic()
                opened = open_task(task, limit, seed) if opened is None else opened
                results[rule.label] = ask(opened, rule)
                values["seconds"] = round(values["seconds"] + time.monotonic() - started, 1)
                if path is not None:
                    save(path, values)
            yield task, rule.label


def add_comparisons(values: dict, rules: list[Rule]) -> None:
    """Adds to the results of each task how each rule compares with the plain one, and the area of each family."""
    values["compared"], values["areas"] = {}, {}
    for task, results in values["results"].items():
        plain = results[PLAIN.label]
        known = [rule for rule in rules if rule.label in results]
        values["compared"][task] = {rule.label: compare(results[rule.label], plain) for rule in known}
        by_family: dict[str, list[dict]] = {}
        for rule in known:
            by_family.setdefault(rule.family, []).append(results[rule.label])
        values["areas"][task] = {family: area(found) for family, found in by_family.items()}


def best_with(passes: float, compared: dict[str, dict]) -> str | None:
    """The label of the best result of a task with at most so many forward passes for a token; `None` if there is none."""
    possible = {label: one for label, one in compared.items() if one["passes_per_token"] <= passes}
    return max(possible, key=lambda label: possible[label]["quality"]["mean"]) if possible else None
