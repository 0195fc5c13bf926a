# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Adapters of single experts, as the official code of LLaDA-MoE has them, become adapters of the merged experts.

Gate and up projection are one tensor here. Its adapter has the ranks of both, and the same scale.
"""

import re

import torch
from peft import LoraConfig
from peft.utils.transformers_weight_conversion import convert_peft_adapter_state_dict_for_transformers

from ..models.configuration_llada_moe import LLaDAMoeConfig
from ..models.modeling_llada_moe import LLaDAMoeForMaskedLM
from .config import Adapter
from .names import at_layer, layer_of
from .report import AdapterReport, listed


EXPERT = re.compile(r"(?P<experts>.+\.mlp\.experts)\.(?P<index>\d+)\.(?P<name>gate|up|down)_proj")
ROUTER = re.compile(r".+\.mlp\.gate")
MERGED = {"gate_up_proj": {"gate", "up"}, "down_proj": {"down"}}
# What PEFT cannot do with parameters, or what would have another meaning for two projections in one tensor.
UNSUPPORTED = ("alpha_pattern", "lora_bias", "modules_to_save", "rank_pattern", "trainable_token_indices")
UNSUPPORTED += ("use_dora", "use_rslora")


def has_experts(adapter: Adapter) -> bool:
    """Whether an adapter is one of single experts."""
    return any(EXPERT.fullmatch(module) for module in adapter.modules)


def convert_experts(
    adapter: Adapter, tensors: dict[str, torch.Tensor]
) -> tuple[dict, dict[str, torch.Tensor], AdapterReport]:
    """
    The config and the tensors of an adapter of the merged experts, and a report. Raises a `ValueError` for an adapter that
    has no such form.
    """
    config = adapter.config
    unsupported = [name for name in UNSUPPORTED if config.get(name)]
    if unsupported:
        raise ValueError(f"`source` adapts experts with {listed(unsupported)}, which merged experts cannot have.")
    merged = check_complete(adapter)
    parameters = [f"mlp.experts.{name}" for name in merged]
    if any(map(ROUTER.fullmatch, adapter.modules)):
        parameters.append("mlp.gate.weight")
    others = [name for name in adapter.modules if not EXPERT.fullmatch(name) and not ROUTER.fullmatch(name)]
    changes = {"target_modules": sorted(others), "target_parameters": parameters, "lora_dropout": 0.0}
    if "gate_up_proj" in merged:
        changes |= {"rank_pattern": {r".*\.gate_up_proj": 2 * config["r"]}}
        changes |= {"alpha_pattern": {r".*\.gate_up_proj": 2 * config["lora_alpha"]}}

    with torch.device("meta"):  # PEFT asks it how the weights of its family are merged
        model = LLaDAMoeForMaskedLM(LLaDAMoeConfig(num_hidden_layers=1, num_experts=1, num_experts_per_tok=1))
    lora = LoraConfig(r=config["r"], target_parameters=parameters)
    converted = convert_peft_adapter_state_dict_for_transformers(model, lora, tensors)
    if "down_proj" not in merged:  # PEFT nests two adapted parameters of a module, and not a single one
        converted = {name.replace(".experts.base_layer.", ".experts."): tensor for name, tensor in converted.items()}
    report = AdapterReport(num_tensors=len(converted), modules=count_modules(adapter))
    report.changes = {name: (config.get(name), value) for name, value in changes.items() if config.get(name) != value}
    return config | changes, {name: tensor.contiguous() for name, tensor in converted.items()}, report


def check_complete(adapter: Adapter) -> list[str]:
    """The merged tensors that are adapted. Raises a `ValueError` unless that is so for all experts of a layer."""
    found = [match for match in map(EXPERT.fullmatch, adapter.modules) if match]
    names, count = {match["name"] for match in found}, 1 + max(int(match["index"]) for match in found)
    missing = [
        f"{experts}.{index}.{name}_proj"
        for experts in sorted({match["experts"] for match in found})
        for index in range(count)
        for name in sorted(names | {"gate", "up"} if names & {"gate", "up"} else names)
        if f"{experts}.{index}.{name}_proj" not in adapter.modules
    ]
    if missing:
        raise ValueError(
            f"`source` adapts some experts, but not {listed(missing)}. They are merged here, gate with up and each expert with "
            "the others, so all of them need an adapter. Add zeros for the missing ones."
        )
    return [name for name, parts in MERGED.items() if parts <= names]


def count_modules(adapter: Adapter) -> list[tuple[str, str, list[int], int]]:
    """For each type of module its old and new name, its layers, and its number of tensors."""
    groups: dict[tuple[str, str], list[str]] = {}
    for module in adapter.modules:
        match, kind = EXPERT.fullmatch(module), at_layer(module, "*")
        if match:
            new = "down_proj" if match["name"] == "down" else "gate_up_proj"
            experts = at_layer(match["experts"], "*")
            old, new = f"{experts}.*.{match['name']}_proj", f"{experts}.{new}"
        else:
            old = new = kind
        groups.setdefault((old, new), []).append(module)
    return [
        (
            old,
            new,
            sorted({layer_of(name) for name in names} - {None}),
            sum(len(adapter.modules[name]) for name in names),
        )
        for (old, new), names in groups.items()
    ]
