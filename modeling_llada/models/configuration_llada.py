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
"""LLaDA model configuration."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, RopeParameters

from .conversion_llada import (
    OFFICIAL_EOS_TOKEN_ID,
    OFFICIAL_EOT_TOKEN_ID,
    OFFICIAL_MASK_TOKEN_ID,
    OFFICIAL_PAD_TOKEN_ID,
    OFFICIAL_TO_CANONICAL_FIELD,
    OTHER_SWITCHES,
    SUPPORTED_SWITCHES,
    check_no_conflict,
    check_switch,
    to_official_config,
)
from .families_llada import CONFIG_CLASSES, MOE_FIELDS, check_family, check_foreign, config_class_of
from .options_llada import SPECIAL_TOKENS, check_bool, check_class, check_integer, check_number, check_token_ids


def check_architectures(name: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"`{name}` must be a list of names of classes, but got {value!r}.")


def check_dtype(name: str, value: Any) -> None:
    dtype = getattr(torch, value, None) if isinstance(value, str) else value
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"`{name}` must be a floating dtype of torch, such as 'bfloat16', but got {value!r}.")


def check_rope(name: str, value: Any, more_checks: dict[str, Callable] | None = None) -> None:
    """`more_checks` are those of a family that has other fields in it."""
    check_class(name, value, dict)
    checks = ROPE_CHECKS | (more_checks or {})
    known = ("default", *ROPE_INIT_FUNCTIONS)
    rope_type = value.get("rope_type", value.get("type", "default"))
    if rope_type not in known:
        raise ValueError(f"`{name}['rope_type']` must be one of {', '.join(known)}, but got {rope_type!r}.")
    for key, setting in value.items():
        check = checks.get(key, partial(check_number, minimum=0.0))
        if setting is not None and key not in ("rope_type", "type"):
            for one in setting if isinstance(setting, list) else [setting]:
                check(f"{name}['{key}']" if key != "partial_rotary_factor" else key, one)


def check_quantization(name: str, value: Any) -> None:
    """A method that the library does not know would be skipped, with the weights taken for plain numbers."""
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as methods
    from transformers.utils.quantization_config import QuantizationConfigMixin

    if isinstance(value, QuantizationConfigMixin):
        return
    check_class(name, value, dict)
    method = value.get("quant_method")
    if not (value.get("load_in_8bit") or value.get("load_in_4bit") or (isinstance(method, str) and method in methods)):
        raise ValueError(f"`{name}['quant_method']` must be one of {', '.join(methods)}, but got {method!r}.")


# A size beyond this is a slip. The library would make the modules before it looks at the weights.
check_size = partial(check_integer, minimum=1, maximum=2**31 - 1)
ROPE_CHECKS = {
    "rope_theta": partial(check_number, minimum=1.0),
    "factor": partial(check_number, minimum=1.0),
    "partial_rotary_factor": check_switch,
    "truncate": check_bool,
}
# What each field can be, and where `None` is possible the library's types say so. Every other field is free.
FIELD_CHECKS: dict[str, Callable[[str, Any], None]] = {
    **dict.fromkeys(SUPPORTED_SWITCHES | OTHER_SWITCHES, check_switch),
    **dict.fromkeys(SPECIAL_TOKENS, partial(check_integer, minimum=0)),
    **dict.fromkeys(MOE_FIELDS, check_foreign),
    "architectures": check_architectures,
    "attention_bias": check_bool,
    "attention_dropout": partial(check_number, minimum=0.0, maximum=1.0),
    "auto_map": partial(check_class, kind=dict),
    "dtype": check_dtype,
    "embedding_size": check_size,
    "eos_token_id": check_token_ids,
    "head_dim": check_size,
    "hidden_size": check_size,
    "id2label": partial(check_class, kind=dict),
    "initializer_range": partial(check_number, minimum=0.0),
    "intermediate_size": check_size,
    "max_position_embeddings": partial(check_integer, minimum=1),
    "mlp_ratio": check_size,
    "num_attention_heads": check_size,
    "num_hidden_layers": partial(check_integer, minimum=1, maximum=10_000),
    "num_key_value_heads": check_size,
    "quantization_config": check_quantization,
    "rms_norm_eps": partial(check_number, minimum=0.0),
    "rope_parameters": check_rope,
    "rope_scaling": check_rope,
    "rope_theta": ROPE_CHECKS["rope_theta"],
    "tie_word_embeddings": check_bool,
    "tokenizer_vocab_size": check_size,
    "torch_dtype": check_dtype,
    "use_cache": check_bool,
    "use_qk_norm": check_bool,
    "vocab_size": check_size,
}
FIELD_CHECKS |= {official: FIELD_CHECKS[name] for official, name in OFFICIAL_TO_CANONICAL_FIELD.items()}


OFFICIAL_TOKENS = {
    "eos_token_id": OFFICIAL_EOS_TOKEN_ID,
    "eot_token_id": OFFICIAL_EOT_TOKEN_ID,
    "mask_token_id": OFFICIAL_MASK_TOKEN_ID,
    "pad_token_id": OFFICIAL_PAD_TOKEN_ID,
}


def derive_head_dim(hidden_size: int, num_attention_heads: int) -> int:
    """The width of a head where the config does not say it."""
    if num_attention_heads <= 0 or hidden_size % num_attention_heads:
        raise ValueError(
            f"`hidden_size` must be a multiple of `num_attention_heads` where there is no `head_dim`, but got {hidden_size} and "
            f"{num_attention_heads}. Correct one of them, or give the `head_dim` of the checkpoint."
        )
    return hidden_size // num_attention_heads


@strict
class LLaDAConfig(PreTrainedConfig):
    r"""
    The configuration of a [`LLaDAModel`] or a [`LLaDAForMaskedLM`]. The defaults are those of LLaDA-8B.

    Every field can also be given, read and set by its official name (`d_model`, `n_layers`, `n_heads`, `n_kv_heads`,
    `mlp_hidden_size`, `max_sequence_length`, `weight_tying`, `init_std`, `activation_type`, `include_qkv_bias`,
    `embedding_size`). config.json has the official names.

    Args:
        vocab_size (`int`, *optional*, defaults to 126464):
            Rows of the token embedding. If an official config.json has an `embedding_size` and a smaller `vocab_size`,
            then `embedding_size` counts. The official value is kept in `tokenizer_vocab_size`, and written back until
            the embedding is resized.
        hidden_size (`int`, *optional*, defaults to 4096):
            Width of the hidden states.
        intermediate_size (`int`, *optional*):
            Width of the SwiGLU feed-forward network. By default `mlp_ratio` (4) times `hidden_size`, as in the
            official code; LLaDA-8B has 12288.
        num_hidden_layers (`int`, *optional*, defaults to 32):
            Number of Transformer layers.
        num_attention_heads (`int`, *optional*, defaults to 32):
            Number of query heads.
        num_key_value_heads (`int`, *optional*):
            Number of key and value heads (grouped-query attention). By default `num_attention_heads`.
        head_dim (`int`, *optional*):
            Width of a head. By default `hidden_size / num_attention_heads`, as in the official code. Qwen3 has another.
        hidden_act (`str`, *optional*, defaults to `"silu"`):
            Activation of the gate.
        max_position_embeddings (`int`, *optional*, defaults to 4096):
            The longest sequence (prompt + completion) in tokens.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of the initial weights.
        rms_norm_eps (`float`, *optional*, defaults to 1e-05):
            Epsilon of the RMS normalisations.
        rope_parameters (`RopeParameters`, *optional*):
            Parameters of the rotary embedding. `rope_theta` (500000 by default) can also be given alone.
        attention_dropout (`float`, *optional*, defaults to 0.0):
            Dropout of the attention weights during training.
        attention_bias (`bool`, *optional*, defaults to `False`):
            Whether queries, keys and values have a bias, as in Qwen2. The official name is `include_qkv_bias`.
        use_qk_norm (`bool`, *optional*, defaults to `False`):
            Whether the queries and keys of each head are normalised before the rotary embedding, as in Qwen3.
        tie_word_embeddings (`bool`, *optional*, defaults to `False`):
            Whether the output head shares the weights of the token embedding.
        use_cache (`bool`, *optional*, defaults to `False`):
            Kept for the official config files. It has no effect: a bidirectional model has no autoregressive cache.
        mask_token_id (`int`, *optional*, defaults to 126336):
            Id of the mask token, the absorbing state of the forward process.
        pad_token_id (`int`, *optional*):
            Id that fills a completion after its first EOS. With the official mask token it is 126081 by default. With
            another mask token, completions are filled with EOS.
        bos_token_id (`int`, *optional*):
            Id of the token at the start of a text.
        eos_token_id (`int` or `list[int]`, *optional*, defaults to 126081):
            Id(s) that end a completion.
        eot_token_id (`int`, *optional*):
            Id that ends a turn of a chat. The official config.json does not have it. With the official mask token it is
            126348 by default.
        tokenizer_vocab_size (`int`, *optional*):
            The official `vocab_size`, if it is smaller than the embedding.

    Raises:
        `ValueError`: if a field has a value that it cannot have, or different values under its official and its
            canonical name; if a special token is not in the vocabulary; if the config has a switch that is not implemented
            (alibi, biases, other block types...), or is of another family.

    Example:

    ```python
    >>> from modeling_llada import LLaDAConfig, LLaDAForMaskedLM

    >>> config = LLaDAConfig(vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    ...                      num_attention_heads=4, mask_token_id=127, eos_token_id=0, pad_token_id=0)
    >>> model = LLaDAForMaskedLM(config)
    >>> config.d_model
    64
    ```
    """

    model_type = "llada"
    official_names: ClassVar[dict[str, str]] = OFFICIAL_TO_CANONICAL_FIELD
    attribute_map = official_names | {"embedding_size": "vocab_size"}
    default_theta = 500000.0
    # What another family has instead.
    official_architecture: ClassVar[str] = "LLaDAModelLM"
    official_model_type: ClassVar[str | None] = None  # by default that of the class
    official_options: ClassVar[
        tuple[str, ...]
    ] = ()  # what its official code has, and that of the dense models has not
    own_architecture: ClassVar[str] = "LLaDAForMaskedLM"
    official_tokens: ClassVar[dict[str, int]] = OFFICIAL_TOKENS
    field_checks: ClassVar[dict[str, Callable[[str, Any], None]]] = FIELD_CHECKS
    rope_full_precision: ClassVar[bool] = True  # whether queries and keys are rotated in float32
    base_model_tp_plan = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.mlp.gate_proj": "colwise",
        "layers.*.mlp.up_proj": "colwise",
        "layers.*.mlp.down_proj": "rowwise",
    }
    base_model_pp_plan = {
        "embed_tokens": (["input_ids"], ["inputs_embeds"]),
        "layers": (["hidden_states", "attention_mask"], ["hidden_states"]),
        "norm": (["hidden_states"], ["hidden_states"]),
    }

    vocab_size: int = 126464
    hidden_size: int = 4096
    intermediate_size: int | None = None
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 4096
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-5
    rope_parameters: RopeParameters | dict | None = None
    attention_dropout: int | float = 0.0
    attention_bias: bool | None = False
    use_qk_norm: bool = False
    tie_word_embeddings: bool = False
    use_cache: bool = False
    mask_token_id: int | None = OFFICIAL_MASK_TOKEN_ID
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = OFFICIAL_EOS_TOKEN_ID
    eot_token_id: int | None = None
    tokenizer_vocab_size: int | None = None

    def __new__(cls, **kwargs):
        # `__post_init__` would be too late: it cannot tell a default from a given value, and the types of the library
        # know neither the official names nor the ranges.
        for name, value in kwargs.items():
            cls.check_field(name, value)
        check_no_conflict(kwargs, cls.official_names)
        return super().__new__(cls)

    def __init_subclass__(cls, *args, **kwargs):
        super().__init_subclass__(*args, **kwargs)
        if "model_type" in vars(cls):  # a subclass without one is no family
            CONFIG_CLASSES[cls.model_type] = cls

    def __setattr__(self, name, value):
        self.check_field(name, value)
        super().__setattr__(name, value)

    @classmethod
    def check_field(cls, name: str, value: Any) -> None:
        """Refuses a value that a field cannot have. `None` is an absent value."""
        if value is not None and name in cls.field_checks:
            cls.field_checks[name](name, value)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs) -> tuple[dict[str, Any], dict[str, Any]]:
        """Reads a config.json; see [`PreTrainedConfig.get_config_dict`], which gives the default sizes to a folder without one."""
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        if not config_dict:
            raise ValueError(
                "`pretrained_model_name_or_path` must be a folder or a repository with a config.json, but there is none in "
                f"{str(pretrained_model_name_or_path)!r}. Name the folder of a checkpoint."
            )
        return config_dict, kwargs

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """Reads a config.json; see [`PreTrainedConfig.from_dict`]. Its `architectures` tell the class of the config."""
        config_class = config_class_of(config_dict, default=cls)
        read = super().from_dict if config_class is cls else config_class.from_dict
        return read(config_dict, **kwargs)

    def __post_init__(self, **kwargs):
        check_family(type(self), {"architectures": self.architectures})

        embedding_size = kwargs.pop("embedding_size", None)
        if embedding_size is not None and embedding_size < self.vocab_size:
            raise ValueError(
                f"`embedding_size`, the rows of the embedding, must be at least `vocab_size={self.vocab_size}`, but got "
                f"{embedding_size}. Leave it out, or give the larger number."
            )
        if embedding_size is not None and embedding_size > self.vocab_size:
            self.tokenizer_vocab_size, self.vocab_size = self.vocab_size, embedding_size

        # An `auto_map` to the official remote code would name files that a saved copy does not have.
        if any(self.official_architecture in str(reference) for reference in (kwargs.get("auto_map") or {}).values()):
            kwargs.pop("auto_map")

        # `None` in an official config means the same as an absent field: the value is derived.
        for official in self.official_names:
            if kwargs.get(official, 0) is None:
                kwargs.pop(official)

        super().__post_init__(**kwargs)

        # `AutoModel.from_config` picks one of two classes by this name, and fails without it.
        if self.architectures is None:
            self.architectures = [self.own_architecture]

        # The call above has resolved the official names.
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.intermediate_size is None:
            self.intermediate_size = getattr(self, "mlp_ratio", 4) * self.hidden_size
        if self.head_dim is None:
            self.head_dim = derive_head_dim(self.hidden_size, self.num_attention_heads)
        self.attention_bias = bool(self.attention_bias)
        if self.use_qk_norm:  # not in the plan of the class, because a rule without modules is a warning
            norms = ("layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm")
            self.base_model_tp_plan = self.base_model_tp_plan | dict.fromkeys(norms, "replicated_with_grad_allreduce")
        # The defaults are tokens of the official vocabulary, which a smaller one does not have.
        for name, official in self.official_tokens.items():
            if getattr(self, name) == official and official >= self.vocab_size:
                setattr(self, name, None)
        # With another mask token there is another tokenizer, which need not have these ids.
        if self.mask_token_id == self.official_tokens["mask_token_id"]:
            for name in ("eot_token_id", "pad_token_id"):
                if getattr(self, name) is None:
                    setattr(self, name, self.official_tokens.get(name))
        # The later validation of the library would raise errors that are not `ValueError`s.
        self.validate_architecture()
        self.validate_token_ids()
        try:
            self.validate_rope()
        except (KeyError, TypeError) as error:
            raise ValueError(f"`rope_parameters` cannot be {self.rope_parameters}: {error.args[0]}.") from error

    def validate_architecture(self):
        """Part of `@strict`-powered validation. Validates the architecture of the config."""
        if self.head_dim % 2:
            raise ValueError(
                "`head_dim`, by default `hidden_size / num_attention_heads`, must be even, because the rotary embedding turns "
                f"pairs, but got {self.head_dim}."
            )
        if self.num_key_value_heads <= 0 or self.num_attention_heads % self.num_key_value_heads != 0:
            raise ValueError(
                f"`num_attention_heads` must be a multiple of `num_key_value_heads`, but got "
                f"{self.num_attention_heads} and {self.num_key_value_heads}."
            )

    def validate_token_ids(self):
        """Part of `@strict`-powered validation. Validates the special tokens, of which the library only warns."""
        for name in SPECIAL_TOKENS:
            tokens = getattr(self, name)
            for token in tokens if isinstance(tokens, list) else [tokens]:
                if token is not None and token >= self.vocab_size:
                    raise ValueError(
                        f"`{name}` must be an id of the vocabulary, in [0, {self.vocab_size}), but got {tokens}. Correct it, "
                        "or `vocab_size`."
                    )

    @property
    def has_own_head_dim(self) -> bool:
        """Whether the width of a head does not follow from the other sizes."""
        return self.head_dim * self.num_attention_heads != self.hidden_size

    def without_neutral_fields(self, config_dict: dict) -> dict:
        """Leaves out what the official code does not know, where it says nothing that the other fields do not say."""
        is_neutral = {
            "head_dim": not self.has_own_head_dim,
            "attention_bias": not self.attention_bias,
            "use_qk_norm": not self.use_qk_norm,
        }
        return {name: value for name, value in config_dict.items() if not is_neutral.get(name, False)}

    def to_diff_dict(self):
        """The content of config.json: official field names, each field once."""
        config_dict = self.without_neutral_fields(super().to_diff_dict())
        # The library leaves out its own defaults, which can change.
        config_dict["tie_word_embeddings"] = self.tie_word_embeddings
        return to_official_config(config_dict)


CONFIG_CLASSES[LLaDAConfig.model_type] = LLaDAConfig


__all__ = ["LLaDAConfig"]
