# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Recipes in YAML: values from the command line, names and types."""

from dataclasses import dataclass
from typing import Literal

import pytest

from modeling_llada.training.recipe_files import assign, checked, read_recipe


@dataclass
class Settings:
    steps: int
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"
    name: str | None = None
    is_fast: bool = False


def test_values_of_the_command_line():
    values = {"training": {"seed": 1}, "phases": [{"fraction": 1.0}]}
    for assignment in ("training.seed=2", "phases.0.fraction=0.5", "model.size=3", "splits=[a, b]", "ends=,."):
        assign(values, assignment)
    assert values == {
        "training": {"seed": 2},
        "phases": [{"fraction": 0.5}],
        "model": {"size": 3},
        "splits": ["a", "b"],
        "ends": ",.",
    }


@pytest.mark.parametrize("assignment", ["seed", "phases.x=1", "phases.7=1", "seed.x=1"])
def test_wrong_assignments(assignment):
    with pytest.raises(ValueError, match="`--set` must be KEY=VALUE"):
        assign({"seed": 1, "phases": [1]}, assignment)


def test_numbers_that_yaml_reads_as_texts(tmp_path):
    (tmp_path / "recipe.yaml").write_text("steps: 1e3\nrate: 1e-3\nname: 5e\n")
    assert checked(Settings, read_recipe(tmp_path / "recipe.yaml")) == {"steps": 1000, "rate": 0.001, "name": "5e"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "`training.steps` is missing"),
        ({"steps": 1, "rte": 1}, "`training.rte` is no value of a recipe: did you mean `rate`?"),
        ({"steps": 1.5}, "`training.steps` must be int, but got 1.5"),
        ({"steps": True}, "`training.steps` must be int, but got True"),
        ({"steps": None}, "`training.steps` must be int, but got None"),
        ({"steps": 1, "rate": "fast"}, "`training.rate` must be float, but got 'fast'"),
        ({"steps": 1, "kind": "c"}, "`training.kind` must be"),
        ({"steps": 1, "name": False}, "`training.name` must be str or null, but got False. YAML reads yes, no"),
        ({"steps": 1, "is_fast": "yes"}, "`training.is_fast` must be bool, but got 'yes'"),
        ([1], "`training` must hold names and values"),
    ],
    ids=str,
)
def test_wrong_names_and_types(values, message):
    with pytest.raises(ValueError, match=message.replace("?", "[?]")):
        checked(Settings, values, "training.")
