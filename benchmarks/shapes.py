# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The timed models: random weights of a published shape, a checkpoint, or the code of another folder."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from modeling_llada import LLaDA2MoeForMaskedLM, LLaDAConfig, LLaDAForMaskedLM, LLaDAMoeForMaskedLM


ROOT = Path(__file__).parent.parent

ONE_BILLION = {
    "hidden_size": 2048,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 4096,
}
SHAPES = {
    "8b": {"max_position_embeddings": 4096, "intermediate_size": 12288},
    # The paper's 1B has 5,634 intermediate columns. This is no multiple of 8, which is slow on tensor cores, so 1b has two less.
    "1b": ONE_BILLION | {"intermediate_size": 5632},
    "1b-paper": ONE_BILLION | {"intermediate_size": 5634},
    "tiny": {
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
        "mask_token_id": 127,
        "eos_token_id": 0,
        "initializer_range": 0.3,
    },
}
# The defaults of their configs are the published shapes.
TINY_EXPERTS = SHAPES["tiny"] | {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
EXPERT_SHAPES = {
    "llada2-mini": (LLaDA2MoeForMaskedLM, {}),
    "llada-moe": (LLaDAMoeForMaskedLM, {}),
    "tiny-llada2": (
        LLaDA2MoeForMaskedLM,
        TINY_EXPERTS | {"head_dim": 16, "num_key_value_heads": 2, "n_group": 2, "topk_group": 2},
    ),
    "tiny-llada-moe": (LLaDAMoeForMaskedLM, TINY_EXPERTS),
}
# Configs of `torchao.quantization` for the GPU kernels of torchao (int8 runs anywhere).
QUANTIZATIONS = {
    "int8": lambda torchao: torchao.Int8WeightOnlyConfig(),
    # The packing of the kernel in torch; the default packing needs another library.
    "int4": lambda torchao: torchao.Int4WeightOnlyConfig(group_size=128, int4_packing_format="tile_packed_to_4d"),
    "fp8": lambda torchao: torchao.Float8DynamicActivationFloat8WeightConfig(),
}
# Weights rounded to the same numbers and multiplied as floats, which shows the loss of accuracy, but no speed, on any device.
# With fp8 the activations are not rounded.
ROUNDINGS = {
    "int4": lambda torchao: torchao.IntxWeightOnlyConfig(
        weight_dtype=torch.int4, granularity=torchao.PerGroup(128), mapping_type=torchao.MappingType.ASYMMETRIC
    ),
    "fp8": lambda torchao: torchao.Float8WeightOnlyConfig(),
}
NOT_INSTALLED = "torchao is not installed"
OWN_FP8 = "own-fp8"  # `quantize_for_decoding("fp8")`, which is not by torchao
WEIGHT_BYTES = {
    "int8": 1.0,
    "int4": 0.53,
    "fp8": 1.0,
    OWN_FP8: 1.0,
}  # int4: with a scale and a zero point for 128 weights


class Unavailable(Exception):
    """Raised if this machine or this version lacks something that a row needs."""


def config_of(shape: str, layers: int | None = None) -> LLaDAConfig:
    """The config of a shape with its first `layers` layers; `poet` is the shape of the shipped checkpoint."""
    if shape in EXPERT_SHAPES:
        model_class, fields = EXPERT_SHAPES[shape]
        return model_class.config_class(**fields | ({} if layers is None else {"num_hidden_layers": layers}))
    if shape == "poet":
        config = LLaDAConfig.from_pretrained(ROOT / "checkpoints" / "llada-poet")
    else:
        config = LLaDAConfig(**SHAPES[shape])
    config.num_hidden_layers = layers or config.num_hidden_layers
    return config


def model_class_of(config: LLaDAConfig) -> type[LLaDAForMaskedLM]:
    """The class of a config of a shape."""
    classes = [model_class for model_class, _ in EXPERT_SHAPES.values()]
    return next((one for one in classes if type(config) is one.config_class), LLaDAForMaskedLM)


def load_checkpoint(folder: str | Path, device: str, dtype: torch.dtype) -> LLaDAForMaskedLM:
    return LLaDAForMaskedLM.from_pretrained(folder, dtype=dtype).to(device).eval()


def random_model(
    config: LLaDAConfig,
    device: str | torch.device,
    dtype: torch.dtype,
    model_class: type[LLaDAForMaskedLM] = LLaDAForMaskedLM,
) -> LLaDAForMaskedLM:
    """A model with random weights, drawn on the device with a fixed seed."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return model_class(config).eval()
    finally:
        torch.set_default_dtype(before)


def load_second(folder: Path, device: str, dtype: torch.dtype) -> nn.Module:
    """
    Loads a checkpoint folder with the code in it.

    `AutoModel.from_pretrained(folder, trust_remote_code=True)` would take the classes of this package, because it is imported.
    """
    auto_map = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map", {})
    if "AutoModel" not in auto_map:
        raise SystemExit(
            f"`--against` must be a folder whose config.json has `AutoModel` in its `auto_map`, but got {folder}."
        )
    model_class = get_class_from_dynamic_module(auto_map["AutoModel"], str(folder))
    config_class = getattr(model_class, "config_class", None)
    config = (config_class or AutoConfig).from_pretrained(folder)
    return model_class.from_pretrained(folder, config=config, dtype=dtype).to(device).eval()


def quantize(model: nn.Module, kind: str, configs: dict[str, Callable] = QUANTIZATIONS) -> str:
    """
    Quantizes the projections in place; embedding and head stay as they are. Returns the name of the torchao config, which is in
    [`QUANTIZATIONS`] or [`ROUNDINGS`], or of the method for [`OWN_FP8`].
    """
    if kind == OWN_FP8:
        try:
            model.quantize_for_decoding("fp8")
        except ValueError as error:
            raise Unavailable(str(error)) from error
        return "quantize_for_decoding"
    try:
        from torchao import quantization
    except ImportError as error:
        raise Unavailable(NOT_INSTALLED) from error
    try:
        config = configs[kind](quantization)
        is_projection = lambda module, path: isinstance(module, nn.Linear) and path != "lm_head"  # noqa: E731
        quantization.quantize_(model, config, filter_fn=is_projection)
    except Exception as error:  # torchao raises various errors if it lacks a kernel
        raise Unavailable(f"torchao cannot quantize to {kind} here: {first_line(error)}") from error
    # torchao silently leaves weights that do not fit a group as they are.
    if type(model.model.layers[0].mlp.down_proj.weight.data) is torch.Tensor:
        raise Unavailable(f"torchao does not quantize weights of this shape to {kind}")
    return type(config).__name__


def first_line(error: Exception) -> str:
    """The type and the first line of a message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def num_bytes(model: nn.Module) -> int:
    """Bytes of the weights; tied weights count once."""
    return sum(parameter.nbytes for parameter in model.parameters())
