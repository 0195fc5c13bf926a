# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The results of a run and of the short runs beside it in one file."""

from collections.abc import Iterator
from pathlib import Path

from modeling_llada.reading import read_json
from recipes.vision.scores import tasks_of
from reporting.results import save


# The files of a run. The last one is of `evaluate`, and that of `time` may be missing.
FILES = ("recipe.json", "run.json", "training_log.json", "results.json")
SECONDS = "seconds.json"
# The parts of a recipe in which a short run may differ from the first one.
PARTS = ("tile_grids", "model", "tower", "training", "stages", "seed")


def collect(run: Path, studies: list[Path], output: Path) -> None:
    """
    Writes the scores and the costs of a run, and those of short runs, of which the first one has all pictures, tiles and stages.
    """
    model = record_of(run, "--run")
    records = {folder.name: record_of(folder, "--studies") for folder in studies}
    if len(records) < len(studies):
        raise ValueError(
            "`--studies` must be folders with different names, because the names are those of the results."
        )
    if records:
        first = next(iter(records.values()))
        if first["blind"] or first["one_tile"] or first["skipped"]:
            raise ValueError(
                f"`--studies` must begin with the run that the others are compared with, but {studies[0]} lacks "
                "colours, tiles or a stage. Name the run that has all of them first."
            )
        recipe = flattened(read_json(studies[0] / "recipe.json", dict))
        for folder, record in zip(studies, records.values(), strict=True):
            other = flattened(read_json(folder / "recipe.json", dict))
            record["changes"] = {key: value for key, value in other.items() if recipe.get(key) != value}
    timings = timings_of(run)
    save(output, {"model": model, "timings": timings, "studies": records})
    print(f"wrote {output} with {len(records)} short runs: {', '.join(records) or 'none'}")


def record_of(run: Path, option: str) -> dict:
    """What the files of a run say about it."""
    for name in FILES:
        if not (run / name).is_file():
            command = "evaluate" if name == "results.json" else "train"
            raise ValueError(
                f"`{option}` must name a run that was trained and evaluated, but there is no {run / name}. Run `{command}` first."
            )
    recipe, record, results = (read_json(run / name, dict) for name in ("recipe.json", "run.json", "results.json"))
    if results["blind"] != recipe["blind"]:
        raise ValueError(
            f"{run / 'results.json'} must have been made with pictures like those of the training: call `evaluate` "
            f"{'with' if recipe['blind'] else 'without'} `--blind`."
        )
    log, scores, calls = read_json(run / "training_log.json", list), results["scores"], record["calls"]
    stages = list(dict.fromkeys(call["stage"] for call in calls))
    kept = {f"{task}{end}" for task in tasks_of(scores) for end in ("", "/en", "/zh")}
    return {
        **{name: recipe[name] for name in ("blind", "one_tile", "skipped")},
        "changes": {},
        "minutes": {stage: recipe["minutes"][stage] for stage in stages if stage in recipe["minutes"]},
        "seconds": {stage: sum(call["seconds"] for call in calls if call["stage"] == stage) for stage in stages},
        "steps": {stage: max(entry["step"] for entry in log if entry["stage"] == stage) for stage in stages},
        "parameters": record["parameters"],
        "machine": calls[-1]["machine"],
        "versions": calls[-1]["versions"],
        "rows": results["rows"],
        "evaluation_seconds": results["seconds"],
        "scores": {name: score for name, score in scores.items() if name in kept},
    }


def timings_of(run: Path) -> list[dict]:
    """The seconds of an answer that `time` measured, if it was called."""
    return [read_json(run / SECONDS, dict)] if (run / SECONDS).is_file() else []


def flattened(recipe: dict) -> dict:
    """The values of a recipe in which runs may differ, by their names, such as `stages.2.learning_rate`."""

    def walk(values: dict, before: str) -> Iterator[tuple[str, object]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from walk(value, f"{before}{name}.")
            else:
                yield before + name, value

    return dict(walk({part: recipe[part] for part in PARTS}, ""))
