# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Which autoregressive models LLaDA can be made of: those whose network differs by nothing but the causal mask."""

from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CLASSES

from ..models.configuration_llada import LLaDAConfig


# The families, by `model_type`, with what the network of LLaDA has to switch on for them.
FAMILIES = {
    "llama": {},
    "mistral": {},
    "qwen2": {"attention_bias": True},
    "qwen3": {"use_qk_norm": True},
}
COPIED_FIELDS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "max_position_embeddings", "initializer_range", "rms_norm_eps"),
    *("rope_parameters", "attention_dropout", "tie_word_embeddings"),
)


def check_convertible(config: PreTrainedConfig, source: str) -> None:
    """Raises a `ValueError` for a model whose computation LLaDA does not have."""
    reason = why_not(config)
    if reason is not None:
        raise ValueError(
            f"`{source}` cannot be converted: {reason}. Llama, Mistral without sliding window, Qwen2 and Qwen3 can be."
        )


def why_not(config: PreTrainedConfig) -> str | None:
    """Why a model cannot be converted, `None` if it can."""
    family, architectures = config.model_type, config.architectures or []
    if isinstance(config, LLaDAConfig):
        return "it is a LLaDA already"
    if family not in FAMILIES:
        if any("num_experts" in name or "num_local_experts" in name for name in config.to_dict()):
            return f"it is a mixture of experts ({family}), and LLaDA has one feed-forward network in each layer"
        if architectures and not set(architectures) & set(CLASSES.values()):
            return f"it is no autoregressive language model ({', '.join(architectures)})"
        return f"the network of {family} is another one"
    if architectures not in ([], [CLASSES[family]]):
        return f"it is no {CLASSES[family]}, but a {', '.join(architectures)}"
    turned = config.rope_parameters.get("partial_rotary_factor", 1.0)
    variants = {
        "it attends within a sliding window": getattr(config, "sliding_window", None),
        "its projections have biases (`attention_bias`)": getattr(config, "attention_bias", False),
        "its feed-forward network has biases (`mlp_bias`)": getattr(config, "mlp_bias", False),
        f"its activation is {config.hidden_act}, and that of LLaDA silu": config.hidden_act != "silu",
        "it turns only a part of each head (`partial_rotary_factor`)": turned != 1.0,
    }
    return next((reason for reason, is_so in variants.items() if is_so), None)


def to_llada_config(config: PreTrainedConfig) -> LLaDAConfig:
    """The sizes of an autoregressive model, still without special tokens."""
    fields = {name: getattr(config, name) for name in COPIED_FIELDS}
    head_dim = getattr(config, "head_dim", None)
    no_tokens = dict.fromkeys(("mask_token_id", "eos_token_id"))
    return LLaDAConfig(**fields, head_dim=head_dim, **FAMILIES[config.model_type], **no_tokens)
