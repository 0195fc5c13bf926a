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

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_rope_utils import RopeParameters

from .conversion_llada import (
    OFFICIAL_EOT_TOKEN_ID,
    OFFICIAL_MASK_TOKEN_ID,
    OFFICIAL_PAD_TOKEN_ID,
    OFFICIAL_TO_CANONICAL_FIELD,
    check_family,
    check_no_conflict,
    check_supported,
    to_official_config,
)


@strict
class LLaDAConfig(PreTrainedConfig):
    r"""
    The configuration of a [`LLaDAModel`] or a [`LLaDAForMaskedLM`]. The defaults are those of LLaDA-8B.

    Every field can also be given, read and set by its official name (`d_model`, `n_layers`, `n_heads`, `n_kv_heads`,
    `mlp_hidden_size`, `max_sequence_length`, `weight_tying`, `init_std`, `activation_type`, `embedding_size`).
    config.json has the official names.

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
            Width of a head, always `hidden_size / num_attention_heads`, as in the official code.
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
        `ValueError`: if a field has different values under its official and its canonical name, if the config has a
            switch that is not implemented (alibi, biases, other block types...), or if it is of the LLaDA-MoE family.

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
    attribute_map = OFFICIAL_TO_CANONICAL_FIELD | {"embedding_size": "vocab_size"}
    default_theta = 500000.0
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
    tie_word_embeddings: bool = False
    use_cache: bool = False
    mask_token_id: int | None = OFFICIAL_MASK_TOKEN_ID
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 126081
    eot_token_id: int | None = None
    tokenizer_vocab_size: int | None = None

    def __new__(cls, **kwargs):
        # `__post_init__` would be too late, because it cannot tell a default from a given value.
        check_no_conflict(kwargs)
        return super().__new__(cls)

    def __post_init__(self, **kwargs):
        check_family(self.architectures)
        check_supported(kwargs | {"hidden_act": self.hidden_act})

        embedding_size = kwargs.pop("embedding_size", None)
        if embedding_size is not None and embedding_size < self.vocab_size:
            raise ValueError(
                f"`embedding_size`, the rows of the embedding, must be at least `vocab_size={self.vocab_size}`, but got "
                f"{embedding_size}. Leave it out, or give the larger number."
            )
        if embedding_size is not None and embedding_size > self.vocab_size:
            self.tokenizer_vocab_size, self.vocab_size = self.vocab_size, embedding_size

        # An `auto_map` to the official remote code would name files that a saved copy does not have.
        if any("LLaDAModelLM" in str(reference) for reference in (kwargs.get("auto_map") or {}).values()):
            kwargs.pop("auto_map")

        # `None` in an official config means the same as an absent field: the value is derived.
        for official in OFFICIAL_TO_CANONICAL_FIELD:
            if kwargs.get(official, 0) is None:
                kwargs.pop(official)

        super().__post_init__(**kwargs)

        # `AutoModel.from_config` picks one of two classes by this name, and fails without it.
        if self.architectures is None:
            self.architectures = ["LLaDAForMaskedLM"]

        # The call above has resolved the official names.
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.intermediate_size is None:
            self.intermediate_size = getattr(self, "mlp_ratio", 4) * self.hidden_size
        if self.head_dim is None and self.num_attention_heads > 0:
            self.head_dim = self.hidden_size // self.num_attention_heads
        # With another mask token there is another tokenizer, which need not have these ids.
        if self.mask_token_id == OFFICIAL_MASK_TOKEN_ID:
            self.eot_token_id = OFFICIAL_EOT_TOKEN_ID if self.eot_token_id is None else self.eot_token_id
            self.pad_token_id = OFFICIAL_PAD_TOKEN_ID if self.pad_token_id is None else self.pad_token_id
        # The later validation of the library would raise an error that is not a `ValueError`.
        self.validate_architecture()

    def validate_architecture(self):
        """Part of `@strict`-powered validation. Validates the architecture of the config."""
        if self.num_attention_heads <= 0 or self.hidden_size != self.head_dim * self.num_attention_heads:
            raise ValueError(
                f"`hidden_size` must be a multiple of `num_attention_heads`, but got {self.hidden_size} and "
                f"{self.num_attention_heads}."
            )
        if self.num_key_value_heads <= 0 or self.num_attention_heads % self.num_key_value_heads != 0:
            raise ValueError(
                f"`num_attention_heads` must be a multiple of `num_key_value_heads`, but got "
                f"{self.num_attention_heads} and {self.num_key_value_heads}."
            )

    def to_diff_dict(self):
        """The content of config.json: official field names, each field once."""
        config_dict = super().to_diff_dict()
        # The other fields imply it, and the official code does not know it.
        config_dict.pop("head_dim", None)
        # The library leaves out its own defaults, which can change.
        config_dict["tie_word_embeddings"] = self.tie_word_embeddings
        return to_official_config(config_dict)


__all__ = ["LLaDAConfig"]
