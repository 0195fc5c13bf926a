# Copyright 2026 The modeling_llada authors. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""LLaDA-MoE model configuration."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers.models.qwen3_moe.configuration_qwen3_moe import Qwen3MoeConfig

from .configuration_llada import LLaDAConfig, check_rope, check_size
from .conversion_llada import with_official_rope
from .families_llada import DENSE_FIELDS, check_foreign, family_of
from .options_llada import check_bool, check_number


# Official names of fields that have others here. config.json has the official ones.
OFFICIAL_TO_CANONICAL_FIELD = {
    "dense_intermediate_size": "intermediate_size",
    "expert_intermediate_size": "moe_intermediate_size",
    "qk_layernorm": "use_qk_norm",
}
OFFICIAL_MASK_TOKEN_ID = 156895
OFFICIAL_EOS_TOKEN_ID = OFFICIAL_PAD_TOKEN_ID = 156892
UNKNOWN = ("bos_token_id", "eot_token_id", "tokenizer_vocab_size")  # not in official files
EXPERTS_PLAN = {name: how for name, how in Qwen3MoeConfig.base_model_tp_plan.items() if "experts" in name}
DENSE_PLAN = {name: how for name, how in LLaDAConfig.base_model_tp_plan.items() if ".mlp." in name}


def check_layer_freq(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(type(one) is int and one in (0, 1) for one in value):
        raise ValueError(
            f"`{name}` must be a list with 1 for a layer of experts and 0 for a dense one, but got {value!r}."
        )


def check_no_bias(name: str, value: Any) -> None:
    if value:
        raise ValueError(f"`{name}` must be False, as in the LLaDA-MoE checkpoints: biases are not implemented.")


def rotary_dim_of(config: LLaDAConfig) -> int:
    """The size of the part of each head that is rotated. Raises a `ValueError` if it cannot be."""
    rotary_dim = int(config.head_dim * config.rope_parameters.get("partial_rotary_factor", 1.0))
    if rotary_dim == 0 or rotary_dim % 2:
        raise ValueError(
            f"`partial_rotary_factor` must turn an even number of the `head_dim={config.head_dim}`, because the rotary "
            f"embedding turns pairs, but got {rotary_dim}."
        )
    return rotary_dim


check_rotary_factor = partial(check_number, minimum=0.0, maximum=1.0)
FIELD_CHECKS: dict[str, Callable[[str, Any], None]] = {
    **dict.fromkeys(DENSE_FIELDS, check_foreign),
    "attention_bias": check_no_bias,
    "clip_qkv": partial(check_number, minimum=0.0),
    "moe_layer_freq": check_layer_freq,
    "moe_router_enable_expert_bias": check_bool,
    "num_experts": check_size,
    "num_experts_per_tok": check_size,
    "output_router_logits": check_bool,
    "partial_rotary_factor": check_rotary_factor,
    "rope_parameters": partial(check_rope, more_checks={"partial_rotary_factor": check_rotary_factor}),
    "rope_scaling": partial(check_rope, more_checks={"partial_rotary_factor": check_rotary_factor}),
    "router_aux_loss_coef": partial(check_number, minimum=0.0),
    "shared_expert_intermediate_size": check_size,
    "moe_intermediate_size": check_size,
    "expert_intermediate_size": check_size,
    "dense_intermediate_size": check_size,
    "qk_layernorm": check_bool,
}


@strict
class LLaDAMoeConfig(LLaDAConfig):
    r"""
    The configuration of a [`LLaDAMoeModel`] or a [`LLaDAMoeForMaskedLM`]. The defaults are those of LLaDA-MoE-7B-A1B.

    It has the fields of a [`LLaDAConfig`], and these. `dense_intermediate_size`, `expert_intermediate_size` and `qk_layernorm`
    are the official names of `intermediate_size`, `moe_intermediate_size` and `use_qk_norm`. `norm_topk_prob`,
    `moe_router_score_function`, `routed_scaling_factor`, `router_num_group` and `router_topk_group` of the official files are
    kept, and have no effect, as in the official code.

    Args:
        num_experts (`int`, *optional*, defaults to 64):
            The number of experts in a layer.
        num_experts_per_tok (`int`, *optional*, defaults to 8):
            The number of experts that a token is sent to.
        moe_intermediate_size (`int`, *optional*, defaults to 1024):
            Width of the SwiGLU feed-forward network of an expert.
        intermediate_size (`int`, *optional*, defaults to 8192):
            Width of that of a layer without experts. The published checkpoints have no such layer.
        moe_layer_freq (`list[int]`, *optional*):
            1 for each layer with experts, 0 for each one without. By default all layers have experts.
        shared_expert_intermediate_size (`int`, *optional*):
            Width of the expert beside the others, which sees every token. By default there is none.
        moe_router_enable_expert_bias (`bool`, *optional*, defaults to `False`):
            Whether the router adds a bias of each expert to its probabilities, also where they weight the experts.
        clip_qkv (`float`, *optional*):
            The limit of queries, keys and values. By default there is none.
        partial_rotary_factor (`float`, *optional*, defaults to 1.0):
            The share of each head that is rotated. It is kept in `rope_parameters`.
        output_router_logits (`bool`, *optional*, defaults to `False`):
            Whether forward passes return the logits of the routers, and add the load-balancing loss to the loss.
        router_aux_loss_coef (`float`, *optional*, defaults to 0.01):
            The weight of that loss.

    Raises:
        `ValueError`: if a field has a value that it cannot have, or the config is of another family.

    Example:

    ```python
    >>> from modeling_llada import LLaDAMoeConfig, LLaDAMoeForMaskedLM

    >>> config = LLaDAMoeConfig(vocab_size=128, hidden_size=64, moe_intermediate_size=32, num_hidden_layers=2,
    ...                         num_attention_heads=4, num_experts=8, num_experts_per_tok=2, mask_token_id=127)
    >>> model = LLaDAMoeForMaskedLM(config)
    >>> config.expert_intermediate_size
    32
    ```
    """

    model_type = "llada_moe"
    official_names: ClassVar[dict[str, str]] = OFFICIAL_TO_CANONICAL_FIELD
    attribute_map = OFFICIAL_TO_CANONICAL_FIELD
    official_architecture: ClassVar[str] = "LLaDAMoEModelLM"
    official_model_type: ClassVar[str] = "llada"
    official_options: ClassVar[tuple[str, ...]] = ("use_qk_norm",)
    own_architecture: ClassVar[str] = "LLaDAMoeForMaskedLM"
    official_tokens: ClassVar[dict[str, int]] = {
        "eos_token_id": OFFICIAL_EOS_TOKEN_ID,
        "mask_token_id": OFFICIAL_MASK_TOKEN_ID,
        "pad_token_id": OFFICIAL_PAD_TOKEN_ID,
    }
    field_checks: ClassVar[dict[str, Callable[[str, Any], None]]] = LLaDAConfig.field_checks | FIELD_CHECKS
    rope_full_precision: ClassVar[bool] = False
    default_theta = 50000.0
    base_model_tp_plan = {name: how for name, how in LLaDAConfig.base_model_tp_plan.items() if ".mlp." not in name}
    base_model_ep_plan = Qwen3MoeConfig.base_model_ep_plan

    vocab_size: int = 157184
    hidden_size: int = 2048
    intermediate_size: int | None = 8192
    num_hidden_layers: int = 16
    num_attention_heads: int = 16
    max_position_embeddings: int = 8192
    use_qk_norm: bool = True
    mask_token_id: int | None = OFFICIAL_MASK_TOKEN_ID
    eos_token_id: int | list[int] | None = OFFICIAL_EOS_TOKEN_ID
    num_experts: int = 64
    num_experts_per_tok: int = 8
    moe_intermediate_size: int = 1024
    moe_layer_freq: list[int] | None = None
    shared_expert_intermediate_size: int | None = None
    moe_router_enable_expert_bias: bool = False
    moe_router_score_function: str | None = "softmax"
    clip_qkv: float | int | None = None
    output_router_logits: bool = False
    router_aux_loss_coef: float | int = 0.01
    norm_topk_prob: bool | None = None
    routed_scaling_factor: float | int | None = 1.0
    router_num_group: int | None = None
    router_topk_group: int | None = None

    def __post_init__(self, **kwargs):
        kwargs.pop("model_type", None)  # official files have that of the dense models
        kwargs.setdefault("partial_rotary_factor", 1.0)
        super().__post_init__(**kwargs)
        if self.moe_layer_freq is None:
            self.moe_layer_freq = [1] * self.num_hidden_layers
        self.validate_experts()
        self.base_model_tp_plan = self.base_model_tp_plan | self.plan_of_layers()

    def plan_of_layers(self) -> dict[str, str]:
        """How tensor parallelism splits the feed-forward networks that there are: a rule without modules is a warning."""
        plan = {} if all(self.moe_layer_freq) else dict(DENSE_PLAN)
        if any(self.moe_layer_freq):
            plan |= EXPERTS_PLAN
            if self.shared_expert_intermediate_size is not None:
                plan |= {name.replace(".mlp.", ".shared_expert."): how for name, how in DENSE_PLAN.items()}
        return plan

    def validate_experts(self):
        """Part of `@strict`-powered validation. Validates the sizes that have to fit each other."""
        if len(self.moe_layer_freq) != self.num_hidden_layers:
            raise ValueError(
                f"`moe_layer_freq` must have one number for each of the {self.num_hidden_layers} layers, but got "
                f"{len(self.moe_layer_freq)}."
            )
        if self.num_experts_per_tok > self.num_experts:
            raise ValueError(
                f"`num_experts_per_tok` must be at most `num_experts={self.num_experts}`, but got {self.num_experts_per_tok}."
            )
        rotary_dim_of(self)

    @classmethod
    def get_config_dict(cls, *args, **kwargs):
        """Reads a config.json without a warning that official files have the `model_type` of the dense models."""
        config_dict, kwargs = super().get_config_dict(*args, **kwargs)
        return config_dict | {"model_type": family_of(config_dict)}, kwargs

    def to_diff_dict(self) -> dict:
        """The content of config.json: official field names, each field once."""
        config_dict = self.without_neutral_fields(super(LLaDAConfig, self).to_diff_dict())
        names = {canonical: official for official, canonical in OFFICIAL_TO_CANONICAL_FIELD.items()}
        config_dict = {name: value for name, value in config_dict.items() if name not in UNKNOWN or value is not None}
        official = {names.get(name, name): value for name, value in config_dict.items()}
        official |= {"qk_layernorm": self.use_qk_norm, "attention_bias": False, "rope_scaling": None}
        official["tie_word_embeddings"] = self.tie_word_embeddings
        official["partial_rotary_factor"] = self.rope_parameters.get("partial_rotary_factor", 1.0)
        return with_official_rope(official)


__all__ = ["LLaDAMoeConfig"]
