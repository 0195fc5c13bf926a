# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The YAML file of the study, and what it names: the data, the models to compare, and their training."""

import dataclasses
from pathlib import Path

from modeling_llada import LLaDAGenerationConfig
from modeling_llada.training import LLaDAPretrainingConfig
from modeling_llada.training.recipe_files import assign, checked, read_recipe
from recipes.smollm2.measuring import Measure


WEIGHTS = ("converted", "random", "autoregressive")


@dataclasses.dataclass
class Recipe:
    """A YAML file of this folder."""

    data: str  # the folder of prepare
    output_dir: str
    width: int  # tokens of a row, in training and held out
    training: dict  # arguments of LLaDAPretrainingConfig
    models: dict  # `weights` and further arguments of the training, by name
    measure: dict  # of Measure

    def training_of(self, name: str) -> dict:
        """The arguments of the training of one model."""
        return self.training | {key: value for key, value in self.models[name].items() if key != "weights"}


def load_recipe(config: Path, data: str | None, output_dir: str | None, assignments: list[str]) -> Recipe:
    """Reads the YAML file, overrides values by those of the command line, and checks all of them."""
    values = read_recipe(config)
    given = {"data": data, "output_dir": output_dir}
    values |= {name: value for name, value in given.items() if value is not None}
    for assignment in assignments:
        assign(values, assignment)
    recipe = Recipe(**checked(Recipe, values))
    recipe.measure = checked(Measure, recipe.measure, "measure.")
    for options in recipe.measure["decoding"].values():
        LLaDAGenerationConfig(**options)  # raises now for an option that is first used after the last step
    recipe.training = checked(LLaDAPretrainingConfig, recipe.training, "training.")
    for name, model in recipe.models.items():
        if not isinstance(model, dict) or model.get("weights") not in WEIGHTS:
            raise ValueError(f"`models.{name}.weights` must be one of {', '.join(WEIGHTS)}, but got {model!r}.")
        changes = {key: value for key, value in model.items() if key != "weights"}
        recipe.models[name] = {"weights": model["weights"]} | checked(
            LLaDAPretrainingConfig, changes, f"models.{name}."
        )
    return recipe
