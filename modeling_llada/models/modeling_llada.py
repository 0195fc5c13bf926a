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
"""PyTorch LLaDA model (https://huggingface.co/papers/2502.09992).

A Llama-style Transformer without a causal mask, which predicts all mask tokens of a sequence at once:
- RMS normalisation and rotary embedding in float32, as the checkpoints were trained;
- SwiGLU, grouped-query attention, no bias anywhere;
- every position sees every other: `is_causal=False`, and a mask only where the batch is padded, or where documents share
  a row (`cu_seq_lens_q`);
- logits only for the positions that are asked for (`logits_to_keep`, a boolean mask among its forms), and the work of
  the last layer too (`query_positions`): a denoising step wants those of the active block.
"""

from collections.abc import Callable

import torch
from safetensors import SafetensorError
from torch import nn
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache
from transformers.integrations import use_kernel_forward_from_hub
from transformers.masking_utils import create_bidirectional_mask, packed_sequence_mask_function
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, MaskedLMOutput
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple, logging
from transformers.utils.generic import is_flash_attention_requested, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .configuration_llada import LLaDAConfig
from .conversion_llada import register_weight_renamings
from .generation_config_llada import LLaDAGenerationConfig
from .generation_llada import LLaDAGenerationMixin
from .likelihood_llada import LLaDALikelihoodMixin


logger = logging.get_logger(__name__)

AUTO_MAP = {
    "AutoConfig": "configuration_llada.LLaDAConfig",
    "AutoModel": "modeling_llada.LLaDAForMaskedLM",
    "AutoModelForMaskedLM": "modeling_llada.LLaDAForMaskedLM",
    "AutoModelForCausalLM": "modeling_llada.LLaDAForMaskedLM",
}


@use_kernel_forward_from_hub("RMSNorm")
class LLaDARMSNorm(nn.Module):
    """Root-mean-square normalisation, computed in float32."""

    def __init__(self, hidden_size: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        input_dtype = hidden_states.dtype
        hidden_states = hidden_states.to(torch.float32)
        variance = hidden_states.pow(2).mean(-1, keepdim=True)
        hidden_states = hidden_states * torch.rsqrt(variance + self.variance_epsilon)
        return self.weight * hidden_states.to(input_dtype)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, eps={self.variance_epsilon}"


class LLaDARotaryEmbedding(nn.Module):
    """Cosines and sines of the rotary embedding, always in float32."""

    def __init__(self, config: LLaDAConfig):
        super().__init__()
        self.config = config
        self.max_seq_len_cached = config.max_position_embeddings
        self.original_max_seq_len = config.max_position_embeddings
        self.rope_type = config.rope_parameters["rope_type"]
        rope_init_fn = self.compute_default_rope_parameters
        if self.rope_type != "default":
            rope_init_fn = ROPE_INIT_FUNCTIONS[self.rope_type]
        inv_freq, self.attention_scaling = rope_init_fn(config)
        self.inv_freq = nn.Buffer(inv_freq, persistent=False)
        self.original_inv_freq = nn.Buffer(inv_freq.clone(), persistent=False)

    @staticmethod
    def compute_default_rope_parameters(config: LLaDAConfig, **kwargs) -> tuple[torch.Tensor, float]:
        """The inverse frequencies `theta^(-2i / head_dim)`, and the factor on cosines and sines (none here)."""
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float) / config.head_dim
        return 1.0 / (config.rope_parameters["rope_theta"] ** exponents), 1.0

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        exact = self.inv_freq, self.original_inv_freq
        super()._apply(fn, recurse)
        # `model.to(torch.bfloat16)` moves the frequencies, but must not round them: position 100 would be off by 0.2 rad.
        if self.inv_freq.dtype != torch.float32:
            self.inv_freq, self.original_inv_freq = (buffer.to(self.inv_freq.device) for buffer in exact)
        return self

    @torch.no_grad()
    @dynamic_rope_update
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inv_freq = self.inv_freq.to(device=x.device, dtype=torch.float)
        freqs = position_ids[..., None].float() * inv_freq
        cos, sin = freqs.cos() * self.attention_scaling, freqs.sin() * self.attention_scaling
        return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def apply_rotary_pos_emb(hidden_states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """
    Rotates the two halves of each head into each other, in float32 whatever the dtype.

    Args:
        hidden_states (`torch.Tensor` of shape `(batch, length, num_heads, head_dim)`): Queries or keys.
        cos (`torch.Tensor` of shape `(batch, length, head_dim)`): The cosines, in float32.
        sin (`torch.Tensor` of shape `(batch, length, head_dim)`): The sines, in float32, the first half negative.

    Returns:
        `torch.Tensor`: The rotated states, in their own dtype.
    """
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    other_half = hidden_states.roll(hidden_states.shape[-1] // 2, dims=-1)
    # The products with the float32 factors are float32 as well, without a cast of their own.
    return (hidden_states * cos + other_half * sin).to(hidden_states.dtype)


def repeat_kv(hidden_states: torch.Tensor, n_rep: int) -> torch.Tensor:
    """Repeats each key or value head `n_rep` times, for the query heads of its group."""
    return hidden_states.repeat_interleave(n_rep, dim=1) if n_rep > 1 else hidden_states


def mask_of_queries(attention_mask: torch.Tensor | None, positions: torch.LongTensor) -> torch.Tensor | None:
    """
    The part of a mask that belongs to some of the queries.

    Args:
        attention_mask (`torch.Tensor` of shape `(batch, num_heads or 1, num_queries or 1, num_keys)`, *optional*):
            The mask of all queries.
        positions (`torch.LongTensor` of shape `(num_positions,)`):
            The queries.

    Returns:
        `torch.Tensor`: The mask with `num_positions` queries, or with 1 as before.

    Raises:
        `ValueError`: if the mask has another form, as those of flash and flex attention.
    """
    if attention_mask is None:
        return None
    if not isinstance(attention_mask, torch.Tensor) or attention_mask.ndim != 4:
        raise ValueError(
            "`query_positions` needs a mask with a dimension for the queries, as sdpa and eager attention have it. "
            "Leave it out and select positions with `logits_to_keep`, or call `model.set_attn_implementation('sdpa')`."
        )
    return attention_mask if attention_mask.shape[2] == 1 else attention_mask.index_select(2, positions)


def mask_of_documents(
    config: LLaDAConfig, inputs_embeds: torch.Tensor, cu_seq_lens: torch.Tensor
) -> torch.Tensor | None:
    """
    The mask under which every document of a packed batch sees itself alone.

    Args:
        config ([`LLaDAConfig`]):
            The configuration, with the attention implementation.
        inputs_embeds (`torch.Tensor` of shape `(batch, length, hidden_size)`):
            The embeddings.
        cu_seq_lens (`torch.IntTensor` of shape `(num_documents + 1,)`):
            Where documents begin in the flattened batch, and its end.

    Returns:
        `torch.Tensor`: The mask, a `BlockMask` for flex attention; `None` for flash attention, which reads `cu_seq_lens`
        itself.

    Raises:
        `ValueError`: if the attention implementation has no mask, or documents do not cover the batch.
    """
    shape = inputs_embeds.shape[:2]
    # Elsewhere the check would wait for the device.
    if cu_seq_lens.device.type == "cpu" and not torch.compiler.is_compiling():
        ends = cu_seq_lens[[0, -1]].tolist()
        if ends != [0, shape.numel()]:
            raise ValueError(
                f"`cu_seq_lens_q` must begin with 0 and end with `batch * length`, {shape.numel()}, but goes from "
                f"{ends[0]} to {ends[1]}. Count padding as a document of its own."
            )
    cu_seq_lens = cu_seq_lens.to(inputs_embeds.device)
    places = torch.arange(shape.numel(), dtype=cu_seq_lens.dtype, device=cu_seq_lens.device)
    documents = torch.searchsorted(cu_seq_lens, places, right=True).view(shape)
    mask = create_bidirectional_mask(
        config=config,
        inputs_embeds=inputs_embeds,
        attention_mask=None,
        and_mask_function=packed_sequence_mask_function(documents),
    )
    if mask is None and not is_flash_attention_requested(config):
        raise ValueError(
            f"`cu_seq_lens_q` needs an attention that keeps documents apart, but `{config._attn_implementation}` has no "
            "mask. Call `model.set_attn_implementation('sdpa')`, or give one document a row."
        )
    return mask


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Unpack[TransformersKwargs],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention written out, the only variant that returns its weights."""
    key_states = repeat_kv(key, module.num_key_value_groups)
    value_states = repeat_kv(value, module.num_key_value_groups)

    attn_weights = torch.matmul(query, key_states.transpose(2, 3)) * scaling
    if attention_mask is not None:
        attn_weights = attn_weights + attention_mask

    attn_weights = nn.functional.softmax(attn_weights, dim=-1, dtype=torch.float32).to(query.dtype)
    attn_weights = nn.functional.dropout(attn_weights, p=dropout, training=module.training)
    attn_output = torch.matmul(attn_weights, value_states).transpose(1, 2).contiguous()
    return attn_output, attn_weights


class LLaDAAttention(nn.Module):
    """Multi-head attention over the whole canvas, without a causal mask."""

    def __init__(self, config: LLaDAConfig, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = False

        self.q_proj = nn.Linear(config.hidden_size, config.num_attention_heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.num_key_value_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(config.num_attention_heads * self.head_dim, config.hidden_size, bias=False)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        query_positions: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query_states, key_states, value_states = self.project_and_rotate(hidden_states, position_embeddings)
        if query_positions is not None:
            query_states = query_states.index_select(1, query_positions)
            attention_mask = mask_of_queries(attention_mask, query_positions)
        input_shape = query_states.shape[:2]
        query_states, key_states, value_states = (
            states.transpose(1, 2) for states in (query_states, key_states, value_states)
        )

        if past_key_values is not None:
            key_states, value_states = past_key_values.update(key_states, value_states, self.layer_idx)

        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        attn_output, attn_weights = attention_interface(
            self,
            query_states,
            key_states,
            value_states,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )

        attn_output = attn_output.reshape(*input_shape, -1).contiguous()
        return self.o_proj(attn_output), attn_weights

    def project_and_rotate(
        self, hidden_states: torch.Tensor, position_embeddings: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values, `(batch, length, num_heads, head_dim)`; the rotary embedding is in the first two."""
        hidden_shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        query_states = apply_rotary_pos_emb(self.q_proj(hidden_states).view(hidden_shape), *position_embeddings)
        key_states = apply_rotary_pos_emb(self.k_proj(hidden_states).view(hidden_shape), *position_embeddings)
        value_states = self.v_proj(hidden_states).view(hidden_shape)
        return query_states, key_states, value_states


class LLaDAMLP(nn.Module):
    """The SwiGLU feed-forward network: `down(silu(gate(x)) * up(x))`."""

    def __init__(self, config: LLaDAConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


class LLaDALayer(GradientCheckpointingLayer):
    """One Transformer layer: attention and feed-forward network, each behind its norm and inside a residual."""

    def __init__(self, config: LLaDAConfig, layer_idx: int):
        super().__init__()
        self.self_attn = LLaDAAttention(config, layer_idx)
        self.mlp = LLaDAMLP(config)
        self.input_layernorm = LLaDARMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = LLaDARMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        past_key_values: Cache | None = None,
        query_positions: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        residual = hidden_states if query_positions is None else hidden_states.index_select(1, query_positions)
        hidden_states = self.input_layernorm(hidden_states)
        hidden_states, _ = self.self_attn(
            hidden_states=hidden_states,
            position_embeddings=position_embeddings,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            query_positions=query_positions,
            **kwargs,
        )
        hidden_states = residual + hidden_states

        residual = hidden_states
        hidden_states = self.post_attention_layernorm(hidden_states)
        hidden_states = self.mlp(hidden_states)
        return residual + hidden_states


class LLaDAPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation, shared by the backbone and the mask predictor."""

    config: LLaDAConfig
    config_class = LLaDAConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["LLaDALayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": LLaDALayer, "attentions": LLaDAAttention}

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, output_loading_info: bool = False, **kwargs):
        """
        Loads a model from an official checkpoint or from one of ours; see [`PreTrainedModel.from_pretrained`].

        Raises:
            `ValueError`: if weights of the backbone are missing in the checkpoint. A mask predictor with a few random
                layers still writes plausible tokens, so this is not left at a warning.
            `OSError`: if a safetensors file is corrupt or truncated.
        """
        try:
            model, info = super().from_pretrained(
                pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
            )
        except SafetensorError as error:
            raise OSError(
                f"`pretrained_model_name_or_path={str(pretrained_model_name_or_path)!r}` has a safetensors file that is "
                f"corrupt or truncated: {error}. Fetch the checkpoint again."
            ) from error
        missing = sorted(key for key in info["missing_keys"] if not key.startswith("lm_head."))
        if missing:
            names = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
            raise ValueError(
                f"`pretrained_model_name_or_path={str(pretrained_model_name_or_path)!r}` lacks {len(missing)} weights "
                f"of the backbone: {names}. Either the checkpoint is incomplete (fetch it again), or its config.json "
                "describes another network."
            )
        return (model, info) if output_loading_info else model

    def save_pretrained(self, save_directory, **kwargs):
        """
        Saves a folder that also loads where this package is not installed, with `trust_remote_code=True`; see
        [`PreTrainedModel.save_pretrained`].

        A class can be registered for one Auto class alone, so the others are named here.
        """
        # FSDP puts a class of its own in the place of that of the model, which nobody could load.
        sharded = type(self)
        self.__class__ = next(base for base in sharded.__mro__ if not base.__name__.startswith("FSDP"))
        try:
            self.config.auto_map = {name: reference for name, reference in AUTO_MAP.items() if self._serves(name)}
            self.config.auto_map["AutoModel"] = f"modeling_llada.{type(self).__name__}"
            # Otherwise only those names would become official ones again that were official in the loaded checkpoint.
            self._weight_conversions = None
            if kwargs.get("state_dict") is not None and self.config.tie_word_embeddings:
                # Collected from processes, a tied head is a copy of the embedding.
                tied = self._tied_weights_keys or {}
                kwargs["state_dict"] = {key: value for key, value in kwargs["state_dict"].items() if key not in tied}
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self.__class__ = sharded

    @property
    def device(self) -> torch.device:
        """`torch.device`: Where the inputs go. Weights that are offloaded are on no device until they are used."""
        device = super().device
        if device.type != "meta":
            return device
        execution_device = getattr(getattr(self, "_hf_hook", None), "execution_device", None)
        return device if execution_device is None else torch.device(execution_device)

    @classmethod
    def _serves(cls, auto_class: str) -> bool:
        """The backbone has no head, so only a mask predictor is offered to the Auto classes with one."""
        return auto_class in ("AutoConfig", "AutoModel") or cls.can_generate()

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> nn.Embedding:
        """
        Resizes the token embedding and the output head; see [`PreTrainedModel.resize_token_embeddings`].

        Raises:
            `ValueError`: if the mask token, or another special token of the config, would lose its row.
        """
        rows = self.get_input_embeddings().weight.shape[0]
        if new_num_tokens is not None:
            self._check_special_tokens_keep_their_rows(rows, new_num_tokens, pad_to_multiple_of or 1)
        embeddings = super().resize_token_embeddings(new_num_tokens, pad_to_multiple_of, mean_resizing)
        # The official `vocab_size` described the tokenizer of the old embedding.
        if embeddings.weight.shape[0] != rows:
            self.config.tokenizer_vocab_size = None
        return embeddings

    def _check_special_tokens_keep_their_rows(self, rows: int, new_num_tokens: int, multiple: int) -> None:
        """The library would resize without a word, and generation would fail, or write another token for the mask."""
        new_rows = -(-new_num_tokens // multiple) * multiple
        for name in ("mask_token_id", "eos_token_id", "eot_token_id", "bos_token_id", "pad_token_id"):
            tokens = getattr(self.config, name)
            ids = tokens if isinstance(tokens, list) else [tokens]
            lost = [token for token in ids if token is not None and new_rows <= token < rows]
            if lost:
                raise ValueError(
                    f"`new_num_tokens` must be at least {max(lost) + 1}, so that `{name}={tokens}` keeps its row of the "
                    f"embedding, but got {new_num_tokens}. Keep more rows, or first move the token to a smaller id: its "
                    f"rows of the embedding and the head, the tokenizer, and `config.{name}`."
                )


class LLaDAModel(LLaDAPreTrainedModel):
    """
    The backbone: token embedding, Transformer layers and final norm, without the output head.

    Args:
        config ([`LLaDAConfig`]):
            The configuration.
    """

    _keys_to_ignore_on_load_unexpected = [r"lm_head"]

    def __init__(self, config: LLaDAConfig):
        super().__init__(config)
        # No `padding_idx`: LLaDA pads with EOS, whose embedding must be trained.
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([LLaDALayer(config, layer_idx) for layer_idx in range(config.num_hidden_layers)])
        self.norm = LLaDARMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = LLaDARotaryEmbedding(config)
        self.gradient_checkpointing = False

        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        query_positions: torch.LongTensor | None = None,
        cu_seq_lens_q: torch.IntTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPast:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Token ids, mask tokens among them.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                1 for tokens, 0 for padding, on either side. A 4-D mask is used as it is.
            position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Positions; by default 0, 1, 2... The rotary embedding is relative, so left padding needs no others.
            past_key_values (`Cache`, *optional*):
                Keys and values of positions that are not recomputed.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, hidden_size)`, *optional*):
                Embeddings in place of `input_ids`.
            query_positions (`torch.LongTensor` of shape `(num_positions,)`, *optional*):
                Positions of the input whose hidden states are wanted; all by default. The last layer projects every
                position, and does all else for these alone. With a mask it needs sdpa or eager attention.
            cu_seq_lens_q (`torch.IntTensor` of shape `(num_documents + 1,)`, *optional*):
                Where documents that share rows begin in the flattened batch, and its end, as collators for packed rows
                give it: 0, the end of each document, `batch * length` at last. A row begins with a document, and padding
                is one of its own. A document sees itself alone, whatever the attention; `position_ids` do not say so.

        Returns:
            [`BaseModelOutputWithPast`]: `last_hidden_state` of shape `(batch, length, hidden_size)`, after the final
            norm; with `query_positions` of shape `(batch, num_positions, hidden_size)`.

        Raises:
            `ValueError`: if there is not exactly one of `input_ids` and `inputs_embeds`; if there are `query_positions`
                and the mask of the attention implementation cannot be narrowed to them; or if documents share rows and
                there is a mask, a cache or `query_positions` too, or an attention implementation without masks, or
                `cu_seq_lens_q` on a CPU does not reach from 0 to `batch * length`.

        Example:

        ```python
        >>> block = torch.arange(32, 64)
        >>> model(input_ids, query_positions=block).last_hidden_state.shape
        torch.Size([1, 32, 384])
        ```
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("You must specify exactly one of `input_ids` and `inputs_embeds`.")

        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        if position_ids is None:
            position_ids = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device).unsqueeze(0)

        if cu_seq_lens_q is not None:
            if not (attention_mask is past_key_values is query_positions is None):
                raise ValueError(
                    "`cu_seq_lens_q` stands for packed rows that are computed as a whole: leave `attention_mask`, "
                    "`past_key_values` and `query_positions` out, and count padding as a document of its own."
                )
            # Only where it can be read without waiting for a device.
            attention_mask = mask_of_documents(self.config, inputs_embeds, cu_seq_lens_q)
            # What flash attention asks for. It falls back to attention across documents if one of them is missing.
            longest = cu_seq_lens_q.diff().max()
            varlen = {"cu_seq_lens_k": cu_seq_lens_q, "max_length_q": longest, "max_length_k": longest}
            given = {name: value for name, value in kwargs.items() if value is not None}
            kwargs = {"cu_seq_lens_q": cu_seq_lens_q} | varlen | given
        # Without padding there is nothing to mask. (Inside a CUDA graph, the library would build a mask of ones.)
        elif attention_mask is not None:
            attention_mask = create_bidirectional_mask(
                config=self.config,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
            )
        position_embeddings = self.rotary_emb(inputs_embeds, position_ids)

        hidden_states = inputs_embeds
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                attention_mask=attention_mask,
                position_embeddings=position_embeddings,
                past_key_values=past_key_values,
                query_positions=query_positions if layer is self.layers[-1] else None,
                **kwargs,
            )
        hidden_states = self.norm(hidden_states)

        return BaseModelOutputWithPast(last_hidden_state=hidden_states, past_key_values=past_key_values)


class LLaDAForMaskedLM(LLaDAPreTrainedModel, LLaDAGenerationMixin, LLaDALikelihoodMixin):
    """
    The mask predictor: the backbone with an output head, which predicts all mask tokens of a sequence at once.

    Args:
        config ([`LLaDAConfig`]):
            The configuration.
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}
    _pp_plan = {"lm_head": (["hidden_states"], ["logits"])}
    # On the class itself: on the mixin it would be shadowed by the one of `PreTrainedModel`.
    generation_config_class = LLaDAGenerationConfig

    def __init__(self, config: LLaDAConfig):
        super().__init__(config)
        self.model = LLaDAModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        query_positions: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedLMOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Token ids, mask tokens among them.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                1 for tokens, 0 for padding, on either side.
            position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Positions; by default 0, 1, 2...
            past_key_values (`Cache`, *optional*):
                Keys and values of positions that are not recomputed.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, hidden_size)`, *optional*):
                Embeddings in place of `input_ids`.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                The original tokens, -100 where no loss is wanted. The loss is the mean cross-entropy, unshifted, and
                without the weight 1/t of the training objective: weights and noise belong to the trainers.
            logits_to_keep (`int` or `torch.Tensor`, *optional*, defaults to 0):
                The positions whose logits are computed, as elsewhere in transformers: the last `n` (0: all), a 1-D
                tensor of positions, a 2-D tensor of positions for each row, or a 2-D boolean mask, which gives
                logits of shape `(num_true, vocab_size)`. It selects the same positions of `labels`.
            query_positions (`torch.LongTensor` of shape `(num_positions,)`, *optional*):
                Positions, the same in each row, outside of which nothing is wanted; see [`LLaDAModel.forward`]. What
                `logits_to_keep` selects from are then these `num_positions` positions, of `labels` as well.
            kwargs (`dict`, *optional*):
                Further arguments of [`LLaDAModel.forward`]: `cu_seq_lens_q`, where several documents share a row.

        Returns:
            [`MaskedLMOutput`]: `logits` of shape `(batch, length, vocab_size)`, and `loss` if `labels` are given.
            Attentions need `attn_implementation="eager"`.

        Example:

        ```python
        >>> from transformers import AutoModel, AutoTokenizer
        >>> import modeling_llada  # registers the classes

        >>> tokenizer = AutoTokenizer.from_pretrained("checkpoints/llada-poet")
        >>> model = AutoModel.from_pretrained("checkpoints/llada-poet")
        >>> inputs = tokenizer("床前明月[MASK]，疑是地上霜。", return_tensors="pt")
        >>> masked = inputs.input_ids == tokenizer.mask_token_id
        >>> logits = model(**inputs, logits_to_keep=masked).logits
        >>> tokenizer.decode(logits.argmax(-1))
        '光'
        ```
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            query_positions=query_positions,
            **kwargs,
        )
        logits = self.lm_head(select_positions(outputs.last_hidden_state, logits_to_keep))

        loss = None
        if labels is not None:
            if self.training and input_ids is not None and not torch.compiler.is_compiling():
                self._warn_if_nothing_is_masked(input_ids, labels)
            if query_positions is not None:
                labels = labels.index_select(1, query_positions)
            # Contiguous: the loss function flattens with `view`.
            labels = select_positions(labels, logits_to_keep).contiguous()
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)

        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _warn_if_nothing_is_masked(self, input_ids: torch.LongTensor, labels: torch.LongTensor) -> None:
        if not ((input_ids == self.config.mask_token_id) & (labels != -100)).any():
            logger.warning_once(
                "No position with a label holds the mask token, so this loss trains the model to copy its input. "
                "Mask the inputs first (see `modeling_llada.diffusion_llada`), or use a trainer of "
                "`modeling_llada.training`."
            )


def select_positions(sequence: torch.Tensor, logits_to_keep: int | torch.Tensor) -> torch.Tensor:
    """
    Selects positions of a `(batch, length, ...)` tensor; see `logits_to_keep` of [`LLaDAForMaskedLM.forward`].

    Args:
        sequence (`torch.Tensor` of shape `(batch, length)` or `(batch, length, hidden_size)`):
            Labels or hidden states.
        logits_to_keep (`int` or `torch.Tensor`):
            The last `n` positions (0: all), a 1-D or 2-D tensor of positions, or a 2-D boolean mask.

    Returns:
        `torch.Tensor`: The selected positions; for a boolean mask of shape `(num_true, ...)`.
    """
    if isinstance(logits_to_keep, int):
        return sequence[:, -logits_to_keep:] if logits_to_keep else sequence
    logits_to_keep = logits_to_keep.to(sequence.device)  # a model on several devices ends on another one
    if logits_to_keep.dtype == torch.bool and logits_to_keep.ndim == 2:
        return sequence[logits_to_keep]
    if logits_to_keep.ndim == 2:
        index = logits_to_keep.view(*logits_to_keep.shape, *[1] * (sequence.ndim - 2))
        return torch.take_along_dim(sequence, index, dim=1)
    return sequence[:, logits_to_keep]


register_weight_renamings("LLaDAForMaskedLM", "LLaDAModel")

# What is registered here is copied into every folder that `save_pretrained` writes, with all that it imports.
LLaDAConfig.register_for_auto_class()
LLaDAModel.register_for_auto_class("AutoModel")
LLaDAForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")


__all__ = ["LLaDAForMaskedLM", "LLaDAModel", "LLaDAPreTrainedModel"]
