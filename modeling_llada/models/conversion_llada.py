# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Official names <-> Hugging Face names, for parameters and for config fields.

The official checkpoints (LLaDA-8B-Base, LLaDA-8B-Instruct, LLaDA-1.5) use the names of OLMo:
`model.transformer.blocks.0.ff_out.weight` is a down projection, `model.transformer.ff_out.weight` is the output head.
In this package every module and field has its canonical Hugging Face name, so that PEFT, `device_map`, tensor parallel
plans and quantizers work without settings. Files have the official names, so that converters and engines that were
written for the official checkpoints can read them.
"""

import re
from typing import Any

from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.core_model_loading import WeightRenaming


# The renamings are applied in this order when a checkpoint is loaded, and in reverse when it is saved. Each one leaves
# its own result alone, so a state dict that has the canonical names already passes through unchanged.
BACKBONE_RENAMINGS = [
    WeightRenaming(r"transformer\.wte\.", r"embed_tokens\."),
    # The look-behind keeps the reverse of this renaming from matching `attn_norm.` and `ff_norm.`.
    WeightRenaming(r"transformer\.ln_f\.", r"(?<!\w)norm\."),
    WeightRenaming(r"transformer\.blocks\.", r"layers\."),
    WeightRenaming(r"\.attn_norm\.", r"\.input_layernorm\."),
    WeightRenaming(r"\.ff_norm\.", r"\.post_attention_layernorm\."),
    WeightRenaming(r"(?<!self_attn)\.(q_proj|k_proj|v_proj|q_norm|k_norm)\.", r"\.self_attn\.\1\."),
    WeightRenaming(r"\.attn_out\.", r"\.self_attn\.o_proj\."),
    WeightRenaming(r"\.ff_proj\.", r"\.mlp\.gate_proj\."),
    WeightRenaming(r"(?<!mlp)\.up_proj\.", r"\.mlp\.up_proj\."),
    WeightRenaming(r"(?<!transformer)\.ff_out\.", r"\.mlp\.down_proj\."),
]
LLADA_WEIGHT_RENAMINGS = [WeightRenaming(r"^model\.transformer\.ff_out\.", r"^lm_head\."), *BACKBONE_RENAMINGS]

OFFICIAL_TO_CANONICAL_FIELD = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "mlp_hidden_size": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
    "activation_type": "hidden_act",
    "weight_tying": "tie_word_embeddings",
    "init_std": "initializer_range",
    "include_qkv_bias": "attention_bias",
}

# Special tokens of the official tokenizer: `<|mdm_mask|>`, `<|eot_id|>`, and `<|endoftext|>`, which ends and pads.
OFFICIAL_MASK_TOKEN_ID = 126336
OFFICIAL_EOT_TOKEN_ID = 126348
OFFICIAL_EOS_TOKEN_ID = OFFICIAL_PAD_TOKEN_ID = 126081

# Switches of the official config that change the computation, each with the only value that this package implements.
# They are written to every config.json, because the official code has other defaults for some of them. So is
# `include_qkv_bias`, the official name of a field.
SUPPORTED_SWITCHES = {
    "activation_type": "silu",
    "alibi": False,
    "attention_layer_norm": False,
    "bias_for_layer_norm": False,
    "block_group_size": 1,
    "block_type": "llama",
    "embedding_dropout": 0.0,
    "include_bias": False,
    "input_emb_norm": False,
    "layer_norm_type": "rms",
    "layer_norm_with_affine": True,
    "multi_query_attention": False,
    "residual_dropout": 0.0,
    "rope": True,
    "rope_full_precision": True,
    "scale_logits": False,
}
# Those with other names, of OLMo and Hugging Face, that are not written.
OTHER_SWITCHES = {
    "clip_qkv": None,
    "embedding_layer_norm": False,
    "hidden_act": "silu",
    "is_causal": False,
    "mlp_bias": False,
    "norm_after": False,
    "partial_rotary_factor": 1.0,
    "per_layer_config": None,
    "qk_layernorm": False,
    "sliding_window": None,
}


def check_no_conflict(config_dict: dict, official_names: dict[str, str]) -> None:
    """Raises a `ValueError` if a config gives one field different values under its official and its canonical name."""
    for official, canonical in official_names.items():
        first, second = config_dict.get(official), config_dict.get(canonical)
        if first is not None and second is not None and first != second:
            raise ValueError(
                f"`{official}` and `{canonical}` are the official and the canonical name of one field, but got different "
                f"values: {first!r} and {second!r}. Give only one of them."
            )
    first, second = config_dict.get("rope_theta"), (config_dict.get("rope_parameters") or {}).get("rope_theta")
    if first is not None and second is not None and first != second:
        raise ValueError(
            f"`rope_theta` and `rope_parameters['rope_theta']` are the same field, but got different values: {first!r} "
            f"and {second!r}. Give only one of them."
        )


def check_switch(name: str, value: Any, switches: dict[str, Any] | None = None, family: str = "LLaDA") -> None:
    """
    Refuses what this package does not implement. To ignore it would give wrong results. `switches` are those of another
    family, each with the only value that it can have.
    """
    supported = (SUPPORTED_SWITCHES | OTHER_SWITCHES if switches is None else switches)[name]
    if value != supported:
        raise ValueError(
            f"`{name}` must be {supported!r}, as in the {family} checkpoints, but got {value!r}, which is not implemented. "
            "Load this checkpoint with the code that it was trained with."
        )


def to_official_config(config_dict: dict) -> dict:
    """The content of config.json: the fields of [`LLaDAConfig`] under their official names, sorted as in the official files."""
    official = SUPPORTED_SWITCHES | {"include_qkv_bias": False}
    names = {canonical: name for name, canonical in OFFICIAL_TO_CANONICAL_FIELD.items()}
    official.update({names.get(field, field): value for field, value in config_dict.items()})

    # The official `vocab_size` counts the tokenizer's entries, `embedding_size` the rows of the embedding.
    official["embedding_size"] = official["vocab_size"]
    tokenizer_vocab_size = official.pop("tokenizer_vocab_size", None)
    if tokenizer_vocab_size is not None and tokenizer_vocab_size <= official["embedding_size"]:
        official["vocab_size"] = tokenizer_vocab_size

    return dict(sorted(with_official_rope(official).items()))


def with_official_rope(config_dict: dict) -> dict:
    """The fields of a config with a `rope_theta` alone. There is no official name for scaled RoPE, so it stays as it is."""
    rope_parameters = config_dict.get("rope_parameters") or {}
    if rope_parameters.get("rope_type", "default") != "default":
        return config_dict
    others = {name: value for name, value in config_dict.items() if name != "rope_parameters"}
    return others | {"rope_theta": rope_parameters["rope_theta"]}


def rename_official_keys(state_dict: dict, prefix: str, backbone: bool) -> list[str]:
    """
    Renames the official keys of a state dict below a prefix to the canonical ones, in place. Returns the new names.

    The official names count with and without the `model.` of the mask predictor, so that either class reads the files of
    both. Where a canonical key is there as well, the official one wins: `set_model_state_dict` of torch adds the tensors
    that the model has already.
    """
    names = []
    official = re.compile(re.escape(prefix) + r"(model\.)?transformer\.")
    for key in [key for key in state_dict if official.match(key)]:
        name = "model." + key.removeprefix(prefix).removeprefix("model.")
        for renaming in LLADA_WEIGHT_RENAMINGS:
            name, _ = renaming.rename_source_key(name)
        names.append(name.removeprefix("model.") if backbone else name)
        state_dict[prefix + names[-1]] = state_dict.pop(key)
    return names


def register_weight_renamings(class_name: str, renamings: list[WeightRenaming]) -> None:
    """
    Registers the renamings of a model class, which `from_pretrained` and `save_pretrained` then apply.

    They belong to the name of a class, because an entry for the model type `"llada"` would also rewrite the keys of the
    official remote class. A second registration replaces the first: remote code can run from several cache folders.
    """
    register_checkpoint_conversion_mapping(class_name, renamings, overwrite=True)


__all__ = ["LLADA_WEIGHT_RENAMINGS", "OFFICIAL_TO_CANONICAL_FIELD"]
