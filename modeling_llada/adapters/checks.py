# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The checks of an adapter's folder. PEFT takes most wrong values, and merges NaN into the weights of a model."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from peft import PeftType, TaskType
from torch import nn

from ..models.options_llada import check_bool, check_class, check_integer, check_number


def check_names(name: str, value: Any) -> None:
    names = [value] if isinstance(value, str) else check_class(name, value, list)
    for one in names:
        check_class(name, one, str)


def check_pattern(name: str, value: Any, check: Callable[[str, Any], None]) -> None:
    for key, one in check_class(name, value, dict).items():
        check(f"{name}[{key!r}]", one)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    if value not in list(choices):
        raise ValueError(f"`{name}` must be one of {', '.join(choices)}, but got {value!r}.")


def check_layers(name: str, value: Any) -> None:
    for one in value if isinstance(value, list) else [value]:
        check_integer(name, one, minimum=0)


check_rank = partial(check_integer, minimum=1, maximum=2**31 - 1)
check_scale = partial(check_number, minimum=0.0)
# What the fields of a LoRA can be. Other types give some of them another meaning, such as the `r=0` of OFT.
FIELD_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "alpha_pattern": partial(check_pattern, check=check_scale),
    "base_model_name_or_path": partial(check_class, kind=str),
    "bias": partial(check_choice, choices=("none", "all", "lora_only")),
    "fan_in_fan_out": check_bool,
    "inference_mode": check_bool,
    "layers_to_transform": check_layers,
    "lora_alpha": check_scale,
    "lora_dropout": partial(check_number, minimum=0.0, maximum=1.0),
    "modules_to_save": check_names,
    "r": check_rank,
    "rank_pattern": partial(check_pattern, check=check_rank),
    "target_modules": check_names,
    "task_type": partial(check_choice, choices=[task.value for task in TaskType]),
    "use_dora": check_bool,
    "use_rslora": check_bool,
}


def check_config(config: dict) -> None:
    """Raises a `ValueError` for a field of adapter_config.json that cannot be."""
    check_choice("peft_type", config.get("peft_type"), [kind.value for kind in PeftType])
    for name, check in FIELD_CHECKS.items():
        if config["peft_type"] == "LORA" and config.get(name) is not None:
            check(name, config[name])


def check_weights(weights: dict[str, torch.Tensor]) -> None:
    """Raises a `ValueError` for weights that are no finite numbers. SHiRA and VB-LoRA also save indices."""
    for name, tensor in weights.items():
        is_number = tensor.is_floating_point() or name.endswith("indices")
        if not is_number or not tensor.isfinite().all():
            raise ValueError(
                f"`{name}` has weights that are no finite floating numbers: train or fetch the adapter again."
            )


def check_saved_modules(config: dict, model: nn.Module) -> None:
    """Raises a `ValueError` for a name in `modules_to_save` that no module has. PEFT would ignore it."""
    modules = [f".{name}" for name, _ in model.named_modules()]
    for entry in config.get("modules_to_save") or []:
        if not any(module.endswith(f".{entry}") for module in modules):
            raise ValueError(f"`modules_to_save` must name modules of the model, but it has no {entry!r}.")
