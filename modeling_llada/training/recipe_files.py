# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Recipes in YAML: reading them, overriding values with KEY=VALUE, and checking names and types."""

import contextlib
import dataclasses
import difflib
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
import yaml


def read_recipe(path: str | Path) -> dict:
    """Reads a YAML file of names and values."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{path}, line {error.problem_mark.line + 1}, is no YAML: {error.problem}.") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold names and values, as the files in examples/configs do.")
    return values


def assign(values: dict, assignment: str) -> None:
    """Sets a value of nested dictionaries and lists, as `training.seed=1` or `phases.0.fraction=0.5` names it."""
    key, equals, value = assignment.partition("=")
    *parents, name = key.split(".")
    place = values
    try:
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        if not equals or not isinstance(place, dict | list):
            raise ValueError(key)
        place[int(name) if isinstance(place, list) else name] = _parsed(value)
    except (AttributeError, IndexError, ValueError):
        raise ValueError(
            f"`--set` must be KEY=VALUE with a place in the recipe, as in training.seed=1, but got {assignment!r}."
        ) from None


def _parsed(text: str):
    with contextlib.suppress(yaml.YAMLError):
        return yaml.safe_load(text)
    return text  # such as the characters `,.`


def checked(kind: type, values: dict, place: str = "", more: dict[str, type] | None = None) -> dict:
    """
    Checks the arguments of a dataclass, and returns them with numbers for texts such as 1e-3, which YAML does not read as one.

    Args:
        kind (`type`):
            The dataclass.
        values (`dict`):
            The arguments.
        place (`str`, *optional*, defaults to `""`):
            Where the values are in the recipe, such as `"training."`.
        more (`dict[str, type]`, *optional*):
            Names and types of further arguments that the class takes.

    Returns:
        `dict`: the arguments.

    Raises:
        `ValueError`: if a name is unknown or missing, or if a value has another type than its field.
    """
    if not isinstance(values, dict):
        raise ValueError(f"`{place.rstrip('.')}` must hold names and values, but got {values!r}.")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    hints = get_type_hints(kind, localns={"torch": torch})
    hints = {name: hints[name] for name in fields} | (more or {})
    for name in values:
        if name not in hints:
            near = difflib.get_close_matches(str(name), hints, n=1)
            raise ValueError(
                f"`{place}{name}` is no value of a recipe" + (f": did you mean `{near[0]}`?" if near else ".")
            )
    for name, field in fields.items():
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        if name not in values and not has_default:
            raise ValueError(f"`{place}{name}` is missing in the recipe.")
    return {name: _typed(value, hints[name], f"{place}{name}") for name, value in values.items()}


def _typed(value, hint, name: str):
    choices = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, str) and str not in choices and {int, float} & set(choices):
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, float) and int in choices and float not in choices and value.is_integer():
        value = int(value)
    if any(_fits(value, choice) for choice in choices):
        return value
    wanted = " or ".join("null" if one is type(None) else getattr(one, "__name__", str(one)) for one in choices)
    advice = " YAML reads yes, no, on and off as true and false: quote a text." if isinstance(value, bool) else ""
    raise ValueError(f"`{name}` must be {wanted}, but got {value!r}.{advice}")


def _fits(value, hint) -> bool:
    kind = get_origin(hint) or hint
    if kind is Literal:
        return value in get_args(hint)
    if kind is Any or not isinstance(kind, type):
        return True
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
