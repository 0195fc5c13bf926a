# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Solved puzzles by the number of given digits, for several ways of decoding. The run can be resumed after each number."""

from pathlib import Path

from recipes.sudoku.prepare_hard import HARD, SHAPE
from recipes.sudoku.puzzles import load
from recipes.sudoku.results import describe, device_name, load_model, timed
from recipes.sudoku.solving import fill
from reporting.markdown import table
from reporting.results import load as load_results
from reporting.results import save


# Options of `generate`. An edit takes back a digit that the board has made improbable.
WAYS = {
    "one token a step": {},
    "one token a step, with edits": {"edit_threshold": 0.5, "max_post_edit_steps": 32},
    "confidence threshold 0.9": {"confidence_threshold": 0.9},
    "confidence threshold 0.9, with edits": {
        "confidence_threshold": 0.9,
        "edit_threshold": 0.5,
        "max_post_edit_steps": 32,
    },
}


def count_by_clues(model: Path, puzzles: Path, limit: int | None, device: str | None, output: Path) -> None:
    """Solves at most `limit` puzzles of each number of given digits, by all ways of decoding, and writes the results."""
    part = load(puzzles, HARD, [SHAPE.size])[SHAPE.size]
    given = (part.puzzles > 0).sum((1, 2))
    # No full path
    values = load_results(output, {"model": "/".join(model.parts[-3:]), "limit": limit}, results={})
    solver = load_model(model, device)
    for way, options in WAYS.items():
        results = values["results"].setdefault(way, {})
        for clues in sorted(set(given.tolist())):
            if str(clues) in results:
                continue
            some = part[given == clues][:limit]
            result = timed(some, lambda some=some, options=options: fill(solver, some, **options))
            results[str(clues)] = result | {"device": device_name(device)}
            save(output, values)
            print(f"{clues} given, {way:36} {describe(result)}", flush=True)
    print(summary(values["results"]))


def summary(results: dict[str, dict]) -> str:
    """A table with the percentages of solved puzzles."""
    numbers = sorted({int(clues) for way in results.values() for clues in way})
    rows = [[str(clues), *(f"{100 * way[str(clues)]['solved']:.1f}" for way in results.values())] for clues in numbers]
    return table(["given", *results], rows, aligned=True)
