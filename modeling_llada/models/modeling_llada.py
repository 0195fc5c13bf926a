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

A Llama-style Transformer without a causal mask, which predicts all mask tokens of a sequence at once. It differs from
`modeling_llama.py` of transformers in these points:
- The rotary embedding is computed in float32, as the checkpoints were trained.
- Every position sees every other. There is a mask only if the batch is padded, or if documents share a row.
- Queries, keys and values may have a bias, as in Qwen2, and queries and keys a norm, as in Qwen3, for models that were
  converted from these.
- Only the logits that are asked for are computed (`logits_to_keep`), and only that part of the last layer
  (`query_positions`): a denoising step needs those of the active block.
"""

from collections.abc import Callable

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache
from transformers.integrations import use_kernel_forward_from_hub
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.models.llama.modeling_llama import eager_attention_forward
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple, logging
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .attention_mask_llada import attention_mask_of, check_packed, flash_attention_lengths, mask_of_queries
from .checkpointing_llada import LLaDACheckpointingMixin
from .configuration_llada import LLaDAConfig
from .conversion_llada import BACKBONE_RENAMINGS, LLADA_WEIGHT_RENAMINGS, register_weight_renamings
from .diffusion_llada import LLaDAMaskedLossOutput, check_masked_losses, masked_losses
from .forward_arguments_llada import check_keywords
from .fp8_llada import LLaDAFloat8Mixin
from .generation_config_llada import LLaDAGenerationConfig
from .generation_llada import LLaDAGenerationMixin
from .likelihood_llada import LLaDALikelihoodMixin
from .rotary_llada import LLaDARotaryEmbedding, apply_rotary_pos_emb


logger = logging.get_logger(__name__)


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

        key_value_size, bias = config.num_key_value_heads * self.head_dim, config.attention_bias
        self.q_proj = nn.Linear(config.hidden_size, config.num_attention_heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, key_value_size, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, key_value_size, bias=bias)
        self.o_proj = nn.Linear(config.num_attention_heads * self.head_dim, config.hidden_size, bias=False)
        if config.use_qk_norm:  # CODEPATH: models that were converted from Qwen3, and not LLaDA-8B
            self.q_norm = LLaDARMSNorm(self.head_dim, eps=config.rms_norm_eps)
            self.k_norm = LLaDARMSNorm(self.head_dim, eps=config.rms_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        cache: Cache | None = None,
        query_positions: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query_states, key_states, value_states = self.project_and_rotate(hidden_states, position_embeddings)
        if query_positions is not None:
            query_states = select_positions(query_states, query_positions)
            attention_mask = mask_of_queries(attention_mask, query_positions)
        input_shape = query_states.shape[:2]
        query_states, key_states, value_states = (
            states.transpose(1, 2) for states in (query_states, key_states, value_states)
        )

        if cache is not None:
            key_states, value_states = cache.update(key_states, value_states, self.layer_idx)

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
        """Queries and keys with the rotary embedding, and values, each `(batch, length, num_heads, head_dim)`."""
        query_states, key_states, value_states = self.project(hidden_states)
        query_states = apply_rotary_pos_emb(query_states, *position_embeddings)
        key_states = apply_rotary_pos_emb(key_states, *position_embeddings)
        return query_states, key_states, value_states

    @property
    def only_rotates(self) -> bool:
        """Whether nothing but the rotation happens to the projections; see `kernels_llada.py`."""
        return not self.config.use_qk_norm

    def project(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values, each `(batch, length, num_heads, head_dim)`."""
        query_states, key_states, value_states = self.project_heads(hidden_states)
        if self.config.use_qk_norm:  # CODEPATH: models that were converted from Qwen3, and not LLaDA-8B
            query_states, key_states = self.q_norm(query_states), self.k_norm(key_states)
        return query_states, key_states, value_states

    def project_heads(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The products alone."""
        hidden_shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        return tuple(project(hidden_states).view(hidden_shape) for project in (self.q_proj, self.k_proj, self.v_proj))


class LLaDAMLP(nn.Module):
    """The SwiGLU feed-forward network: `down(silu(gate(x)) * up(x))`."""

    def __init__(self, config: LLaDAConfig, intermediate_size: int | None = None):
        super().__init__()
        width = config.intermediate_size if intermediate_size is None else intermediate_size
        self.gate_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.down_proj = nn.Linear(width, config.hidden_size, bias=False)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(hidden_states)) * self.up_proj(hidden_states))


class LLaDALayer(GradientCheckpointingLayer):
    """One Transformer layer: attention and feed-forward network, each with a norm before it and a residual around it."""

    attention_class = LLaDAAttention

    def __init__(self, config: LLaDAConfig, layer_idx: int):
        super().__init__()
        self.self_attn = self.attention_class(config, layer_idx)
        self.mlp = self.make_mlp(config, layer_idx)
        self.input_layernorm = LLaDARMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = LLaDARMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
        cache: Cache | None = None,
        query_positions: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        residual = hidden_states if query_positions is None else select_positions(hidden_states, query_positions)
        hidden_states = self.input_layernorm(hidden_states)
        hidden_states, _ = self.self_attn(
            hidden_states=hidden_states,
            position_embeddings=position_embeddings,
            attention_mask=attention_mask,
            cache=cache,
            query_positions=query_positions,
            **kwargs,
        )
        hidden_states = residual + hidden_states

        residual = hidden_states
        hidden_states = self.post_attention_layernorm(hidden_states)
        hidden_states = self.feed_forward(hidden_states, **kwargs)
        return residual + hidden_states

    def make_mlp(self, config: LLaDAConfig, layer_idx: int) -> nn.Module:
        """The feed-forward network. Other families have experts in some layers."""
        return LLaDAMLP(config)

    def feed_forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """What the second half of the layer adds to the residual."""
        return self.mlp(hidden_states)


class LLaDAPreTrainedModel(LLaDAFloat8Mixin, LLaDACheckpointingMixin, PreTrainedModel):
    """Loading, saving and initialisation, shared by the backbone and the mask predictor."""

    config: LLaDAConfig
    config_class = LLaDAConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["LLaDALayer"]
    _skip_keys_device_placement = ["cache", "past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": LLaDALayer, "attentions": LLaDAAttention}


class LLaDAModel(LLaDAPreTrainedModel):
    """
    The backbone: token embedding, Transformer layers and final norm, without the output head.

    Args:
        config ([`LLaDAConfig`]):
            The configuration.
    """

    _keys_to_ignore_on_load_unexpected = [r"lm_head", r"transformer\.ff_out"]
    layer_class = LLaDALayer

    def __init__(self, config: LLaDAConfig):
        super().__init__(config)
        # No `padding_idx`: LLaDA pads with EOS, whose embedding must be trained.
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            [self.layer_class(config, layer_idx) for layer_idx in range(config.num_hidden_layers)]
        )
        self.norm = LLaDARMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary_emb = LLaDARotaryEmbedding(config)
        self.gradient_checkpointing = False

        self.post_init()

    @check_keywords
    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        query_positions: torch.LongTensor | None = None,
        cu_seq_lens_q: torch.IntTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Token ids, including mask tokens.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                1 for tokens, 0 for padding, on either side. A 4-D mask is used as it is.
            position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Positions, by default 0, 1, 2... The rotary embedding is relative, so these also fit left padding.
            cache (`Cache`, *optional*):
                Keys and values of positions that are not recomputed. `past_key_values` is the same argument.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, hidden_size)`, *optional*):
                Embeddings in place of `input_ids`.
            query_positions (`torch.LongTensor` of shape `(num_positions,)` or `(batch, num_positions)`, *optional*):
                The positions of the input whose hidden states are needed; all by default. The last layer computes keys
                and values of every position, and everything else for these alone. With a mask it needs sdpa or eager
                attention.
            cu_seq_lens_q (`torch.IntTensor` of shape `(num_documents + 1,)`, *optional*):
                For documents that share rows, their boundaries in the flattened batch, as collators for packed rows
                give them: 0, then the end of each document; the last end is `batch * length`. Each row begins with a
                document, and its padding is a document too. Each document sees only itself, with any attention
                implementation. `position_ids` that begin again at 0 do not have this effect.
            kwargs (`dict`, *optional*):
                `output_hidden_states`, `output_attentions`, the other lengths of packed documents for flash attention,
                and arguments that the attention function names.

        Returns:
            [`BaseModelOutput`]: `last_hidden_state` after the final norm, of shape `(batch, length, hidden_size)`, or
            `(batch, num_positions, hidden_size)` with `query_positions`.

        Raises:
            `TypeError`: if nothing reads a keyword argument.
            `ValueError`: if not exactly one of `input_ids` and `inputs_embeds` is given; if the mask of the attention
                implementation has no dimension for `query_positions`; or if `cu_seq_lens_q` does not cover the batch
                (checked on a CPU), comes with a mask, a cache or `query_positions`, or needs another attention
                implementation.

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
            check_packed(attention_mask, cache, query_positions)
            kwargs = flash_attention_lengths(cu_seq_lens_q, kwargs)
        kwargs = kwargs | self.arguments_of_layers(inputs_embeds, attention_mask, position_ids, cache)
        attention_mask = attention_mask_of(self.config, inputs_embeds, attention_mask, cache, cu_seq_lens_q)
        position_embeddings = self.rotary_emb(inputs_embeds, position_ids)

        hidden_states = inputs_embeds
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                attention_mask=attention_mask,
                position_embeddings=position_embeddings,
                cache=cache,
                query_positions=query_positions if layer is self.layers[-1] else None,
                **kwargs,
            )
        hidden_states = self.norm(hidden_states)

        return BaseModelOutput(last_hidden_state=hidden_states)

    def arguments_of_layers(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.LongTensor,
        cache: Cache | None,
    ) -> dict:
        """What another family tells its layers beside the mask and the positions, as they are given to the model."""
        return {}


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
    # On this class, because `PreTrainedModel` comes before the mixin and has this attribute too.
    generation_config_class = LLaDAGenerationConfig
    backbone_class = LLaDAModel
    _checked_mode: bool | None = None

    def __init__(self, config: LLaDAConfig):
        super().__init__(config)
        self.model = self.backbone_class(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        query_positions: torch.LongTensor | None = None,
        masked_positions: torch.LongTensor | None = None,
        loss_chunk_size: int | None = 1024,
        loss_entropies: bool = False,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedLMOutput | LLaDAMaskedLossOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Token ids, including mask tokens.
            attention_mask (`torch.Tensor` of shape `(batch, length)`, *optional*):
                1 for tokens, 0 for padding, on either side.
            position_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                Positions, by default 0, 1, 2...
            cache (`Cache`, *optional*):
                Keys and values of positions that are not recomputed. `past_key_values` is the same argument.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, length, hidden_size)`, *optional*):
                Embeddings in place of `input_ids`.
            labels (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                The original tokens, and -100 where they have no loss. The loss is the mean cross-entropy, not shifted,
                and without the weight 1/t of the training objective, which the trainers apply.
            logits_to_keep (`int` or `torch.Tensor`, *optional*, defaults to 0):
                The positions whose logits are computed: the last `n` (0: all), a 1-D tensor of positions, a 2-D tensor
                of positions for each row, or a 2-D boolean mask, which gives logits of shape `(num_true, vocab_size)`.
                The same positions of `labels` are used.
            query_positions (`torch.LongTensor` of shape `(num_positions,)` or `(batch, num_positions)`, *optional*):
                The only positions whose logits can be needed; see [`LLaDAModel.forward`]. `logits_to_keep` then selects
                among these `num_positions` positions.
            masked_positions (`torch.LongTensor` of shape `(num_positions,)`, *optional*):
                Positions in the flattened batch, -1 for none. With them, only the losses of these positions are
                returned, which need `labels`; see [`masked_losses`].
            loss_chunk_size (`int`, *optional*, defaults to 1024):
                The number of `masked_positions` whose logits are in memory at a time. `None`: all.
            loss_entropies (`bool`, *optional*, defaults to `False`):
                Whether the output with `masked_positions` has the `entropies` of what is predicted for them.
            kwargs (`dict`, *optional*):
                Further arguments of [`LLaDAModel.forward`], such as `cu_seq_lens_q`, and `num_items_in_batch`, by which
                the sum of the loss is divided instead of the number of labels.

        Returns:
            [`MaskedLMOutput`]: `logits` of shape `(batch, length, vocab_size)`, and `loss` if `labels` are given.
            Attentions need `attn_implementation="eager"`. With `masked_positions` it is a [`LLaDAMaskedLossOutput`].

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
        if masked_positions is not None and (labels is None or query_positions is not None):
            raise ValueError("`masked_positions` needs `labels`, the clean tokens, and no `query_positions`.")
        inputs = inputs_embeds if input_ids is None else input_ids
        if masked_positions is not None and inputs is not None:
            check_masked_losses(inputs.shape[:2], labels, masked_positions, loss_chunk_size)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            cache=cache,
            inputs_embeds=inputs_embeds,
            query_positions=query_positions,
            **kwargs,
        )
        if masked_positions is not None:
            hidden_states = outputs.last_hidden_state
            options = loss_chunk_size, loss_entropies
            scores = masked_losses(hidden_states, labels, masked_positions, self.lm_head, *options)
            return LLaDAMaskedLossOutput(**scores, router_logits=outputs.get("router_logits"))
        logits = self.lm_head(select_positions(outputs.last_hidden_state, logits_to_keep))

        loss = None
        if labels is not None:
            if input_ids is not None and self._checked_mode is not self.training and not torch.compiler.is_compiling():
                self._warn_if_nothing_is_masked(input_ids, labels)
            if query_positions is not None:
                labels = select_positions(labels, query_positions)
            # Contiguous: the loss function flattens with `view`.
            labels = select_positions(labels, logits_to_keep).contiguous()
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)

        return self.output_of(outputs, logits, loss, attention_mask)

    def output_of(
        self,
        outputs: BaseModelOutput,
        logits: torch.Tensor,
        loss: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
    ) -> MaskedLMOutput:
        """The output of a forward pass. Other families add to it what the backbone has recorded."""
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )

    def _warn_if_nothing_is_masked(self, input_ids: torch.LongTensor, labels: torch.LongTensor) -> None:
        # Once in training and once in evaluation, because the host waits for the device here.
        self._checked_mode = self.training
        has_label = labels != -100
        is_masked = (input_ids == self.config.mask_token_id) & has_label
        if not input_ids.is_meta and has_label.any() & ~is_masked.any():
            logger.warning_once(
                "No position with a label has the mask token, so this loss only tells how well the model copies its input. "
                "Mask the inputs first (see `modeling_llada.models.diffusion_llada`), or use a trainer of "
                "`modeling_llada.training`, or `log_likelihood` for the score of a text."
            )


def select_positions(sequence: torch.Tensor, logits_to_keep: int | torch.Tensor) -> torch.Tensor:
    """Selects positions of a `(batch, length, ...)` tensor; see `logits_to_keep` of [`LLaDAForMaskedLM.forward`]."""
    if isinstance(logits_to_keep, int):
        return sequence[:, -logits_to_keep:] if logits_to_keep else sequence
    logits_to_keep = logits_to_keep.to(sequence.device)  # The last layer of a large model can be on another device.
    if logits_to_keep.dtype == torch.bool and logits_to_keep.ndim == 2:
        return sequence[logits_to_keep]
    if logits_to_keep.ndim == 2:
        index = logits_to_keep.view(*logits_to_keep.shape, *[1] * (sequence.ndim - 2))
        return torch.take_along_dim(sequence, index, dim=1)
    return sequence[:, logits_to_keep]


register_weight_renamings("LLaDAModel", BACKBONE_RENAMINGS)
register_weight_renamings("LLaDAForMaskedLM", LLADA_WEIGHT_RENAMINGS)

# `save_pretrained` copies the files of registered classes, and all that they import, into the saved folder.
LLaDAConfig.register_for_auto_class()
LLaDAModel.register_for_auto_class("AutoModel")
LLaDAForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")


__all__ = ["LLaDAForMaskedLM", "LLaDAModel", "LLaDAPreTrainedModel"]
