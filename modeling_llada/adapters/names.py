# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The module names of the source and of the destination."""

import re
from collections.abc import Iterable

import torch
from torch import nn

from ..models.configuration_llada import LLaDAConfig
from ..models.conversion_llada import LLADA_WEIGHT_RENAMINGS
from ..models.modeling_llada import LLaDAForMaskedLM


LAYER = re.compile(r"\.(0|[1-9]\d{0,3})(?=\.)")


class ModuleNames:
    """
    The modules with weights, under the names of the source and of the destination, which is `"canonical"` or
    `"official"`.
    """

    def __init__(self, to: str):
        with torch.device("meta"):
            model = LLaDAForMaskedLM(LLaDAConfig(num_hidden_layers=1))
        canonical = {name: module for name, module in model.named_modules() if list(module.parameters(recurse=False))}
        # `save_pretrained` applies the renamings in reverse order too.
        renamings = [renaming.reverse_transform() for renaming in reversed(LLADA_WEIGHT_RENAMINGS)]
        pairs = {name: (rename(name, renamings), name) for name in canonical}
        if to == "official":
            pairs = {name: (new, old) for name, (old, new) in pairs.items()}
        self.layers_pattern = {"canonical": "layers", "official": "blocks"}[to]
        self._new = dict(pairs.values())
        self._linear = {
            old for name, (old, _) in pairs.items() if isinstance(canonical[name], nn.Linear) and layer_of(old) == 0
        }
        self._vocabulary = {pairs["model.embed_tokens"][0], pairs["lm_head"][0]}

    def new(self, module: str) -> str | None:
        """The new name of a module, or `None` if the model has no such module."""
        new = self._new.get(at_layer(module, 0))
        return new if new is None or layer_of(module) is None else at_layer(new, layer_of(module))

    def is_new(self, module: str) -> bool:
        """Whether this is a name of the destination."""
        return at_layer(module, 0) in self._new.values()

    def is_vocabulary(self, module: str) -> bool:
        """Whether this is the embedding or the output head, which PEFT also saves when it was resized."""
        return module in self._vocabulary

    def linear(self, layers: Iterable[int]) -> list[str]:
        """The modules that `"all-linear"` means in these layers of the source: all but the output head."""
        return [at_layer(name, layer) for layer in layers for name in sorted(self._linear)]

    def all_new(self, layers: Iterable[int]) -> set[str]:
        """All modules of the destination with these layers."""
        return {at_layer(name, layer) for layer in layers for name in self._new.values()}


def rename(module: str, renamings: list) -> str:
    """Applies renamings of parameters to the name of a module."""
    name = f"{module}."
    for renaming in renamings:
        name, _ = renaming.rename_source_key(name)
    return name.removesuffix(".")


def layer_of(module: str) -> int | None:
    """The layer of a module, or `None` outside the layers."""
    match = LAYER.search(module)
    return int(match[1]) if match else None


def at_layer(module: str, layer: int | str) -> str:
    """The name of the same module in another layer. A module outside the layers keeps its name."""
    return LAYER.sub(f".{layer}", module, count=1)


def leaf(module: str) -> str:
    """The last part of the name of a module."""
    return module.rpartition(".")[2]
