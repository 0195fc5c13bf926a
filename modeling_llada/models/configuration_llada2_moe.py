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
"""LLaDA2 model configuration."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers.models.qwen3_moe.configuration_qwen3_moe import Qwen3MoeConfig

from .configuration_llada import LLaDAConfig, check_rope, check_size
from .configuration_llada_moe import DENSE_PLAN, EXPERTS_PLAN, check_rotary_factor, rotary_dim_of
from .conversion_llada import check_switch, with_official_rope
from .families_llada import DENSE_FIELDS, check_foreign, family_of
from .options_llada import check_bool, check_integer, check_number


OFFICIAL_MASK_TOKEN_ID = 156895
OFFICIAL_EOS_TOKEN_ID = OFFICIAL_PAD_TOKEN_ID = 156892
BLOCK_LENGTH = 32  # of all published checkpoints
# Switches of the official config, each with the only value that the published checkpoints have and this package implements.
SWITCHES = {
    "attention_bias": False,
    "embedding_dropout": 0.0,
    "norm_head": False,
    "norm_softmax": False,
    "norm_topk_prob": True,
    "output_dropout": 0.0,
    "router_dtype": "fp32",
    "score_function": "sigmoid",
    "use_bias": False,
    "use_qkv_bias": False,
    "use_rmsnorm": True,
    "use_sliding_window": False,
    "using_split_qkv_in_self_attention": False,
}
# Fields that the official file may lack, and that are written if they are set.
OPTIONAL = ("bos_token_id", "eot_token_id", "tokenizer_vocab_size")
OPTIONAL += ("expert_capacity", "block_size", "delete_token_id", "split_token_id", "rotary_dim")


check_token_id = partial(check_integer, minimum=0)
FIELD_CHECKS: dict[str, Callable[[str, Any], None]] = {
    **dict.fromkeys(DENSE_FIELDS, check_foreign),
    **dict.fromkeys(SWITCHES, partial(check_switch, switches=SWITCHES, family="LLaDA2")),
    "block_size": check_size,
    "delete_token_id": check_token_id,
    "expert_capacity": check_size,
    "first_k_dense_replace": partial(check_integer, minimum=0),
    "moe_intermediate_size": check_size,
    "moe_router_enable_expert_bias": check_bool,
    "n_group": check_size,
    "num_experts": check_size,
    "num_experts_per_tok": check_size,
    "num_shared_experts": partial(check_integer, minimum=0),
    "output_router_logits": check_bool,
    "partial_rotary_factor": check_rotary_factor,
    "rope_parameters": partial(check_rope, more_checks={"partial_rotary_factor": check_rotary_factor}),
    "rope_scaling": partial(check_rope, more_checks={"partial_rotary_factor": check_rotary_factor}),
    "rotary_dim": check_size,
    "routed_scaling_factor": partial(check_number, minimum=0.0),
    "split_token_id": check_token_id,
    "topk_group": check_size,
}


@strict
class LLaDA2MoeConfig(LLaDAConfig):
    r"""
    The configuration of a [`LLaDA2MoeModel`] or a [`LLaDA2MoeForMaskedLM`]. The defaults are those of LLaDA2.0-mini. Official
    files have the `model_type` `"llada2_moe"`, and the same names of fields.

    It has the fields of a [`LLaDAConfig`], and these.

    Args:
        num_experts (`int`, *optional*, defaults to 256):
            The number of experts in a layer.
        num_experts_per_tok (`int`, *optional*, defaults to 8):
            The number of experts that a token is sent to.
        moe_intermediate_size (`int`, *optional*, defaults to 512):
            Width of the SwiGLU feed-forward network of an expert.
        num_shared_experts (`int`, *optional*, defaults to 1):
            How many times that width the feed-forward network has which sees every token, beside the experts.
        intermediate_size (`int`, *optional*, defaults to 5120):
            Width of that of a layer without experts.
        first_k_dense_replace (`int`, *optional*, defaults to 1):
            The number of layers without experts. They are the first ones.
        n_group (`int`, *optional*, defaults to 8):
            The number of groups that the experts of a layer are divided into.
        topk_group (`int`, *optional*, defaults to 4):
            The number of groups that the experts of a token are chosen from.
        routed_scaling_factor (`float`, *optional*, defaults to 2.5):
            What the weights of the chosen experts add up to.
        moe_router_enable_expert_bias (`bool`, *optional*, defaults to `True`):
            Whether a bias of each expert takes part in the choice. It is not in the weights.
        expert_capacity (`int`, *optional*):
            For LLaDA2.2, the number of experts that the tokens of a block share, in the place of groups. By default each
            token is routed by itself.
        block_size (`int`, *optional*):
            The number of tokens of such a block, which is also the only `block_length` to generate with. By default
            `block_length` is 32, and any other is possible.
        partial_rotary_factor (`float`, *optional*, defaults to 0.5):
            The share of each head that is rotated. It is kept in `rope_parameters`.
        delete_token_id, split_token_id (`int`, *optional*):
            The tokens DELETE and INSERT of LLaDA2.2, see the option `insert_delete` of `generate`.
        output_router_logits (`bool`, *optional*, defaults to `False`):
            Whether forward passes return the logits of the routers.

    Raises:
        `ValueError`: if a field has a value that it cannot have, or the config is of another family.

    Example:

    ```python
    >>> from modeling_llada import LLaDA2MoeConfig, LLaDA2MoeForMaskedLM

    >>> config = LLaDA2MoeConfig(vocab_size=128, hidden_size=64, intermediate_size=96, moe_intermediate_size=32, head_dim=16,
    ...                          num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, num_experts=8,
    ...                          num_experts_per_tok=2, n_group=4, topk_group=2, mask_token_id=127)
    >>> model = LLaDA2MoeForMaskedLM(config)
    >>> config.generation_defaults
    {'block_length': 32, 'block_cache': 'prefix'}
    ```
    """

    # Not that of the official files: what is registered for it would also rewrite the weights of the official code.
    model_type = "llada2"
    official_names: ClassVar[dict[str, str]] = {}
    attribute_map: ClassVar[dict[str, str]] = {}
    official_architecture: ClassVar[str] = "LLaDA2MoeModelLM"
    official_model_type: ClassVar[str] = "llada2_moe"
    official_options: ClassVar[tuple[str, ...]] = ("use_qk_norm", "head_dim")
    own_architecture: ClassVar[str] = "LLaDA2MoeForMaskedLM"
    official_tokens: ClassVar[dict[str, int]] = {
        "eos_token_id": OFFICIAL_EOS_TOKEN_ID,
        "mask_token_id": OFFICIAL_MASK_TOKEN_ID,
        "pad_token_id": OFFICIAL_PAD_TOKEN_ID,
    }
    field_checks: ClassVar[dict[str, Callable[[str, Any], None]]] = LLaDAConfig.field_checks | FIELD_CHECKS
    rope_full_precision: ClassVar[bool] = False
    default_theta = 600000.0
    # Files have queries, keys and values in one tensor, which cannot be divided among devices before it is split.
    base_model_tp_plan: ClassVar[dict[str, str]] = {}
    base_model_ep_plan = Qwen3MoeConfig.base_model_ep_plan

    vocab_size: int = 157184
    hidden_size: int = 2048
    intermediate_size: int | None = 5120
    num_hidden_layers: int = 20
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 4
    head_dim: int | None = 128
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    use_qk_norm: bool = True
    mask_token_id: int | None = OFFICIAL_MASK_TOKEN_ID
    eos_token_id: int | list[int] | None = OFFICIAL_EOS_TOKEN_ID
    num_experts: int = 256
    num_experts_per_tok: int = 8
    moe_intermediate_size: int = 512
    num_shared_experts: int | None = 1
    first_k_dense_replace: int = 1
    n_group: int | None = 8
    topk_group: int | None = 4
    routed_scaling_factor: float | int = 2.5
    moe_router_enable_expert_bias: bool = True
    norm_topk_prob: bool = True
    score_function: str = "sigmoid"
    router_dtype: str = "fp32"
    expert_capacity: int | None = None
    block_size: int | None = None
    delete_token_id: int | None = None
    split_token_id: int | None = None
    rotary_dim: int | None = None
    output_router_logits: bool = False

    def __post_init__(self, **kwargs):
        kwargs.pop("model_type", None)  # files have another one
        kwargs.setdefault("partial_rotary_factor", 0.5)
        super().__post_init__(**kwargs)
        self.n_group, self.topk_group = self.n_group or 1, self.topk_group or 1
        self.num_shared_experts = self.num_shared_experts or 0
        self.validate_experts()
        self.validate_rotation()
        self.base_model_tp_plan = self.plan_of_layers()

    def plan_of_layers(self) -> dict[str, str]:
        """How tensor parallelism splits the feed-forward networks that there are: a rule without modules is a warning."""
        plan = dict(DENSE_PLAN) if self.first_k_dense_replace > 0 else {}
        if self.first_k_dense_replace < self.num_hidden_layers:
            plan |= EXPERTS_PLAN
            if self.num_shared_experts:
                plan |= {name.replace(".mlp.", ".mlp.shared_experts."): how for name, how in DENSE_PLAN.items()}
        return plan

    def validate_experts(self):
        """Part of `@strict`-powered validation. Validates the sizes that have to fit each other."""
        if self.num_experts_per_tok > self.num_experts:
            raise ValueError(
                f"`num_experts_per_tok` must be at most `num_experts={self.num_experts}`, but got {self.num_experts_per_tok}."
            )
        if self.expert_capacity is None:
            self.validate_groups()
            return
        if self.block_size is None:
            raise ValueError(
                f"`block_size` must be set with `expert_capacity={self.expert_capacity}`, which the tokens of a block share. Give "
                "the length of the blocks that the model was trained with."
            )
        if not self.num_experts_per_tok <= self.expert_capacity <= self.num_experts:
            raise ValueError(
                f"`expert_capacity` must be in [`num_experts_per_tok`, `num_experts`] = [{self.num_experts_per_tok}, "
                f"{self.num_experts}], but got {self.expert_capacity}."
            )

    def validate_groups(self):
        """Part of `@strict`-powered validation. Validates the groups that the experts of a token are chosen from."""
        if self.n_group > 1 and (self.num_experts % self.n_group or self.num_experts < 2 * self.n_group):
            raise ValueError(
                f"`n_group` must divide `num_experts={self.num_experts}` into groups of at least two, but got {self.n_group}."
            )
        if self.topk_group > self.n_group:
            raise ValueError(f"`topk_group` must be at most `n_group={self.n_group}`, but got {self.topk_group}.")
        num_left = self.num_experts // self.n_group * self.topk_group
        if self.num_experts_per_tok > num_left:
            raise ValueError(
                f"`num_experts_per_tok` must be at most {num_left}, the number of experts in `topk_group={self.topk_group}` "
                f"groups, but got {self.num_experts_per_tok}."
            )

    def validate_rotation(self):
        """Part of `@strict`-powered validation. Validates the part of each head that is rotated."""
        rotary_dim = rotary_dim_of(self)
        if self.rotary_dim not in (None, rotary_dim):
            raise ValueError(
                f"`rotary_dim` must be `head_dim` times `partial_rotary_factor`, {rotary_dim}, but got {self.rotary_dim}. "
                "Correct one of them, or leave `rotary_dim` out."
            )

    @property
    def generation_defaults(self) -> dict[str, Any]:
        """The blocks that the model was trained with, whose keys and values are exact once they are finished."""
        return {"block_length": self.block_size or BLOCK_LENGTH, "block_cache": "prefix"}

    @classmethod
    def get_config_dict(cls, *args, **kwargs):
        """Reads a config.json without a warning that official files have another `model_type`."""
        config_dict, kwargs = super().get_config_dict(*args, **kwargs)
        return config_dict | {"model_type": family_of(config_dict)}, kwargs

    def to_diff_dict(self) -> dict:
        """The content of config.json: each field of the official file, and the optional ones that are set."""
        config_dict = super(LLaDAConfig, self).to_diff_dict()
        config_dict = {name: value for name, value in config_dict.items() if name not in OPTIONAL or value is not None}
        for name in ("attention_bias", "use_qk_norm"):
            if getattr(self, name) == getattr(type(self), name):
                config_dict.pop(name, None)
        config_dict |= {"use_bias": False, "use_qkv_bias": False, "tie_word_embeddings": self.tie_word_embeddings}
        config_dict["partial_rotary_factor"] = self.rope_parameters.get("partial_rotary_factor", 1.0)
        return with_official_rope(config_dict | {"rope_scaling": None})


__all__ = ["LLaDA2MoeConfig"]
