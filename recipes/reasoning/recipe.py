# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The YAML file of the study: the problems, the first model, the runs on rewards, and what is measured of all."""

import dataclasses
from pathlib import Path

from modeling_llada import LLaDAConfig, LLaDAGenerationConfig
from modeling_llada.reading import read_json
from modeling_llada.training import LLaDAGRPOConfig, LLaDAPretrainingConfig
from modeling_llada.training.grpo.noise import LIKELIHOODS
from modeling_llada.training.recipe_files import assign, checked, read_recipe
from recipes.reasoning.problems import TASKS, Size


BASE = "base"  # the name of the first model


@dataclasses.dataclass
class Measure:
    """The part `measure` of the YAML file."""

    problems: int  # held-out problems of each task, at most
    batch_size: int
    decoding: dict  # options of `generate`, by the name of the way
    seed: int = 0


@dataclasses.dataclass
class Recipe:
    """A YAML file of this folder."""

    data: str  # the folder of prepare
    output_dir: str
    expected: list[str]  # written down before the run
    seed: int  # of the problems
    tasks: dict  # of Size, by the name of the task
    trained: int  # problems of each task
    held_out: int  # problems of each task
    prompt_tokens: int
    canvas: int  # tokens of an answer with its end, and of what fills it up
    model: dict  # arguments of LLaDAConfig
    training: dict  # arguments of LLaDAPretrainingConfig, for the first model
    prompts: int  # training problems of a task that answers are written to, for rewards
    seeds: list  # of the runs on rewards
    likelihoods: dict  # more arguments of LLaDAGRPOConfig, by the likelihood
    reward: dict  # arguments of LLaDAGRPOConfig, for all runs on rewards
    measure: dict  # of Measure

    @property
    def folder(self) -> Path:
        return Path(self.output_dir)

    def runs(self) -> dict[str, tuple[str, str, int]]:
        """The task, the likelihood and the seed of each run on rewards, by its name. One seed of all comes before the next one."""
        return {
            f"{task}-{likelihood}-{seed}": (task, likelihood, seed)
            for seed in self.seeds
            for task in self.tasks
            for likelihood in self.likelihoods
        }


def load_recipe(config: Path, assignments: list[str], **given: str | None) -> Recipe:
    """Reads the YAML file, overrides values by the given ones that are not `None`, and checks all of them."""
    values = read_recipe(config)
    values |= {name: value for name, value in given.items() if value is not None}
    for assignment in assignments:
        assign(values, assignment)
    recipe = Recipe(**checked(Recipe, values))
    recipe.model = checked(LLaDAConfig, recipe.model, "model.", more={"rope_theta": float})
    recipe.training = checked(LLaDAPretrainingConfig, recipe.training, "training.")
    recipe.reward = checked(LLaDAGRPOConfig, recipe.reward, "reward.")
    recipe.measure = checked(Measure, recipe.measure, "measure.")
    for options in recipe.measure["decoding"].values():
        LLaDAGenerationConfig(max_new_tokens=recipe.canvas, **options)
    for name, known in (("tasks", TASKS), ("likelihoods", LIKELIHOODS)):
        found = getattr(recipe, name)
        if not found or set(found) - set(known):
            raise ValueError(f"`{name}` must be some of {', '.join(known)}, but got {', '.join(found) or 'none'}.")
    for task, size in recipe.tasks.items():
        recipe.tasks[task] = checked(Size, size, f"tasks.{task}.")
        if size["numbers"] < 2 or size["largest"] < 1:
            raise ValueError(
                f"`tasks.{task}` must have at least 2 `numbers`, and a `largest` of at least 1, but got {size}."
            )
    for likelihood, options in recipe.likelihoods.items():
        recipe.likelihoods[likelihood] = checked(LLaDAGRPOConfig, options, f"likelihoods.{likelihood}.")
        reward_arguments(
            recipe, "", likelihood, seed=0, use_cpu=True
        )  # raises now for what is first used after the training
    return recipe


def load_run(folder: Path) -> Recipe:
    """The recipe of a run."""
    path = folder / "recipe.json"
    if not path.is_file():
        raise ValueError(f"`--run` must be the folder of a run, but there is no {path}. Run `train` first.")
    return Recipe(**read_json(path, dict), output_dir=str(folder))


def reward_arguments(recipe: Recipe, folder: str, likelihood: str, seed: int, **options) -> LLaDAGRPOConfig:
    """The arguments of a run on rewards."""
    values = recipe.reward | recipe.likelihoods[likelihood] | options
    return LLaDAGRPOConfig(folder, likelihood=likelihood, seed=seed, max_completion_length=recipe.canvas, **values)
