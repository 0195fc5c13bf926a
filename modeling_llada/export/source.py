# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reading the checkpoint to export. Whatever is missing, damaged or unexpected in it is an error."""

from pathlib import Path
from types import SimpleNamespace

from transformers import AutoConfig
from transformers.utils import cached_file

from ..models.configuration_llada import LLaDAConfig
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.modeling_illada import ILLaDAForMaskedLM
from ..models.modeling_llada import LLaDAForMaskedLM
from ..models.modeling_llada2_moe import LLaDA2MoeForMaskedLM
from ..models.modeling_llada_moe import LLaDAMoeForMaskedLM
from ..models.modeling_llada_v import LLaDAVForConditionalGeneration
from ..prompt_fields import read_json


NUM_NAMES = 10  # in an error
MODEL_CLASSES = {
    model_class.config_class.model_type: model_class
    for model_class in (
        LLaDAForMaskedLM,
        ILLaDAForMaskedLM,
        LLaDAMoeForMaskedLM,
        LLaDA2MoeForMaskedLM,
        LLaDAVForConditionalGeneration,
    )
}


def load_config(source: str, layout: str) -> LLaDAConfig:
    """The config of the checkpoint. It is an error if the checkpoint cannot be exported in this layout."""
    # Only our classes can be exported, so code of the checkpoint never runs and the user is not asked about it.
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"`source={source!r}` has no config.json that this package can read: {reason}") from error
    if config.model_type not in MODEL_CLASSES:
        raise ValueError(f"`source={source!r}` is a model of the type {config.model_type!r}, not LLaDA.")
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(f"`source={source!r}` is quantized. Export the checkpoint that it was made from.")
    if config.mask_token_id is None:
        raise ValueError(f"`source={source!r}` has no `mask_token_id` in its config.json. Add it there.")
    if layout == "official":
        check_official_layout(config)
    return config


def check_official_layout(config: LLaDAConfig) -> None:
    """Raises a `ValueError` for a network that the official code, and what was written for it, would not compute."""
    others = {
        "rope_parameters": ("scaled RoPE", config.rope_parameters["rope_type"] != "default"),
        "attention_bias": ("biases of queries, keys and values", config.attention_bias),
        "use_qk_norm": ("norms of queries and keys", config.use_qk_norm),
        "head_dim": ("a width of heads of its own", config.has_own_head_dim),
    }
    for field, (name, is_there) in others.items():
        if is_there and field not in config.official_options:
            raise ValueError(
                f"`layout='official'` is for the network of the official checkpoints, without {name}, but the config has "
                f"`{field}={getattr(config, field)}`. Use the layout 'transformers'."
            )


def load_weights(source: str, config: LLaDAConfig, dtype: str) -> LLaDAForMaskedLM:
    """
    The model with all of its weights. Missing and unexpected weights are an error, and so are weights of another shape.
    `config` gets the dtype of the weights.
    """
    # With a dtype in the config, `"auto"` would use it instead of the dtype of the weights.
    config.dtype = None
    model, info = MODEL_CLASSES[config.model_type].from_pretrained(
        source, config=config, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
    )
    mismatched = [f"{name} {tuple(stored)} instead of {tuple(ours)}" for name, stored, ours in info["mismatched_keys"]]
    problems = {"missing": info["missing_keys"], "unexpected": info["unexpected_keys"], "of another shape": mismatched}
    found = [f"{len(names)} {problem} ({shorten(names)})" for problem, names in problems.items() if names]
    if found:
        raise ValueError(
            f"the weights of `source={source!r}` do not match its config.json: {'; '.join(found)}. Nothing was written."
        )
    if config.tie_word_embeddings and model.lm_head.weight is not model.model.embed_tokens.weight:
        raise ValueError(
            f"the config.json of `source={source!r}` ties the output head to the embedding, but the weights have a "
            "separate head. Set `weight_tying` to false there. Nothing was written."
        )
    return model


def shorten(names) -> str:
    """The first names of a list."""
    names = sorted(names)
    return ", ".join(names[:NUM_NAMES]) + (", ..." if len(names) > NUM_NAMES else "")


def check_generation_config(source: str) -> list[str]:
    """
    Notes for the user about options in generation_config.json that will be left out. A damaged file is an error; the
    library would replace it by the default options.
    """
    try:
        options = read_json(source, "generation_config.json", download=True)
    except ValueError as error:
        raise ValueError(f"{error} Repair it, or remove it to export the default options.") from error
    try:
        LLaDAGenerationConfig.from_generation_config(SimpleNamespace(**options))
    except ValueError as error:
        return [f"generation config: options were left out: {error}"]
    return []


def read_file(source: str, name: str) -> str | None:
    """The text of a file of the checkpoint, or `None` if there is no such file."""
    path = cached_file(
        source, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    try:
        return None if path is None else Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"`source={source!r}` has a {name} that is not UTF-8 text. Repair it.") from error
