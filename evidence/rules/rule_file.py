# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reads the file of a rule. docs/rules.md says what it may hold."""

import importlib.util
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path


class FileRule:
    """A rule of a file with values for its arguments; it stands where a [`~evidence.quality.settings.Rule`] does."""

    tokens_per_step = 1

    def __init__(self, make: Callable, name: str, values: dict):
        self.make, self.values = make, values
        self.family = name
        self.label = ", ".join([name, *(f"{key} {value}" for key, value in values.items())])

    @property
    def options(self) -> dict:
        """The options of one call of `generate`. Each call gets a rule of its own, which may remember its steps."""
        if not inspect.isclass(self.make):
            return {"remasking": partial(self.make, **self.values)}
        rule = self.make(**self.values)
        watch = getattr(rule, "watch", None)
        return {"remasking": rule} if watch is None else {"remasking": rule, "logits_processor": [watch]}


def read_rule_file(path: Path) -> list[FileRule]:
    """
    The rule of a file with each of its `SETTINGS`.

    Raises:
        `ValueError`: if the file cannot be imported, or lacks what it must have.
    """
    if path.suffix != ".py" or not path.is_file():
        raise ValueError(f"`RULE_FILE` must name a Python file, but got {str(path)!r}. examples/rules/ has some.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"`RULE_FILE` must be a module that can be imported, but {path} fails with {reason}"
        ) from error
    rule, settings = getattr(module, "rule", None), getattr(module, "SETTINGS", [{}])
    if not callable(rule):
        raise ValueError(
            f"`RULE_FILE` must define `rule`, a function (confidence, mask, budget) -> commit or a class of such objects, but "
            f"{path} has {'none' if rule is None else repr(rule)}."
        )
    is_list = isinstance(settings, list | tuple) and settings and all(isinstance(one, dict) for one in settings)
    if not is_list:
        raise ValueError(
            f"`SETTINGS` must be a list of dictionaries, the arguments of `rule` for each point, but {path} has {settings!r}."
        )
    for values in settings:
        check_arguments(rule, values, path)
    return [FileRule(rule, path.stem, values) for values in settings]


def check_arguments(rule: Callable, values: dict, path: Path) -> None:
    """Raises a `ValueError` if a rule cannot be called with some values of `SETTINGS`."""
    is_class = inspect.isclass(rule)
    try:
        inspect.signature(rule).bind(*(() if is_class else ("confidence", "mask", "budget")), **values)
    except TypeError as error:
        what = "made" if is_class else "called as (confidence, mask, budget)"
        raise ValueError(f"`rule` of {path} must be {what} with the arguments {values}, but: {error}.") from error
    if is_class and "__call__" not in dir(rule):
        raise ValueError(f"`rule` of {path} must be a class whose objects are called as (confidence, mask, budget).")
