# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Adapters of PEFT in a call: mixed batches, in which each row has an adapter of its own, and what cannot work.

PEFT gives its layers one name for each row of the call (`adapter_names`). But a forward pass leaves out the rows that are
complete, and holds a row several times for guidance, drafts and samples. So each pass chooses the names anew.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn


NO_ADAPTER = "__base__"  # PEFT's name for it


@dataclass(frozen=True)
class AdapterRows:
    """
    The row of the call that each sequence of a forward pass belongs to, `(num_sequences,)`, and the number of all rows.
    `names` are the adapters of the rows where PEFT has not given them to its layers.
    """

    index: torch.LongTensor
    num_rows: int
    names: list[str] | None = None

    def doubled(self) -> "AdapterRows":
        """The rows of a batch that holds all sequences twice."""
        return replace(self, index=torch.cat([self.index, self.index]))


@contextmanager
def adapters_of(model: nn.Module, rows: AdapterRows | None, mask: torch.BoolTensor | None) -> Iterator[None]:
    """
    Gives each sequence of a forward pass the adapter of its row, if the batch is mixed. An adapted head gets one name for
    each position of `mask`, `(num_sequences, length)`, since it sees only these.
    """
    is_adapted = rows is not None and hasattr(model, "peft_config")
    hooked = [module for module in model.modules() if has_names(module, rows)] if is_adapted else []
    if not hooked:
        yield
        return
    of_sequences = rows.index.tolist()
    of_positions = [] if mask is None else rows.index.repeat_interleave(mask.sum(-1)).tolist()
    num_seen = Counter()

    def choose(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        names = kwargs.get("adapter_names") if rows.names is None else rows.names
        if kwargs.get("alora_offsets") is not None:
            raise ValueError(
                "Activated LoRA counts tokens from the end of the prompt, but masks follow the prompt here. Use an adapter "
                "without `alora_invocation_tokens`."
            )
        if names is None:  # the hooks of this module do something else
            return args, kwargs
        check_names(names, rows.num_rows)
        index = of_sequences
        if (
            args[0].ndim == 2 and args[0].is_floating_point()
        ):  # the head, to which a loss gives one chunk after the other
            start = num_seen[module]
            num_seen[module] += len(args[0])
            index = of_positions[start : num_seen[module]]
        return args, kwargs | {"adapter_names": [names[row] for row in index]}

    # Hooks run in the order of their registration, so these run after those of PEFT.
    handles = [module.register_forward_pre_hook(choose, with_kwargs=True) for module in hooked]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def has_names(module: nn.Module, rows: AdapterRows) -> bool:
    """Whether PEFT may have given names to a module by a hook; or, where the names are known, whether it is adapted."""
    if rows.names is None:
        return bool(module._forward_pre_hooks)
    return any(hasattr(module, name) for name in ("lora_A", "token_adapter", "modules_to_save"))


def check_names(names: list[str], num_rows: int) -> None:
    """Each row needs the name of an adapter."""
    if len(names) != num_rows:
        raise ValueError(
            f"`adapter_names` must have one name for each of the {num_rows} rows, but got {len(names)}: {list(names)}. "
            f"{NO_ADAPTER!r} stands for no adapter."
        )


def check_adapters(model: nn.Module, names: list[str] | None, num_rows: int) -> None:
    """Each row needs the name of an adapter that the model has."""
    if names is None:
        return
    check_names(names, num_rows)
    adapters = getattr(model, "peft_config", {})
    known = [NO_ADAPTER, *(name for name, config in adapters.items() if config.peft_type == "LORA")]
    unknown = sorted(set(names).difference(known))
    if unknown:
        raise ValueError(f"`adapter_names` must be LoRA adapters of the model, out of {known}, but got {unknown}.")


def check_embedders(model: nn.Module, names: list[str] | None) -> None:
    """A vision tower sees the images of all rows at once, so it cannot have an adapter for each row."""
    modules = [module for name in model.embedders for module in model.get_submodule(name).modules()]
    if names is not None and any(hasattr(module, "lora_A") for module in modules):
        raise ValueError(
            "`adapter_names` choose an adapter for each row, but the vision tower or the projector has some too, and sees the "
            "images of all rows at once. Score the rows of one adapter in a call of their own, after `set_adapter`."
        )


def check_no_virtual_tokens(model: nn.Module) -> None:
    """PEFT adds the tokens of prompt learning in a method that a bidirectional decoder has no use for."""
    owner = getattr(model.prepare_inputs_for_generation, "__self__", model)
    if owner is not model:
        raise ValueError(
            f"`generate` cannot use an adapter of prompt learning, but got {owner.active_peft_config.peft_type.value}: its "
            "virtual tokens would be left out. Train a LoRA."
        )


__all__ = ["AdapterRows"]
