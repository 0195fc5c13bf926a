# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The results of a run in one file."""

from pathlib import Path

import numpy as np
from scipy import stats

from modeling_llada.reading import read_json
from recipes.poems.twin import read_log, train_seconds
from recipes.reasoning.measuring import result_path
from recipes.reasoning.recipe import BASE, load_run
from reporting.results import rounded, save


REWARD, NO_SPREAD = "rewards/is_right/mean", "frac_reward_zero_std"  # names in the log


def collect(run: Path, output: Path) -> None:
    """Writes what was measured of the first model, and of each task and likelihood over the seeds that are measured."""
    recipe = load_run(run)
    if not result_path(run, BASE).is_file():
        raise ValueError(
            f"`--run` must have what was measured, but there is no {result_path(run, BASE)}. Run `measure` first."
        )
    base = read_json(result_path(run, BASE), dict)
    policies: dict[str, dict[str, list[dict]]] = {}
    for name, (task, likelihood, seed) in recipe.runs().items():
        if result_path(run, name).is_file():
            policy = read_policy(run, name, task) | {"seed": seed}
            policies.setdefault(task, {}).setdefault(likelihood, []).append(policy)
    tasks = {
        task: {likelihood: over_seeds(found) for likelihood, found in by_likelihood.items()}
        for task, by_likelihood in policies.items()
    }
    base["training_seconds"] = train_seconds(read_log(run / BASE), recipe.training["tokens_per_step"])
    values = vars(recipe) | {"output_dir": recipe.folder.name}
    save(output, {"recipe": values, "base": base, "tasks": tasks})
    number = sum(len(one["seeds"]) for by_likelihood in tasks.values() for one in by_likelihood.values())
    print(f"wrote {output} with {number} of {len(recipe.runs())} policies")


def read_policy(run: Path, name: str, task: str) -> dict:
    """What was measured of one policy, and the curve of its training."""
    result, training = read_json(result_path(run, name), dict), read_json(run / name / "log.json", dict)
    log = [entry for entry in training["log"] if REWARD in entry]
    return {
        "ways": result["tasks"][task],
        "training_seconds": training["seconds"],
        "measuring_seconds": result["seconds"],
        "curve": [[entry["step"], rounded(entry[REWARD], 4)] for entry in log],
        "no_spread": rounded(float(np.mean([entry[NO_SPREAD] for entry in log[len(log) // 2 :]])), 4),
    }


def over_seeds(policies: list[dict]) -> dict:
    """The mean over the seeds with its interval, by the way of decoding, and the mean curve of the rewards."""
    ways = {
        way: {
            "right": t_interval([one["ways"][way]["right"]["mean"] for one in policies]),
            "passes": rounded(float(np.mean([one["ways"][way]["passes"] for one in policies]))),
        }
        for way in policies[0]["ways"]
    }
    steps = [step for step, _ in policies[0]["curve"]]
    curves = np.array([[value for _, value in one["curve"]] for one in policies if len(one["curve"]) == len(steps)])
    return {
        "seeds": {
            str(one["seed"]): {way: value["right"]["mean"] for way, value in one["ways"].items()} for one in policies
        },
        "ways": ways,
        "training_seconds": rounded(sum(one["training_seconds"] for one in policies)),
        "measuring_seconds": rounded(sum(one["measuring_seconds"] for one in policies)),
        "no_spread": rounded(float(np.mean([one["no_spread"] for one in policies])), 4),
        "curve": [list(pair) for pair in zip(steps, rounded(curves.mean(0).tolist(), 4), strict=True)],
    }


def t_interval(values: list[float]) -> dict[str, float]:
    """The mean of a few values, and its 95% interval by the t distribution. One value has no interval."""
    mean = low = high = float(np.mean(values))
    if len(values) > 1:
        error = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
        low, high = mean - error, mean + error
    return rounded({"mean": mean, "low": low, "high": high})
