# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The fields of adapter_config.json that name modules.

An official name can stand for two modules: `ff_out` is the down projection of each block and also the output head. So the
fields are not translated word by word. The tensors say which modules are adapted, and the fields are written anew.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

from .names import ModuleNames, at_layer, layer_of, leaf
from .report import AdapterReport, listed, spans


@dataclass
class Adapter:
    """The config of an adapter, and for each module its tensors by their role, such as `lora_A.weight`."""

    config: dict
    modules: dict[str, dict[str, torch.Tensor]]

    def having(self, *prefixes: str) -> list[str]:
        """The modules that have a tensor with such a role."""
        return [name for name, parts in self.modules.items() if any(part.startswith(prefixes) for part in parts)]

    @property
    def layers(self) -> list[int]:
        """The layers that have tensors."""
        return sorted({layer_of(name) for name in self.modules} - {None})

    @property
    def names_every_layer(self) -> bool:
        """Whether the config names modules by their type alone, and therefore in all layers of the base model."""
        targets, excluded = self.config.get("target_modules"), self.config.get("exclude_modules") or []
        if self.config.get("layers_to_transform") or isinstance(excluded, str):
            return False
        if isinstance(targets, str) and targets != "all-linear":
            return False
        names = [*([] if isinstance(targets, str) else targets or []), *excluded]
        return not any(part.isdigit() for name in names for part in name.split("."))


def convert_config(adapter: Adapter, names: ModuleNames, report: AdapterReport) -> dict:
    """The config with the names of the destination."""
    changes = convert_targets(adapter, names, report)
    for name in ("rank_pattern", "alpha_pattern"):
        changes[name] = convert_pattern(name, adapter, names, report)
    changes["modules_to_save"] = convert_saved_modules(adapter, names, report)
    if isinstance(adapter.config.get("trainable_token_indices"), dict):
        changes["trainable_token_indices"] = convert_token_indices(adapter, names)
    # PEFT loads an adapter without a task with this class of the base model, which reads both kinds of names.
    if not adapter.config.get("task_type"):
        changes["auto_mapping"] = {"base_model_class": "AutoModel", "parent_library": "transformers"}

    old = adapter.config
    changes = {name: value for name, value in changes.items() if name in old or value}
    report.changes = {
        name: (old.get(name), value)
        for name, value in changes.items()
        if name != "target_modules" and (old.get(name) or value) and old.get(name) != value
    }
    return old | changes


def is_targeted(config: dict, module: str) -> bool:
    """Whether PEFT adapts a module of this name."""
    return bool(check_target_module_exists(SimpleNamespace(target_parameters=None, **config), module))


def matching(entries: str | list[str], modules: list[str], adapter: Adapter, names: ModuleNames) -> list[str]:
    """The modules that the config of the source adapts if `target_modules` is `entries`."""
    if entries == "all-linear":
        entries = names.linear({layer_of(module) for module in modules} - {None})
    config = {name: value for name, value in adapter.config.items() if name != "target_parameters"}
    return [module for module in modules if is_targeted(config | {"target_modules": entries}, module)]


def convert_targets(adapter: Adapter, names: ModuleNames, report: AdapterReport) -> dict:
    """The fields that say which modules are adapted. Modules without tensors are left out."""
    adapted = adapter.having("lora_")
    targets = adapter.config.get("target_modules")
    by_entry = {targets: matching(targets, adapted, adapter, names)} if isinstance(targets, str) else {}
    if isinstance(targets, list):
        by_entry = {entry: matching([entry], adapted, adapter, names) for entry in targets}
    for entry, modules in by_entry.items():
        # The report has one line for all layers of a module. A regular expression is shown as it is.
        kind = entry if isinstance(targets, str) else re.sub(r"(?<![^.])\d+(?=\.)", "*", entry)
        types = {leaf(names.new(module)) for module in modules}
        report.targets[kind] = sorted(types.union(report.targets.get(kind, [])))
        if not modules:
            report.warn_left_out("target_modules", entry)
    unnamed = sorted(set(adapted) - {module for modules in by_entry.values() for module in modules})
    if unnamed and targets is not None:
        raise ValueError(
            f"`source` has tensors that `target_modules` does not name, so they had no effect: {listed(unnamed)}. Add the "
            "modules to adapter_config.json, or remove the tensors."
        )
    warn_about_layers(adapter, names, report)

    new = sorted(names.new(module) for module in adapted)
    described = describe_modules(new, names, every_layer=adapter.names_every_layer)
    is_all_linear = targets == "all-linear" and set(adapted) == set(names.linear(adapter.layers))
    if is_all_linear and described["layers_to_transform"] is None:
        described["target_modules"] = targets
    return described | {"exclude_modules": None}


def warn_about_layers(adapter: Adapter, names: ModuleNames, report: AdapterReport) -> None:
    """Warns of layers that the config names, but that have no tensors for an adapted type of module."""
    targets, asked = adapter.config.get("target_modules"), adapter.config.get("layers_to_transform") or []
    if isinstance(targets, list):  # `convert_targets` warns of entries for one layer
        targets = [entry for entry in targets if not any(part.isdigit() for part in entry.split("."))]
    layers = {*range(max(adapter.layers, default=-1) + 1), *([asked] if isinstance(asked, int) else asked)}
    types = sorted({at_layer(module, 0) for module in adapter.having("lora_") if layer_of(module) is not None})
    for kind in types:
        expected = matching(targets or [], [at_layer(kind, layer) for layer in sorted(layers)], adapter, names)
        missing = [layer_of(module) for module in expected if module not in adapter.modules]
        if missing:
            report.warnings.append(f"{at_layer(kind, '*')} has no tensors in the layers {spans(missing)}")


def describe_modules(modules: list[str], names: ModuleNames, every_layer: bool) -> dict:
    """The shortest fields that name exactly these modules: by type, by type and layer, or one by one."""
    layers = sorted({layer_of(module) for module in modules} - {None})
    universe = names.all_new({0, *layers})
    candidates = []
    if every_layer and layers == list(range(len(layers))):
        types = sorted({leaf(module) for module in modules})
        candidates.append({"target_modules": types, "layers_to_transform": None, "layers_pattern": None})
    if layers:
        # A module outside the layers needs its full name, or PEFT looks for its layer.
        types = sorted({module if layer_of(module) is None else leaf(module) for module in modules})
        which = {"layers_to_transform": layers, "layers_pattern": names.layers_pattern}
        candidates.append({"target_modules": types, **which})
    for candidate in candidates:
        if {module for module in universe if is_targeted(candidate, module)} == set(modules):
            return candidate
    return {"target_modules": modules, "layers_to_transform": None, "layers_pattern": None}


def convert_pattern(name: str, adapter: Adapter, names: ModuleNames, report: AdapterReport) -> dict:
    """`rank_pattern` or `alpha_pattern`: by type of module if all modules of the type agree, otherwise one by one."""
    pattern = adapter.config.get(name) or {}
    key_of = {module: get_pattern_key(list(pattern), module) for module in adapter.having("lora_")}
    for key in pattern.keys() - key_of.values():
        report.warn_left_out(name, key)
    by_type = defaultdict(dict)
    for module, key in key_of.items():
        by_type[leaf(names.new(module))][names.new(module)] = pattern.get(key)

    converted = {}
    for kind, values in by_type.items():
        agreed = set(values.values())
        given = {module: value for module, value in values.items() if value is not None}
        converted |= {kind: agreed.pop()} if len(agreed) == 1 and given else given
    return converted


def convert_saved_modules(adapter: Adapter, names: ModuleNames, report: AdapterReport) -> list[str] | None:
    """`modules_to_save`: the modules whose own weights were trained."""
    entries = adapter.config.get("modules_to_save")
    saved = adapter.having("weight")
    by_entry = {entry: [module for module in saved if module.endswith(entry)] for entry in entries or []}
    for entry, modules in by_entry.items():
        if not modules:
            report.warn_left_out("modules_to_save", entry)
    named = {module for modules in by_entry.values() for module in modules}
    unnamed = [module for module in saved if module not in named and not names.is_vocabulary(module)]
    if unnamed:
        raise ValueError(
            f"`source` has weights that `modules_to_save` does not name: {listed(unnamed)}. Add the modules to "
            "adapter_config.json, or remove the weights."
        )
    if not named:
        return None

    new = sorted(names.new(module) for module in named)
    types = sorted({leaf(module) for module in new})
    hit = {module for module in names.all_new({0, *adapter.layers}) if module.endswith(tuple(types))}
    return types if hit == set(new) else new


def convert_token_indices(adapter: Adapter, names: ModuleNames) -> dict:
    """`trainable_token_indices` by module: the embedding, which any ending of its name may stand for."""
    converted = {}
    for entry, indices in adapter.config["trainable_token_indices"].items():
        modules = [module for module in adapter.having("token_adapter") if module.endswith(entry)]
        if not modules:
            raise ValueError(
                f"`source` has no tensor for {entry!r} in `trainable_token_indices`. Remove the entry, or fetch the "
                "adapter again."
            )
        converted |= {leaf(names.new(module)): indices for module in modules}
    return converted
