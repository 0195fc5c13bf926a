# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The fields of adapter_config.json that name modules.

They are not translated word for word, since an official name can stand for two modules (`ff_out` is the down projection
of each block, and the output head): the adapted modules are taken from the tensors, and described anew.
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
    """An adapter that was read: its config, and the tensors of each module by what they are of it."""

    config: dict
    modules: dict[str, dict[str, torch.Tensor]]

    def having(self, *prefixes: str) -> list[str]:
        """The modules with a tensor of that kind."""
        return [name for name, parts in self.modules.items() if any(part.startswith(prefixes) for part in parts)]

    @property
    def layers(self) -> list[int]:
        """The layers with tensors."""
        return sorted({layer_of(name) for name in self.modules} - {None})

    @property
    def names_every_layer(self) -> bool:
        """Whether the config speaks of modules by their type alone, and so of all layers of the base model."""
        targets, excluded = self.config.get("target_modules"), self.config.get("exclude_modules") or []
        if self.config.get("layers_to_transform") or isinstance(excluded, str):
            return False
        if isinstance(targets, str) and targets != "all-linear":
            return False
        names = [*([] if isinstance(targets, str) else targets or []), *excluded]
        return not any(part.isdigit() for name in names for part in name.split("."))


def convert_config(adapter: Adapter, names: ModuleNames, report: AdapterReport) -> dict:
    """Describes what is adapted in the names of the destination."""
    changes = convert_targets(adapter, names, report)
    for name in ("rank_pattern", "alpha_pattern"):
        changes[name] = convert_pattern(name, adapter, names, report)
    changes["modules_to_save"] = convert_saved_modules(adapter, names, report)
    if isinstance(adapter.config.get("trainable_token_indices"), dict):
        changes["trainable_token_indices"] = convert_token_indices(adapter, names)
    # Without a task, PEFT imports the class of the base model; this one loads both namings.
    if adapter.config.get("auto_mapping"):
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
    """Whether PEFT would adapt a module of that name."""
    return bool(check_target_module_exists(SimpleNamespace(target_parameters=None, **config), module))


def matching(entries: str | list[str], modules: list[str], adapter: Adapter, names: ModuleNames) -> list[str]:
    """Those modules of the source that the config adapts if `target_modules` is `entries`."""
    if entries == "all-linear":
        entries = names.linear({layer_of(module) for module in modules} - {None})
    config = {name: value for name, value in adapter.config.items() if name != "target_parameters"}
    return [module for module in modules if is_targeted(config | {"target_modules": entries}, module)]


def convert_targets(adapter: Adapter, names: ModuleNames, report: AdapterReport) -> dict:
    """The fields that say which modules are adapted. Their meaning is kept, and nothing without tensors is named."""
    adapted = adapter.having("lora_")
    targets = adapter.config.get("target_modules")
    by_entry = {targets: matching(targets, adapted, adapter, names)} if isinstance(targets, str) else {}
    if isinstance(targets, list):
        by_entry = {entry: matching([entry], adapted, adapter, names) for entry in targets}
    for entry, modules in by_entry.items():
        # One line for the same module of all layers. A pattern stays as it is.
        kind = entry if isinstance(targets, str) else re.sub(r"(?<![^.])\d+(?=\.)", "*", entry)
        types = {leaf(names.new(module)) for module in modules}
        report.targets[kind] = sorted(types.union(report.targets.get(kind, [])))
        if not modules:
            report.warnings.append(f"`target_modules` names {entry}, but there are no tensors for it: it was left out")
    unnamed = sorted(set(adapted) - {module for modules in by_entry.values() for module in modules})
    if unnamed and targets is not None:
        raise ValueError(
            f"`source` holds tensors that `target_modules` does not name, so they had no effect: {listed(unnamed)}. Add "
            "the modules to adapter_config.json, or remove the tensors."
        )
    warn_about_layers(adapter, names, report)

    new = sorted(names.new(module) for module in adapted)
    described = describe_modules(new, names, every_layer=adapter.names_every_layer)
    is_all_linear = targets == "all-linear" and set(adapted) == set(names.linear(adapter.layers))
    if is_all_linear and described["layers_to_transform"] is None:
        described["target_modules"] = targets
    return described | {"exclude_modules": None}


def warn_about_layers(adapter: Adapter, names: ModuleNames, report: AdapterReport) -> None:
    """A type of module that is adapted should be so in all layers that the config speaks of, up to the last one."""
    targets, asked = adapter.config.get("target_modules"), adapter.config.get("layers_to_transform") or []
    if isinstance(targets, list):  # an entry of one layer has been looked at already
        targets = [entry for entry in targets if not any(part.isdigit() for part in entry.split("."))]
    layers = {*range(max(adapter.layers, default=-1) + 1), *([asked] if isinstance(asked, int) else asked)}
    types = sorted({at_layer(module, 0) for module in adapter.having("lora_") if layer_of(module) is not None})
    for kind in types:
        expected = matching(targets or [], [at_layer(kind, layer) for layer in sorted(layers)], adapter, names)
        missing = [layer_of(module) for module in expected if module not in adapter.modules]
        if missing:
            report.warnings.append(f"{at_layer(kind, '*')} has no tensors in the layers {spans(missing)}")


def describe_modules(modules: list[str], names: ModuleNames, every_layer: bool) -> dict:
    """The shortest `target_modules` that names exactly these modules: by type, by type and layer, or one by one."""
    layers = sorted({layer_of(module) for module in modules} - {None})
    universe = names.all_new({0, *layers})
    candidates = []
    if every_layer and layers == list(range(len(layers))):
        types = sorted({leaf(module) for module in modules})
        candidates.append({"target_modules": types, "layers_to_transform": None, "layers_pattern": None})
    if layers:
        # A module outside the layers has to be named in full, or PEFT looks for its layer.
        types = sorted({module if layer_of(module) is None else leaf(module) for module in modules})
        which = {"layers_to_transform": layers, "layers_pattern": names.layers_pattern}
        candidates.append({"target_modules": types, **which})
    for candidate in candidates:
        if {module for module in universe if is_targeted(candidate, module)} == set(modules):
            return candidate
    return {"target_modules": modules, "layers_to_transform": None, "layers_pattern": None}


def convert_pattern(name: str, adapter: Adapter, names: ModuleNames, report: AdapterReport) -> dict:
    """`rank_pattern` or `alpha_pattern`: by type of module where all modules of a type agree, else one by one."""
    pattern = adapter.config.get(name) or {}
    key_of = {module: get_pattern_key(list(pattern), module) for module in adapter.having("lora_")}
    for key in pattern.keys() - key_of.values():
        report.warnings.append(f"`{name}` names {key}, but there are no tensors for it: it was left out")
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
    """`modules_to_save`: the modules that were trained as a whole."""
    entries = adapter.config.get("modules_to_save")
    saved = adapter.having("weight")
    by_entry = {entry: [module for module in saved if module.endswith(entry)] for entry in entries or []}
    for entry, modules in by_entry.items():
        if not modules:
            report.warnings.append(
                f"`modules_to_save` names {entry}, but there are no tensors for it: it was left out"
            )
    named = {module for modules in by_entry.values() for module in modules}
    unnamed = [module for module in saved if module not in named and not names.is_vocabulary(module)]
    if unnamed:
        raise ValueError(f"`source` holds weights that `modules_to_save` does not name: {listed(unnamed)}.")
    if not named:
        return None

    new = sorted(names.new(module) for module in named)
    types = sorted({leaf(module) for module in new})
    hit = {module for module in names.all_new({0, *adapter.layers}) if module.endswith(tuple(types))}
    return types if hit == set(new) else new


def convert_token_indices(adapter: Adapter, names: ModuleNames) -> dict:
    """`trainable_token_indices` by module: the embedding, by whatever end of its name."""
    converted = {}
    for entry, indices in adapter.config["trainable_token_indices"].items():
        modules = [module for module in adapter.having("token_adapter") if module.endswith(entry)]
        if not modules:
            raise ValueError(f"`source` has no tensor for {entry!r} in `trainable_token_indices`.")
        converted |= {leaf(names.new(module)): indices for module in modules}
    return converted
