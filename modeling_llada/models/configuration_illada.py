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
"""iLLaDA model configuration."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from .configuration_llada import LLaDAConfig
from .conversion_llada import check_switch, with_official_rope
from .families_llada import DENSE_FIELDS, MOE_FIELDS, check_foreign


# What the official code reads of a config.json, beside the special tokens.
OFFICIAL_FIELDS = (
    *("attention_bias", "attention_dropout", "hidden_act", "hidden_size", "initializer_range", "intermediate_size"),
    *("layer_norm_eps", "max_position_embeddings", "mlp_bias", "num_attention_heads", "num_hidden_layers"),
    *("num_key_value_heads", "resid_pdrop", "rms_norm_eps", "tie_word_embeddings", "vocab_size"),
)
# Switches of the official config that no released checkpoint sets, each with the only value that this package implements.
SWITCHES = {
    "attention_bias": False,
    "layer_norm_eps": None,
    "mlp_bias": False,
    "resid_pdrop": 0.0,
    "use_qk_norm": False,
}


@strict
class ILLaDAConfig(LLaDAConfig):
    r"""
    The configuration of an [`ILLaDAModel`] or an [`ILLaDAForMaskedLM`]. The sizes are by default those of iLLaDA-8B, and the
    names of the fields those of Llama, in config.json too.

    It has the fields of a [`LLaDAConfig`], with these differences: the mask token is 5, EOS and padding have no default,
    since the published files do not say them (take them from the tokenizer), and queries and keys are rotated in the dtype
    of the model. There are no biases and no norms of queries and keys. Which `rope_theta` and `rms_norm_eps` iLLaDA-8B has
    is only in its config.json: those of LLaDA-8B, the defaults here, need not be the same.

    Raises:
        `ValueError`: if a field has a value that it cannot have, or the config is of another family.

    Example:

    ```python
    >>> from modeling_llada import ILLaDAConfig, ILLaDAForMaskedLM

    >>> config = ILLaDAConfig(vocab_size=128, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
    ...                       num_attention_heads=4, num_key_value_heads=2)
    >>> config.mask_token_id
    5
    >>> model = ILLaDAForMaskedLM(config)
    ```
    """

    model_type = "illada"
    official_names: ClassVar[dict[str, str]] = {}
    attribute_map: ClassVar[dict[str, str]] = {}
    official_architecture: ClassVar[str] = "ILLaDAForCausalLM"
    own_architecture: ClassVar[str] = "ILLaDAForMaskedLM"
    official_tokens: ClassVar[dict[str, int]] = {"mask_token_id": 5}
    field_checks: ClassVar[dict[str, Callable[[str, Any], None]]] = {
        **LLaDAConfig.field_checks,
        **dict.fromkeys(SWITCHES, partial(check_switch, switches=SWITCHES, family="iLLaDA")),
        **dict.fromkeys(DENSE_FIELDS + MOE_FIELDS, check_foreign),
    }
    rope_full_precision: ClassVar[bool] = False

    vocab_size: int = 155136
    intermediate_size: int | None = 14336
    num_key_value_heads: int | None = 8
    max_position_embeddings: int = 8192
    tie_word_embeddings: bool = True
    mask_token_id: int | None = 5
    eos_token_id: int | list[int] | None = None

    def to_diff_dict(self) -> dict:
        """The content of config.json: each field of the official file, and the special tokens that are known."""
        config_dict = self.without_neutral_fields(super(LLaDAConfig, self).to_diff_dict())
        config_dict = {name: value for name, value in config_dict.items() if value is not None}
        config_dict |= {name: getattr(self, name, SWITCHES.get(name)) for name in OFFICIAL_FIELDS}
        return with_official_rope(config_dict) | {"rope_scaling": None}


__all__ = ["ILLaDAConfig"]
