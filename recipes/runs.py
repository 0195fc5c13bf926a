# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Studies that train several models one after the other, in one call or in several."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from modeling_llada.reading import read_json
from modeling_llada.training import LLaDAPretrainingConfig
from reporting.results import save


STARTED = time.monotonic()
LEAST_SECONDS = 90  # no further model is begun with less time left: compiling alone can take that long


def train_waiting(
    trainings: dict[str, LLaDAPretrainingConfig],
    max_minutes: float | None,
    train_one: Callable[[str, LLaDAPretrainingConfig], None],
) -> None:
    """Trains the models that are not done, as long as there is time. After that the same command goes on with `--resume`."""
    deadline = math.inf if max_minutes is None else STARTED + 60 * max_minutes
    waiting = [name for name, training in trainings.items() if not is_done(training)]
    for name in waiting:
        # The first one is begun in any case, so that each call gets on.
        if name != waiting[0] and deadline - time.monotonic() < LEAST_SECONDS:
            break
        if deadline < math.inf:
            minutes = (deadline - time.monotonic()) / 60
            trainings[name].max_minutes = max(minutes, 1e-9)  # one step is made at least
        train_one(name, trainings[name])
    done = sum(map(is_done, trainings.values()))
    print(f"{done} of {len(trainings)} models are done after {time.monotonic() - STARTED:.0f} s", flush=True)


def is_done(training: LLaDAPretrainingConfig) -> bool:
    return (Path(training.output_dir) / "final").is_dir()


def check_names(names: list[str] | None, models: dict) -> list[str]:
    """The models that `--model` names, by default all."""
    if unknown := set(names or []) - set(models):
        raise ValueError(f"`--model` must be one of {', '.join(models)}, but got {', '.join(sorted(unknown))}.")
    return names or list(models)


def open_output(folder: Path, recipe, resume: bool) -> None:
    """Makes the folder of the run of a recipe, a dataclass, or checks that it has a run of the same recipe."""
    path, values = folder / "recipe.json", json.loads(json.dumps(dataclasses.asdict(recipe)))
    values.pop("output_dir")
    if path.is_file() and not resume:
        raise ValueError(f"`output_dir` already has a run: {folder}. Go on with `--resume`, or name another folder.")
    if path.is_file() and read_json(path, dict) != values:
        raise ValueError(f"`output_dir` has a run of another recipe: {folder}. Name another folder.")
    save(path, values)
