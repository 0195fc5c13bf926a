# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reads an adapter, checks it, renames its modules, and writes all of it or nothing."""

import json
import pickle
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import torch
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..reading import read_json
from ..writing import check_destination, complete_or_absent
from .checks import check_config, check_weights
from .config import Adapter, convert_config
from .experts import convert_experts, has_experts
from .fused import has_official_attention, rename_attention
from .names import ModuleNames, at_layer, layer_of
from .report import AdapterReport, listed


PREFIX = "base_model.model."
CONFIG_FILE = "adapter_config.json"
WEIGHT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
# The tensors that PEFT stores for a module: LoRA matrices, the extras of LoRA variants, and whole weights.
KEY = re.compile(
    r"(?P<module>(?:(?!lora_).)+?)\.(?P<part>lora_[AB]\.weight|lora_B\.bias|lora_embedding_[AB]|lora_magnitude_vector(\.weight)?"
    r"|token_adapter\.trainable_tokens_delta|base_layer\.weight|weight)"
)
PAIRS = (("lora_A.weight", "lora_B.weight"), ("lora_embedding_A", "lora_embedding_B"))
# Fields that name modules or layers in other ways. No known adapter of the official model uses them.
UNSUPPORTED_FIELDS = ("target_parameters", "layer_replication", "use_bdlora", "megatron_config")
# The tokenizer and the model card are copied. The state of an optimizer is not, since it follows the order of the old modules.
COPIED_SUFFIXES = (".jinja", ".json", ".md", ".model", ".txt")
NOT_COPIED = ("trainer_state.json",)


def convert_adapter(
    source: str | Path, destination: str | Path, to: str = "canonical", overwrite: bool = False
) -> AdapterReport:
    """
    Converts a LoRA adapter that was trained on the official modules (`model.transformer.blocks.0.attn_out`...), so that
    PEFT loads it into a [`LLaDAForMaskedLM`] (`model.layers.0.self_attn.o_proj`...).

    The conversion supports LoRA with DoRA, biases, adapted embeddings and heads, trained tokens and `modules_to_save`. It
    writes either all tensors or nothing. Those of single experts of LLaDA-MoE and LLaDA2 become adapters of the merged
    experts, and those of LLaDA2's fused queries, keys and values one for each of the three.

    Args:
        source (`str` or `Path`):
            The folder with adapter_config.json, and adapter_model.safetensors or adapter_model.bin.
        destination (`str` or `Path`):
            The folder to write. It also gets the tokenizer and the model card.
        to (`str`, *optional*, defaults to `"canonical"`):
            The names to write: `"canonical"` for this package, or `"official"` for the official modules.
        overwrite (`bool`, *optional*, defaults to `False`):
            Whether to replace a destination that has an adapter and no subfolders.

    Returns:
        [`AdapterReport`]: What was renamed, and warnings.

    Raises:
        `ValueError`: if the adapter already has these names, is not LoRA, or is inconsistent: a tensor is unknown, lacks
            its partner, has another rank than in the config, or is not named in the config. Also if the destination has
            files.
        `OSError`: if there is no adapter at `source`, or its file is damaged.

    Example:

    ```python
    >>> from modeling_llada.adapters import convert_adapter

    >>> print(convert_adapter("official-adapter", "adapter"))  # doctest: +SKIP
    ```
    """
    source, destination = Path(source).expanduser(), Path(destination).expanduser().resolve()
    if to not in ("canonical", "official"):
        raise ValueError(f"`to` must be 'canonical' or 'official', but got {to!r}.")
    check_destination(destination, source.resolve(), overwrite, CONFIG_FILE)
    config, tensors = read_config(source), read_tensors(source)

    adapter = Adapter(config, group_by_module(tensors))
    check_weights(tensors)
    if has_official_attention(adapter) and to == "canonical":
        check_tensors(adapter)
        adapter, report = rename_attention(adapter)
        converted, renamed = adapter.config, keys_of(adapter)
        if has_experts(adapter):
            converted, renamed, more = convert_experts(adapter, renamed)
            report.num_tensors, report.changes = more.num_tensors, more.changes
            report.modules = [row for row in report.modules + more.modules if row[0] != row[1]]
    elif has_experts(adapter) and to == "canonical":
        check_tensors(adapter)
        converted, renamed, report = convert_experts(adapter, tensors)
    else:
        converted, renamed, report = convert_names(adapter, ModuleNames(to))
    with complete_or_absent(destination) as folder:
        save_file(renamed, folder / WEIGHT_FILES[0], metadata={"format": "pt"})
        (folder / CONFIG_FILE).write_text(json.dumps(converted, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        report.not_copied = copy_other_files(source, folder)
    return report


def keys_of(adapter: Adapter) -> dict[str, torch.Tensor]:
    """The tensors of an adapter by their keys in a file, each with memory of its own."""
    return {
        f"{PREFIX}{module}.{part}": tensor.detach().clone().contiguous()
        for module, parts in adapter.modules.items()
        for part, tensor in parts.items()
    }


def convert_names(adapter: Adapter, names: ModuleNames) -> tuple[dict, dict[str, torch.Tensor], AdapterReport]:
    """The config and the tensors with the names of the destination, and a report."""
    check_names(adapter, names)
    check_tensors(adapter)
    num_tensors = sum(map(len, adapter.modules.values()))
    report = AdapterReport(num_tensors=num_tensors, modules=count_modules(adapter, names))
    converted = convert_config(adapter, names, report)
    # Tensors from `torch.save` may be views of one storage, which safetensors does not write.
    renamed = {
        f"{PREFIX}{names.new(module)}.{part}": tensor.detach().clone().contiguous()
        for module, parts in adapter.modules.items()
        for part, tensor in parts.items()
    }
    return converted, renamed, report


def read_config(folder: Path) -> dict:
    """Reads adapter_config.json. It is an error if the adapter is not LoRA."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"`source` must be the folder of an adapter, but there is no {CONFIG_FILE} in '{folder}'. Fetch an adapter "
            "from the Hub with `hf download REPOSITORY --local-dir FOLDER`."
        )
    config = read_json(path, dict)
    check_config(config)
    if config["peft_type"] != "LORA":
        raise ValueError(
            f"`source` has the `peft_type` {config['peft_type']!r}. Only LORA (with DoRA) can be converted."
        )
    unsupported = [name for name in UNSUPPORTED_FIELDS if config.get(name)]
    if unsupported:
        raise ValueError(f"`source` uses {listed(unsupported)} in {CONFIG_FILE}, which cannot be converted.")
    return config


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Reads the tensors from the file that PEFT reads."""
    path = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"`source` '{folder}' has none of the files {' and '.join(WEIGHT_FILES)}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise OSError(f"`source` has a damaged or unsafe file {path.name}: {reason}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ValueError(f"`source` has a {path.name} that is not a dictionary of tensors.")
    return tensors


def group_by_module(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Groups the tensors by module, and names their roles."""
    modules = defaultdict(dict)
    unknown = []
    for key, tensor in tensors.items():
        match = KEY.fullmatch(key.removeprefix(PREFIX)) if key.startswith(PREFIX) else None
        if match is None:
            unknown.append(key)
        else:
            modules[match["module"]][match["part"]] = tensor
    if unknown:
        raise ValueError(
            f"`source` has {len(unknown)} tensors that do not belong to a LoRA adapter: {listed(unknown)}."
        )
    if not modules:
        raise ValueError("`source` has no tensors.")
    return dict(sorted(modules.items(), key=lambda item: (layer_of(item[0]) or 0, item[0])))


def check_names(adapter: Adapter, names: ModuleNames) -> None:
    """Raises a `ValueError` for modules that the model does not have, and for an adapter that is already converted."""
    unknown = [module for module in adapter.modules if names.new(module) is None]
    if not unknown:
        return
    if all(names.is_new(module) for module in adapter.modules):
        raise ValueError(
            f"`source` already has the names to convert to (such as {unknown[0]}), so there is nothing to convert. Load it "
            "as it is, or pass the other direction as `to`."
        )
    raise ValueError(f"`source` adapts {len(unknown)} modules that the model does not have: {listed(unknown)}.")


def check_tensors(adapter: Adapter) -> None:
    """Raises a `ValueError` for tensors that do not fit each other or the config."""
    problems = [problem for module in adapter.modules for problem in find_problems(module, adapter)]
    widths = defaultdict(set)
    for module, parts in adapter.modules.items():
        if all(part in parts for part in PAIRS[0]):
            widths[at_layer(module, "*")].add((parts[PAIRS[0][0]].shape[-1], parts[PAIRS[0][1]].shape[0]))
    problems += [f"{name} has other shapes in other layers" for name, shapes in widths.items() if len(shapes) > 1]
    if problems:
        raise ValueError(f"`source` is inconsistent: {listed(problems, separator='; ')}.")


def find_problems(module: str, adapter: Adapter) -> Iterator[str]:
    """The problems of the tensors of one module."""
    parts, config = adapter.modules[module], adapter.config
    pattern = config.get("rank_pattern") or {}
    rank = pattern.get(get_pattern_key(list(pattern), module), config.get("r"))
    for first, second in PAIRS:
        if (first in parts) != (second in parts):
            there, missing = (first, second) if first in parts else (second, first)
            yield f"{module} has {there}, but no {missing}"
        elif first in parts:
            shapes = [tuple(parts[part].shape) for part in (first, second)]
            if [len(shape) for shape in shapes] != [2, 2] or (shapes[0][0], shapes[1][1]) != (rank, rank):
                yield f"{module} has matrices of the shapes {shapes[0]} and {shapes[1]}, but the rank {rank}"

    is_adapted = any(part.startswith(("lora_A", "lora_embedding_A")) for part in parts)
    for switch, prefix in (("use_dora", "lora_magnitude_vector"), ("lora_bias", "lora_B.bias")):
        extra = next((tensor for part, tensor in parts.items() if part.startswith(prefix)), None)
        if (extra is not None) != (is_adapted and bool(config.get(switch))):
            yield f"{module} has {'no' if extra is None else 'a'} {prefix}, but `{switch}={config.get(switch)}`"
        elif extra is not None and "lora_B.weight" in parts and extra.numel() != parts["lora_B.weight"].shape[0]:
            yield f"{module} has a {prefix} of the length {extra.numel()}, but {parts['lora_B.weight'].shape[0]} outputs"
    if "base_layer.weight" in parts and not is_adapted:
        yield f"{module} has base_layer.weight, but no LoRA matrices"


def count_modules(adapter: Adapter, names: ModuleNames) -> list[tuple[str, str, list[int], int]]:
    """For each type of module its old and new name, its layers, and its number of tensors."""
    groups = defaultdict(list)
    for module in adapter.modules:
        groups[at_layer(module, "*"), at_layer(names.new(module), "*")].append(module)
    return [
        (old, new, sorted({layer_of(m) for m in modules} - {None}), sum(len(adapter.modules[m]) for m in modules))
        for (old, new), modules in groups.items()
    ]


def copy_other_files(source: Path, destination: Path) -> list[str]:
    """Copies the tokenizer and the model card, and returns the names of the other files."""
    not_copied = []
    for path in sorted(source.iterdir()):
        if path.name in (CONFIG_FILE, *WEIGHT_FILES) or path.resolve() == destination:
            continue
        if path.is_file() and path.suffix in COPIED_SUFFIXES and path.name not in NOT_COPIED:
            shutil.copyfile(path, destination / path.name)
        else:
            not_copied.append(path.name)
    return not_copied
