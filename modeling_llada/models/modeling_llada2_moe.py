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
"""PyTorch LLaDA2 model (https://huggingface.co/papers/2512.15745), of LLaDA2.0, 2.1 and 2.2.

The network of LLaDA with experts in all layers but the first, which are chosen by sigmoids, norms of queries and keys, heads
that are rotated in part, and attention that is causal between blocks: a position sees its own block and those before it.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.core_model_loading import (
    Concatenate,
    ConversionOps,
    WeightConverter,
    WeightRenaming,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter
from transformers.utils.generic import maybe_autocast
from transformers.utils.output_capturing import OutputRecorder

from .attention_mask_llada import block_causal_mask
from .block_diffusion_llada2_moe import check_beside_clean, inputs_beside_clean
from .blocks_llada import BlockGeometry
from .configuration_llada2_moe import LLaDA2MoeConfig
from .experts_llada_moe import LLaDAExperts, MixtureOfExpertsMixin, register_expert_conversions
from .modeling_llada import (
    LLaDAAttention,
    LLaDAForMaskedLM,
    LLaDALayer,
    LLaDAMLP,
    LLaDAModel,
    LLaDAPreTrainedModel,
    select_positions,
)
from .modeling_llada_moe import LLaDAMoeMaskedLMOutput


# Without the name of the attention, which some releases of transformers rename before this, and others after it.
FUSED = ".query_key_value.weight"
PROJECTIONS = [f".{name}_proj.weight" for name in "qkv"]
BLOCKS = BlockGeometry("absolute", sees_suffix=False, attention="block_causal")


class LLaDA2MoeAttention(LLaDAAttention):
    """The attention of LLaDA. It is causal between blocks by its mask."""


class LLaDA2MoeRouter(Qwen3MoeTopKRouter):
    """
    Chooses the experts of each token by sigmoids, computed in float32. A bias takes part in the choice, and not in the weights
    of the chosen ones, which add up to `routed_scaling_factor`.
    """

    def __init__(self, config: LLaDA2MoeConfig):
        super().__init__(config)
        self.num_groups, self.num_chosen_groups = config.n_group, config.topk_group
        self.scaling_factor = config.routed_scaling_factor
        self.capacity = config.expert_capacity
        # CODEPATH: all published checkpoints have the bias; the official code can do without it.
        zeros = torch.zeros(self.num_experts, dtype=torch.float) if config.moe_router_enable_expert_bias else None
        self.expert_bias = None if zeros is None else nn.Buffer(zeros)

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        exact = self.expert_bias
        super()._apply(fn, recurse)
        # `model.to(torch.bfloat16)` must move the bias without rounding: a step of training moves it by less than that.
        if exact is not None and self.expert_bias.dtype != torch.float32:
            self.expert_bias = exact.to(self.expert_bias.device, torch.float)
        return self

    def forward(
        self,
        hidden_states: torch.Tensor,
        block_of_token: torch.LongTensor | None = None,
        is_real: torch.BoolTensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        The logits, and the weights and the indices of the chosen experts, `(num_tokens, num_experts_per_tok)`, in float32. With
        block routing also the block of each token, `(batch, length)`, and which tokens are no padding.
        """
        router_logits = self.logits_of(hidden_states)
        allowed = None
        if block_of_token is not None:
            choice = selection_scores(router_logits.sigmoid(), self.expert_bias)
            allowed = self.shared_by_blocks(choice.view(*block_of_token.shape, -1), block_of_token, is_real)
            allowed = allowed.flatten(0, 1)
        options = self.top_k, self.num_groups, self.num_chosen_groups, self.scaling_factor
        return router_logits, *self.choose_experts(router_logits, self.expert_bias, allowed, *options)

    def logits_of(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The logits of all experts in float32."""
        with maybe_autocast(hidden_states.device.type, enabled=False):  # autocast would round the logits
            return nn.functional.linear(hidden_states.float(), self.weight.float())

    @staticmethod
    def choose_experts(
        router_logits: torch.Tensor,
        expert_bias: torch.Tensor | None,
        allowed: torch.BoolTensor | None,
        top_k: int,
        num_groups: int,
        num_chosen_groups: int,
        scaling_factor: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights and the indices of the chosen experts, out of those that are `allowed` or of the best groups."""
        scores = router_logits.sigmoid()
        choice = selection_scores(scores, expert_bias)
        if allowed is not None:
            choice = choice.masked_fill(~allowed, -torch.inf)
        elif num_groups > 1:
            choice = in_best_groups(choice, num_groups, num_chosen_groups)
        index = choice.topk(top_k, dim=-1).indices
        weights = scores.gather(-1, index)
        return weights / (weights.sum(-1, keepdim=True) + 1e-20) * scaling_factor, index

    def shared_by_blocks(
        self, choice: torch.Tensor, block_of_token: torch.LongTensor, is_real: torch.BoolTensor | None
    ) -> torch.BoolTensor:
        """The experts that the tokens of a block share: the best ones, by the most that an expert is to one of the tokens."""
        index = block_of_token[..., None].expand_as(choice)
        counted = choice if is_real is None else choice.masked_fill(~is_real[..., None], -torch.inf)
        most = torch.full_like(choice, -torch.inf).scatter_reduce(1, index, counted, "amax")
        shared = torch.zeros_like(choice, dtype=torch.bool).scatter(-1, most.topk(self.capacity, dim=-1).indices, True)
        return shared.gather(1, index)


def selection_scores(scores: torch.Tensor, expert_bias: torch.Tensor | None) -> torch.Tensor:
    """What experts are chosen by: their scores and the bias."""
    return scores.detach() if expert_bias is None else scores.detach() + expert_bias


def in_best_groups(choice: torch.Tensor, num_groups: int, num_chosen: int) -> torch.Tensor:
    """The same numbers, minus infinity outside of the best groups of each token by the sum of the two best experts of a group."""
    groups = choice.unflatten(-1, (num_groups, -1))
    best = groups.topk(2, dim=-1).values.sum(-1).topk(num_chosen, dim=-1).indices
    outside = torch.full(groups.shape[:-1], -torch.inf, device=choice.device).scatter(-1, best, 0.0)
    return (groups + outside.unsqueeze(-1)).flatten(-2)


class LLaDA2MoeSparseMLP(nn.Module):
    """The experts of a layer, the router that sends each token to some of them, and the expert that sees all tokens."""

    def __init__(self, config: LLaDA2MoeConfig):
        super().__init__()
        self.gate = LLaDA2MoeRouter(config)
        self.experts = LLaDAExperts(config)
        width = config.moe_intermediate_size * config.num_shared_experts
        self.shared_experts = LLaDAMLP(config, width) if width else None

    def forward(self, hidden_states: torch.Tensor, **routing: torch.Tensor) -> torch.Tensor:
        tokens = hidden_states.reshape(-1, hidden_states.shape[-1])
        _, weights, index = self.gate(tokens, **routing)
        outputs = self.experts(tokens, index, weights).view_as(hidden_states)
        return outputs if self.shared_experts is None else outputs + self.shared_experts(hidden_states)


class LLaDA2MoeLayer(LLaDALayer):
    """One Transformer layer, with experts or with a dense feed-forward network."""

    attention_class = LLaDA2MoeAttention

    def forward(
        self,
        hidden_states: torch.Tensor,
        query_positions: torch.LongTensor | None = None,
        routing: dict[str, torch.Tensor] | None = None,
        **kwargs,
    ) -> torch.Tensor:
        if routing is not None and query_positions is not None:
            routing = {name: select_positions(values, query_positions) for name, values in routing.items()}
            routing["block_of_token"] = number_blocks(routing["block_of_token"].diff(dim=-1) != 0)
        return super().forward(hidden_states, query_positions=query_positions, routing=routing, **kwargs)

    def make_mlp(self, config: LLaDA2MoeConfig, layer_idx: int) -> nn.Module:
        """The experts, or in the first layers a dense feed-forward network."""
        # CODEPATH: in all published checkpoints the first layer is dense, and the others have experts.
        return LLaDAMLP(config) if layer_idx < config.first_k_dense_replace else LLaDA2MoeSparseMLP(config)

    def feed_forward(
        self, hidden_states: torch.Tensor, routing: dict[str, torch.Tensor] | None = None, **kwargs
    ) -> torch.Tensor:
        """What the second half of the layer adds to the residual."""
        is_sparse = isinstance(self.mlp, LLaDA2MoeSparseMLP)
        return self.mlp(hidden_states, **(routing or {})) if is_sparse else self.mlp(hidden_states)


class SplitProjections(ConversionOps):
    """Splits the rows of queries, keys and values, which files have in one tensor."""

    @torch.no_grad()
    def convert(
        self, input_dict: dict, source_patterns: list[str], target_patterns: list[str], config, **kwargs
    ) -> dict:
        [fused] = input_dict.values()
        fused = fused[0] if isinstance(fused, list) else fused
        return dict(zip(target_patterns, split_projections(fused, config), strict=True))

    @property
    def reverse_op(self) -> ConversionOps:
        return Concatenate(dim=0)


def split_projections(fused: torch.Tensor, config: LLaDA2MoeConfig) -> list[torch.Tensor]:
    """The rows of queries, keys and values. If they do not fit the config, the values have another size than it says."""
    num_queries, num_keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    return [part.contiguous() for part in fused.tensor_split([num_queries, num_queries + num_keys])]


def check_quantizer(quantizer) -> None:
    """Raises a `ValueError` for a method that does not quantize queries, keys and values of one tensor one by one."""
    method = None if quantizer is None else quantizer.quantization_config.quant_method
    if method not in (None, "bitsandbytes"):
        raise ValueError(
            "`quantization_config` must be a `BitsAndBytesConfig` for LLaDA2, whose files have queries, keys and values in one "
            f"tensor, but got the method {getattr(method, 'value', method)!r}. Use one, or leave it out."
        )


def check_distribution(config: LLaDA2MoeConfig) -> None:
    """Raises a `ValueError` if transformers would shard queries, keys and values of one tensor before they are split."""
    distributed_config = getattr(config, "distributed_config", None)
    size = getattr(distributed_config, "fsdp_size", None) or 1
    if size > 1:
        raise ValueError(
            f"`distributed_config` must have `fsdp_size=1` for LLaDA2, whose files have queries, keys and values in one tensor, but "
            f"got {size}. Shard the loaded model by `accelerate launch` with FSDP2, or spread it by `tp_size` and `ep_size`."
        )


class LLaDA2MoeMixin(MixtureOfExpertsMixin):
    """What the backbone and the mask predictor share."""

    config: LLaDA2MoeConfig
    config_class = LLaDA2MoeConfig
    weight_renamings = [
        WeightRenaming(r"word_embeddings\.", r"embed_tokens\."),
        WeightRenaming(r"\.attention\.", r"\.self_attn\."),
        WeightRenaming(r"\.dense\.", r"\.o_proj\."),
        WeightRenaming(r"\.query_layernorm\.", r"\.q_norm\."),
        WeightRenaming(r"\.key_layernorm\.", r"\.k_norm\."),
    ]
    _no_split_modules = ["LLaDA2MoeLayer"]
    _keep_in_fp32_modules_strict = ["expert_bias"]  # it is near to the differences that it decides about
    _can_record_outputs = LLaDAPreTrainedModel._can_record_outputs | {
        "router_logits": OutputRecorder(LLaDA2MoeRouter, index=0)
    }

    @staticmethod
    def _load_pretrained_model(model, state_dict, checkpoint_files, load_config, *args, **kwargs) -> tuple:
        check_quantizer(load_config.hf_quantizer)
        check_distribution(model.config)
        # Those of dFactory, which trains with the experts of a layer in one tensor. They are saved like all others.
        merged = [f"mlp.experts.{name}_proj" for name in ("gate", "up")]
        converter = WeightConverter(merged, "mlp.experts.gate_up_proj", operations=[Concatenate(dim=1)])
        load_config = replace(load_config, weight_mapping=[*(load_config.weight_mapping or []), converter])
        return LLaDAPreTrainedModel._load_pretrained_model(
            model, state_dict, checkpoint_files, load_config, *args, **kwargs
        )

    def save_pretrained(self, save_directory, **kwargs):
        """
        See [`LLaDAPreTrainedModel.save_pretrained`].

        Raises:
            `ValueError`: if the weights are quantized.
        """
        if getattr(self.config, "quantization_config", None) is not None:
            raise ValueError(
                "`save_pretrained` needs plain weights for LLaDA2, since files have queries, keys and values in one tensor. Keep "
                "the folder that the model was loaded from, and pass its `quantization_config` again."
            )
        super().save_pretrained(save_directory, **kwargs)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        # `from_pretrained` splits the projections of a file. Everyone else who reads it comes through here.
        for key in [key for key in state_dict if key.startswith(prefix) and key.endswith(".query_key_value.weight")]:
            parts = split_projections(state_dict.pop(key), self.config)
            state_dict |= {
                key.replace("query_key_value", f"{name}_proj"): part for name, part in zip("qkv", parts, strict=True)
            }
        for key in [key for key in state_dict if key.startswith(prefix) and key.endswith(".mlp.experts.gate_proj")]:
            if (up := key.replace("gate_proj", "up_proj")) in state_dict:
                parts = [state_dict.pop(key), state_dict.pop(up)]
                state_dict[key.replace("gate_proj", "gate_up_proj")] = torch.cat(parts, dim=1)
        super()._load_from_state_dict(state_dict, prefix, *args)


class LLaDA2MoeModel(LLaDA2MoeMixin, LLaDAModel):
    """
    The backbone: token embedding, Transformer layers and final norm, without the output head.

    Args:
        config ([`LLaDA2MoeConfig`]):
            The configuration.
    """

    layer_class = LLaDA2MoeLayer

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        cache: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        block_length: int | None = None,
        clean_ids: torch.LongTensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        r"""
        See [`LLaDAModel.forward`]. It has these arguments more.

        Args:
            block_length (`int`, *optional*):
                The length of blocks, which are counted from the first token of each row. A position then sees its own block
                and those before it. By default every position sees every other, as in the official code without a mask.
            clean_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*):
                The rows without noise, for training and scores: `input_ids` are then the noisy ones, each block of which is
                computed behind the clean blocks before it, as in generation. The output is that of the noisy rows. The
                numbers of `attention_mask` then may be those of documents that share a row and do not see each other, 0 for
                padding; blocks are counted from the beginning of each document.

        Raises:
            `ValueError`: if `block_length` comes with a cache or a 4-D mask, which say themselves what is seen, or with an
                attention that takes no such mask; if it is not `config.block_size` in a model that routes blocks; or if
                `clean_ids` come without it, with other arguments than these, or are of another shape.
        """
        if clean_ids is not None:
            others = {"position_ids": position_ids, "cache": cache, "inputs_embeds": inputs_embeds} | {
                name: kwargs.pop(name, None) for name in ("query_positions", "cu_seq_lens_q", "past_key_values")
            }
            check_beside_clean(input_ids, clean_ids, attention_mask, others)
            geometry_of(self.config).check_blocks(block_length, self.config._attn_implementation)
            form = self.config._attn_implementation, self.dtype
            inputs = inputs_beside_clean(input_ids, clean_ids, attention_mask, block_length, *form)
            return super().forward(**inputs, **kwargs)
        inputs = input_ids if inputs_embeds is None else inputs_embeds
        is_whole = cache is None and attention_mask is not None and attention_mask.ndim == 2
        if position_ids is None and is_whole:
            # The router's blocks count from the first token of a row, too.
            first = attention_mask.long().argmax(-1, keepdim=True)
            position_ids = (torch.arange(attention_mask.shape[1], device=first.device) - first).clamp(min=0)
        if block_length is not None and inputs is not None:
            attention_mask = self.mask_of_blocks(inputs, attention_mask, cache, block_length)
        return super().forward(
            input_ids, attention_mask, position_ids, cache=cache, inputs_embeds=inputs_embeds, **kwargs
        )

    def mask_of_blocks(
        self,
        inputs: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: Cache | None,
        block_length: int,
    ) -> torch.Tensor:
        """The mask of whole rows, of which a position sees its own block and those before it."""
        if cache is not None or (attention_mask is not None and attention_mask.ndim != 2):
            raise ValueError(
                "`block_length` makes the mask of whole rows. With a cache or a mask of your own, pass a 4-D `attention_mask` "
                "that says what each position sees, and leave it out."
            )
        geometry_of(self.config).check_blocks(block_length, self.config._attn_implementation)
        if attention_mask is None:
            attention_mask = torch.ones(inputs.shape[:2], dtype=torch.long, device=inputs.device)
        blocks = BLOCKS.block_ids(attention_mask.long(), block_length)
        return block_causal_mask(blocks, blocks, attention_mask, self.config._attn_implementation, self.dtype)

    def arguments_of_layers(
        self,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.LongTensor,
        cache: Cache | None,
    ) -> dict[str, dict[str, torch.Tensor]]:
        """For block routing: the block of each token, numbered from 0 in each row, and which tokens are no padding."""
        if self.config.expert_capacity is None:  # CODEPATH: LLaDA2.0 and 2.1; blocks share experts in LLaDA2.2
            return {}
        position_ids = position_ids.expand(inputs_embeds.shape[:2])
        blocks = position_ids // self.config.block_size
        # A row may hold positions twice, such as noisy tokens and then the clean ones. Then a new block begins.
        begins = (blocks.diff(dim=-1) != 0) | (position_ids.diff(dim=-1) <= 0)
        routing = {"block_of_token": number_blocks(begins)}
        if attention_mask is not None and cache is None:  # with a cache, what is recomputed is no padding
            routing["is_real"] = real_tokens(attention_mask).expand(inputs_embeds.shape[:2])
        return {"routing": routing}


class LLaDA2MoeForMaskedLM(LLaDA2MoeMixin, LLaDAForMaskedLM):
    """
    The mask predictor: the backbone with an output head, which predicts all mask tokens of a sequence at once.

    Args:
        config ([`LLaDA2MoeConfig`]):
            The configuration.

    Example:

    ```python
    >>> import modeling_llada  # registers the classes
    >>> from transformers import AutoModelForMaskedLM

    >>> model = AutoModelForMaskedLM.from_pretrained("inclusionAI/LLaDA2.0-mini", dtype="bfloat16")
    ```
    """

    backbone_class = LLaDA2MoeModel

    def __init__(self, config: LLaDA2MoeConfig):
        super().__init__(config)
        self.block_geometry = geometry_of(config)

    def output_of(
        self,
        outputs: BaseModelOutput,
        logits: torch.Tensor,
        loss: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
    ) -> LLaDAMoeMaskedLMOutput:
        """The output of a forward pass, with the logits of the routers if they were asked for."""
        plain = super().output_of(outputs, logits, loss, attention_mask)
        return LLaDAMoeMaskedLMOutput(**plain, router_logits=outputs.get("router_logits"))


def geometry_of(config: LLaDA2MoeConfig) -> BlockGeometry:
    """The blocks of a model. Where experts are shared by blocks, they have one length."""
    # CODEPATH: LLaDA2.0 and 2.1 have no capacity, LLaDA2.2 has one.
    return BLOCKS if config.expert_capacity is None else replace(BLOCKS, block_length=config.block_size)


def number_blocks(begins: torch.BoolTensor) -> torch.LongTensor:
    """The number of the block of each position, `(batch, length)`, from where a new block begins, `(batch, length - 1)`."""
    return nn.functional.pad(begins.long().cumsum(-1), (1, 0))


def real_tokens(attention_mask: torch.Tensor) -> torch.BoolTensor:
    """The tokens of whole rows that are no padding, `(batch, length)`: with a 4-D mask, those that see themselves."""
    if attention_mask.ndim == 2:
        return attention_mask.bool()
    itself = attention_mask[:, 0].expand(-1, attention_mask.shape[-1], -1).diagonal(dim1=-2, dim2=-1)
    return itself if itself.dtype == torch.bool else itself == 0


# Queries, keys and values of a file become one tensor each; the renamings come first at loading, and last at saving.
register_expert_conversions(
    LLaDA2MoeConfig.model_type,
    [*LLaDA2MoeMixin.weight_renamings, WeightConverter(FUSED, PROJECTIONS, operations=[SplitProjections()])],
)

# `save_pretrained` copies the files of registered classes, and all that they import, into the saved folder.
LLaDA2MoeConfig.register_for_auto_class()
LLaDA2MoeModel.register_for_auto_class("AutoModel")
LLaDA2MoeForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")


__all__ = ["LLaDA2MoeForMaskedLM", "LLaDA2MoeModel"]
