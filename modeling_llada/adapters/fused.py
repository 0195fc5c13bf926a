# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Adapters of the official code of LLaDA2, whose queries, keys and values are one module. Here they are three.

The first matrix of such an adapter belongs to each of the three, and the second is cut into its rows.
"""

import re

from transformers import AutoConfig

from ..models.configuration_llada2_moe import LLaDA2MoeConfig
from ..models.modeling_llada2_moe import LLaDA2MoeForMaskedLM, split_projections
from .config import Adapter
from .names import at_layer, layer_of
from .report import AdapterReport, listed


OFFICIAL = re.compile(r".*\.attention\.(query_key_value|dense)|.*word_embeddings")
FUSED = ".self_attn.query_key_value"
PARTS = {"lora_A.weight", "lora_B.weight"}
# What PEFT computes of a whole module, or looks up by its name.
UNSUPPORTED = ("alpha_pattern", "lora_bias", "modules_to_save", "rank_pattern", "trainable_token_indices", "use_dora")


def has_official_attention(adapter: Adapter) -> bool:
    """Whether an adapter has modules that only the official code of LLaDA2 has."""
    return any(map(OFFICIAL.fullmatch, adapter.modules))


def rename_attention(adapter: Adapter) -> tuple[Adapter, AdapterReport]:
    """The adapter of the modules here, and a report. Raises a `ValueError` for one that has no such form."""
    config = adapter.config
    unsupported = [name for name in UNSUPPORTED if config.get(name)]
    others = [name for name, parts in adapter.modules.items() if OFFICIAL.fullmatch(name) and parts.keys() - PARTS]
    if unsupported or others:
        raise ValueError(
            f"`source` adapts the attention of LLaDA2 with {listed([*unsupported, *others])}, which cannot be converted: only "
            "LoRA matrices of its projections can."
        )
    modules, groups = {}, {}
    for module, parts in adapter.modules.items():
        name = canonical(module)
        renamed = split(name, parts, config) if name.endswith(FUSED) else {name: parts}
        modules |= renamed
        for new, its_parts in renamed.items():
            groups.setdefault((at_layer(module, "*"), at_layer(new, "*")), []).append(
                (layer_of(module), len(its_parts))
            )
    report = AdapterReport(num_tensors=sum(map(len, modules.values())))
    report.modules = [
        (old, new, sorted({layer for layer, _ in found} - {None}), sum(count for _, count in found))
        for (old, new), found in groups.items()
    ]
    targets = sorted(modules)
    report.changes = {"target_modules": (config.get("target_modules"), targets)}
    return Adapter(config | {"target_modules": targets}, modules), report


def canonical(module: str) -> str:
    """The name of a module here."""
    name = f"{module}."
    for renaming in LLaDA2MoeForMaskedLM.weight_renamings:
        name, _ = renaming.rename_source_key(name)
    return name.removesuffix(".")


def split(name: str, parts: dict, config: dict) -> dict[str, dict]:
    """The adapters of queries, keys and values."""
    rows = split_projections(parts["lora_B.weight"], config_of_base(config, name))
    return {
        name.replace("query_key_value", f"{letter}_proj"): {
            "lora_A.weight": parts["lora_A.weight"],
            "lora_B.weight": row,
        }
        for letter, row in zip("qkv", rows, strict=True)
    }


def config_of_base(config: dict, module: str) -> LLaDA2MoeConfig:
    """The config of the checkpoint below an adapter, which says how many rows queries, keys and values have."""
    base = config.get("base_model_name_or_path")
    try:
        found = AutoConfig.from_pretrained(base)
    except (OSError, TypeError, ValueError):
        found = None
    if not isinstance(found, LLaDA2MoeConfig):
        raise ValueError(
            f"`source` adapts {module}, whose rows only the config of its LLaDA2 tells apart, but "
            f"`base_model_name_or_path={base!r}` is none. Set it in adapter_config.json to the folder of the checkpoint."
        )
    return found
