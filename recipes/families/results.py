# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The results of a run in one file."""

from pathlib import Path
from statistics import median

import numpy as np

from modeling_llada.reading import read_json
from recipes.families.measuring import result_path
from recipes.poems.twin import read_log, train_seconds
from reporting.results import rounded, save
from reporting.statistics import bootstrap


def collect(run: Path, output: Path) -> None:
    """Writes what was measured of the models, how long they trained, and how they differ from the first one."""
    if not (run / "recipe.json").is_file():
        raise ValueError(
            f"`--run` must be the folder of a run, but there is no {run / 'recipe.json'}. Run `train` first."
        )
    recipe = read_json(run / "recipe.json", dict)
    paths = {name: result_path(run, name) for name in recipe["models"]}
    models = {name: read_json(path, dict) for name, path in paths.items() if path.is_file()}
    for name, model in models.items():
        log, tokens_per_step = read_log(run / name), recipe["training"]["tokens_per_step"]
        model["training_seconds"] = train_seconds(log, tokens_per_step)
        model["step_ms"] = step_milliseconds(log, tokens_per_step)
    save(output, {"recipe": recipe, "from_first": from_first(models, next(iter(paths))), "models": models})
    print(f"wrote {output} with {len(models)} of {len(paths)} models: {', '.join(models) or 'none is measured'}")


def step_milliseconds(log: list[dict], tokens_per_step: int) -> float:
    """The time of a step, by the median of the logged speeds: compiling is in a few of them."""
    speeds = [entry["tokens_per_second"] for entry in log if "tokens_per_second" in entry]
    return rounded(1e3 * tokens_per_step / median(speeds)) if speeds else 0.0


def from_first(models: dict[str, dict], first: str) -> dict[str, dict]:
    """
    The nats per token of each model, and by how much they are above those of the first model. All are measured on the same
    windows and noise, so the differences of the windows say more than the means. Takes the windows out.
    """
    windows = {name: np.array(model.pop("windows")) for name, model in models.items()}
    for name, values in windows.items():
        models[name]["nats"] = rounded(bootstrap(values))
    if first not in windows:
        return {}
    return {name: rounded(bootstrap(values - windows[first])) for name, values in windows.items() if name != first}
