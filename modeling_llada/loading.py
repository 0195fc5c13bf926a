# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Finds and loads a checkpoint with its tokenizer: a whole one, or an adapter with its base model."""

import contextlib
import json
import warnings
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.utils.peft_utils import find_adapter_config_file

from .models.configuration_llada import LLaDAConfig
from .models.generation_config_llada import LLaDAGenerationConfig
from .models.modeling_llada import LLaDAForMaskedLM


class CheckpointError(ValueError):
    """A checkpoint or a device that cannot be used, in one line."""


def load_checkpoint(name: str, device: str | None, dtype: str | None):
    """Loads a checkpoint and its tokenizer. An adapter is merged into the checkpoint that it was trained on.

    Args:
        name (`str`):
            A folder or a Hub id.
        device (`str`, *optional*):
            Where the model goes; by default to an accelerator if there is one.
        dtype (`str`, *optional*):
            Its dtype; by default float32 on the CPU and that of the checkpoint elsewhere.

    Returns:
        `tuple`: The [`LLaDAForMaskedLM`] and its tokenizer.

    Raises:
        `CheckpointError`: if the device is not there, the checkpoint cannot be read, or it is no LLaDA model.
    """
    device = find_device(device)
    dtype = dtype or ("float32" if device.type == "cpu" else "auto")
    folder = Path(name).expanduser()
    name = str(folder) if folder.is_dir() else name
    if not folder.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise CheckpointError(f"cannot load {name!r}: there is no such folder.")
    # Whatever a damaged file makes the libraries raise, the user can only give another one.
    try:
        adapter_config = find_adapter_config_file(name)
        base = name if adapter_config is None else base_of(name, adapter_config)
        config = AutoConfig.from_pretrained(base)
        if not isinstance(config, LLaDAConfig):
            raise CheckpointError(f"it is a model of the type {config.model_type!r}, not LLaDA")
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError):
            if base == name:
                raise
            tokenizer = AutoTokenizer.from_pretrained(base)  # not every adapter is saved with one
        model = LLaDAForMaskedLM.from_pretrained(base, config=config, dtype=dtype)
        if adapter_config is not None:
            model = merge_adapter(model, name)
    except Exception as error:
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise CheckpointError(
            f"cannot load {name!r}: {reason}. `--model` takes a Hub id, or a folder with config.json, the tokenizer "
            "and the weights, or with those of an adapter."
        ) from error
    return model.to(device).eval(), tokenizer


def base_of(adapter: str, adapter_config: str) -> str:
    """The checkpoint that an adapter was trained on: where its config says, or beside it under the same name."""
    base = json.loads(Path(adapter_config).read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise CheckpointError(
            "its adapter_config.json does not name the checkpoint below it (`base_model_name_or_path`)"
        )
    beside = Path(adapter).resolve().parent / Path(base).name
    return str(beside) if not Path(base).is_dir() and beside.is_dir() else base


def merge_adapter(model, adapter: str):
    """The model with the weights of the adapter, and its generation config where it has one."""
    from peft import PeftModel
    from peft.utils import get_peft_model_state_dict, load_peft_weights

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of missing weights, which are an error here
        model = PeftModel.from_pretrained(model, adapter)
        if get_peft_model_state_dict(model).keys() != load_peft_weights(adapter, device="cpu").keys():
            raise CheckpointError(
                "its weights are not those of the modules of this model (an adapter of the official code is renamed by "
                "`llada convert-adapter`)"
            )
        model = model.merge_and_unload()
    with contextlib.suppress(OSError):  # there is none
        model.generation_config = LLaDAGenerationConfig.from_pretrained(adapter)
    return model


def find_device(name: str | None):
    """The device of that name, or else the accelerator, or else the CPU.

    Args:
        name (`str`, *optional*):
            The value of `--device`.

    Returns:
        `torch.device`: A device that is there.

    Raises:
        `CheckpointError`: if there is none of that name.
    """
    if name is None:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CheckpointError(f"`--device` {name!r} is not available here: leave it out, or use cpu.") from error
    return device
