# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The one place that tells the families of LLaDA apart: by `architectures`, since LLaDA-MoE has the `model_type` of the
dense models, and LLaDA2 several ones."""

from typing import Any


# How the names of the classes of a family begin, in lower case, both the official ones and ours.
NAMES_OF_CLASSES = {
    "llavallada": "llava_llada",
    "lladav": "llava_llada",
    "llada2": "llada2",
    "lladamoe": "llada_moe",
    "illada": "illada",
    "llada": "llada",
}
TITLES = {
    "llada": "dense LLaDA",
    "illada": "iLLaDA",
    "llada_moe": "LLaDA-MoE",
    "llada2": "LLaDA2",
    "llava_llada": "LLaDA-V, which has a vision tower",
}
# Fields that the config.json of one family has alone. Those of LLaDA-MoE tell it apart where there are no `architectures`.
DENSE_FIELDS = ("d_model", "mlp_hidden_size", "n_heads", "n_kv_heads", "n_layers")
MOE_FIELDS = ("expert_intermediate_size", "num_experts")

# The `model_type` of LLaDA2 in files: those of the Hub, and of dFactory, with which it is trained.
LLADA2_MODEL_TYPES = ("llada2_moe", "llada2_moe_veomni")

# The config classes that are imported, by family. A folder with remote code imports its own one.
CONFIG_CLASSES: dict[str, type] = {}


def family_of(config_dict: dict) -> str | None:
    """
    The family of a config.json, which is the `model_type` of its config class here.

    Example:

    ```python
    >>> family_of({"architectures": ["LLaDAMoEModelLM"], "model_type": "llada"})
    'llada_moe'
    ```
    """
    architectures = config_dict.get("architectures")
    for architecture in architectures if isinstance(architectures, list) else []:
        for beginning, family in NAMES_OF_CLASSES.items():
            if str(architecture).lower().startswith(beginning):
                return family
    model_type = config_dict.get("model_type")
    if model_type in LLADA2_MODEL_TYPES:
        return "llada2"
    return "llada_moe" if model_type == "llada" and config_dict.keys() >= set(MOE_FIELDS) else model_type


def config_class_of(config_dict: dict, default: type) -> type:
    """
    The config class that reads a config.json: that of its family, if `default` is the class of the dense models. Raises a
    `ValueError` if `default` is that of another family.
    """
    family = family_of(config_dict)
    if default.model_type == "llada" and family != "llada":
        return CONFIG_CLASSES.get(family, default)
    check_family(default, config_dict)
    return default


def check_family(config_class: type, config_dict: dict) -> None:
    """Raises a `ValueError` if a config.json, or what is known of one, is that of another family."""
    family = family_of({"model_type": config_class.model_type} | config_dict)
    if family == config_class.model_type or family not in TITLES:
        return
    name = "architectures" if config_dict.get("architectures") else "model_type"
    way_out = "This package has no such network: load it with its own code"
    if family in CONFIG_CLASSES:
        way_out = f"Load it with `AutoConfig` and `AutoModelForMaskedLM`, or use `{CONFIG_CLASSES[family].__name__}`"
    raise ValueError(
        f"`{name}={config_dict[name]!r}` is a checkpoint of {TITLES[family]}. `{config_class.__name__}` is for "
        f"{TITLES[config_class.model_type]}. {way_out}."
    )


def check_foreign(name: str, value: Any) -> None:
    """Refuses a field that another family has. To ignore it would make a network of the default size."""
    raise ValueError(
        f"`{name}` is a field of another family of LLaDA, but got {value!r}. Correct the `architectures` of config.json, or "
        "leave the field out."
    )


def check_network(model_class: type, config) -> None:
    """Raises a `ValueError` if the config of one family shall make the network of another one."""
    own, given = model_class.config_class.model_type, config.model_type
    if own != given:
        raise ValueError(
            f"`config` is a `{type(config).__name__}`, of {TITLES.get(given, given)}. `{model_class.__name__}` is for "
            f"{TITLES[own]}. Load the checkpoint with `AutoModelForMaskedLM`, which finds the class that it needs."
        )


__all__ = ["LLADA2_MODEL_TYPES", "config_class_of", "family_of"]
