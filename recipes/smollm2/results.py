# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The results of a run in one file."""

from pathlib import Path

import numpy as np

from modeling_llada.reading import read_json
from reporting.results import rounded, save
from reporting.statistics import bootstrap


def collect(run: Path, output: Path) -> None:
    """Writes the original's measurements and the records of the models that are done."""
    if not (run / "original.json").is_file():
        raise ValueError(
            f"`--run` must be the folder of a run, but there is no {run / 'original.json'}. Run `train` first."
        )
    recipe = read_json(run / "recipe.json", dict)
    paths = {name: run / f"{name}.json" for name in recipe["models"]}
    records = {name: read_json(path, dict) for name, path in paths.items() if path.is_file()}
    done = {name: record for name, record in records.items() if is_complete(record)}
    original = read_json(run / "original.json", dict)
    save(output, {"recipe": recipe, "original": original, "from_converted": from_converted(done), "models": done})
    print(f"wrote {output} with {len(done)} of {len(recipe['models'])} models: {', '.join(done) or 'none is done'}")


def from_converted(records: dict[str, dict]) -> dict[str, dict]:
    """
    By how many nats per token each model is above the converted one at the end. All are measured on the same windows, and mask
    predictors on the same noise, so the differences of the windows say more than the two means. Takes the windows out.
    """
    windows = {name: np.array(record["points"][-1].pop("windows")) for name, record in records.items()}
    if "converted" not in windows:
        return {}
    converted = windows.pop("converted")
    return {name: rounded(bootstrap(values - converted)) for name, values in windows.items()}


def is_complete(record: dict) -> bool:
    """Whether a model was measured after its last step. Models are compared after the same number of tokens."""
    return record["points"][-1]["step"] == record["training"]["max_steps"]
