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
"""PyTorch LLaDA-MoE model (https://huggingface.co/papers/2509.24389).

The network of LLaDA with a mixture of experts as its feed-forward network, norms of queries and keys, and the rotary embedding in
the dtype of the model.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers.core_model_loading import WeightRenaming
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter, load_balancing_loss_func
from transformers.utils.output_capturing import OutputRecorder

from .configuration_llada_moe import LLaDAMoeConfig
from .experts_llada_moe import LLaDAExperts, MixtureOfExpertsMixin, register_expert_conversions
from .modeling_llada import LLaDAAttention, LLaDAForMaskedLM, LLaDALayer, LLaDAMLP, LLaDAModel, LLaDAPreTrainedModel


@dataclass
class LLaDAMoeMaskedLMOutput(MaskedLMOutput):
    """
    Output of a [`LLaDAMoeForMaskedLM`]: that of a [`LLaDAForMaskedLM`], and what the routers did.

    Args:
        router_logits (`tuple[torch.FloatTensor]`, *optional*):
            With `output_router_logits=True`: the logits of the router of each layer with experts, each of shape
            `(batch * length, num_experts)`.
        aux_loss (`torch.FloatTensor`, *optional*):
            With `output_router_logits=True` and `labels`: the load-balancing loss, which `loss` contains times
            `config.router_aux_loss_coef`.
    """

    router_logits: tuple[torch.FloatTensor, ...] | None = None
    aux_loss: torch.FloatTensor | None = None


class LLaDAMoeAttention(LLaDAAttention):
    """The attention of LLaDA with a limit of queries, keys and values."""

    @property
    def only_rotates(self) -> bool:
        """Whether nothing but the rotation happens to the projections."""
        return super().only_rotates and self.config.clip_qkv is None

    def project(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values, each `(batch, length, num_heads, head_dim)`."""
        states = super().project(hidden_states)
        limit = self.config.clip_qkv
        return states if limit is None else tuple(state.clamp(-limit, limit) for state in states)


class LLaDAMoeRouter(Qwen3MoeTopKRouter):
    """
    Chooses the experts of each token by their probabilities, computed in float32. The weights of the chosen ones are not made
    to sum up to 1, whatever `norm_topk_prob` says, as in the official code.
    """

    def __init__(self, config: LLaDAMoeConfig):
        super().__init__(config)
        # CODEPATH: the official code has the bias; LLaDA-MoE-7B-A1B does not use it.
        self.expert_bias = nn.Buffer(torch.zeros(self.num_experts)) if config.moe_router_enable_expert_bias else None

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The logits, and the weights and the indices of the chosen experts, `(num_tokens, num_experts_per_tok)`."""
        router_logits = nn.functional.linear(hidden_states, self.weight)
        return router_logits, *self.choose_experts(router_logits, self.expert_bias, self.top_k)

    @staticmethod
    def choose_experts(
        router_logits: torch.Tensor, expert_bias: torch.Tensor | None, top_k: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights and the indices of the chosen experts."""
        scores = router_logits.softmax(dim=-1, dtype=torch.float)
        if expert_bias is not None:
            scores = scores + expert_bias  # it stays in the weights, too
        weights, index = scores.topk(top_k, dim=-1)
        return weights.to(router_logits.dtype), index


class LLaDAMoeSparseMLP(nn.Module):
    """The experts of a layer, and the router that sends each token to some of them."""

    def __init__(self, config: LLaDAMoeConfig):
        super().__init__()
        self.gate = LLaDAMoeRouter(config)
        self.experts = LLaDAExperts(config)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        tokens = hidden_states.reshape(-1, hidden_states.shape[-1])
        _, weights, index = self.gate(tokens)
        return self.experts(tokens, index, weights).view_as(hidden_states)


class LLaDAMoeLayer(LLaDALayer):
    """One Transformer layer, with experts or with a dense feed-forward network."""

    attention_class = LLaDAMoeAttention

    def __init__(self, config: LLaDAMoeConfig, layer_idx: int):
        super().__init__(config, layer_idx)
        # CODEPATH: the official code has a shared expert in layers with experts; LLaDA-MoE-7B-A1B has none.
        width = config.shared_expert_intermediate_size if config.moe_layer_freq[layer_idx] else None
        self.shared_expert = None if width is None else LLaDAMLP(config, width)

    def make_mlp(self, config: LLaDAMoeConfig, layer_idx: int) -> nn.Module:
        """The experts, or a dense feed-forward network."""
        # CODEPATH: the official code has dense layers, too; all layers of LLaDA-MoE-7B-A1B have experts.
        return LLaDAMoeSparseMLP(config) if config.moe_layer_freq[layer_idx] else LLaDAMLP(config)

    def feed_forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """What the second half of the layer adds to the residual."""
        outputs = self.mlp(hidden_states)
        return outputs if self.shared_expert is None else outputs + self.shared_expert(hidden_states)


class LLaDAMoeMixin(MixtureOfExpertsMixin):
    """What the backbone and the mask predictor share."""

    config: LLaDAMoeConfig
    config_class = LLaDAMoeConfig
    weight_renamings = [WeightRenaming(r"\.mlp\.expert_bias", r"\.mlp\.gate\.expert_bias")]
    _no_split_modules = ["LLaDAMoeLayer"]
    _can_record_outputs = LLaDAPreTrainedModel._can_record_outputs | {
        "router_logits": OutputRecorder(LLaDAMoeRouter, index=0)
    }


class LLaDAMoeModel(LLaDAMoeMixin, LLaDAModel):
    """
    The backbone: token embedding, Transformer layers and final norm, without the output head.

    Args:
        config ([`LLaDAMoeConfig`]):
            The configuration.
    """

    layer_class = LLaDAMoeLayer


class LLaDAMoeForMaskedLM(LLaDAMoeMixin, LLaDAForMaskedLM):
    """
    The mask predictor: the backbone with an output head, which predicts all mask tokens of a sequence at once.

    Args:
        config ([`LLaDAMoeConfig`]):
            The configuration.

    Example:

    ```python
    >>> import modeling_llada  # registers the classes
    >>> from transformers import AutoModelForMaskedLM

    >>> model = AutoModelForMaskedLM.from_pretrained("inclusionAI/LLaDA-MoE-7B-A1B-Instruct", dtype="bfloat16")
    ```
    """

    backbone_class = LLaDAMoeModel

    def output_of(
        self,
        outputs: BaseModelOutput,
        logits: torch.Tensor,
        loss: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
    ) -> LLaDAMoeMaskedLMOutput:
        """The output of a forward pass, with the logits of the routers and the load-balancing loss if they were asked for."""
        plain = super().output_of(outputs, logits, loss, attention_mask)
        output = LLaDAMoeMaskedLMOutput(**plain, router_logits=outputs.get("router_logits"))
        if loss is not None and output.router_logits is not None:
            mask = attention_mask if attention_mask is not None and attention_mask.ndim == 2 else None
            sizes = self.config.num_experts, self.config.num_experts_per_tok
            output.aux_loss = load_balancing_loss_func(output.router_logits, *sizes, mask)
            output.loss = loss + self.config.router_aux_loss_coef * output.aux_loss.to(loss.device)
        return output


register_expert_conversions(LLaDAMoeConfig.model_type, LLaDAMoeMixin.weight_renamings)

# `save_pretrained` copies the files of registered classes, and all that they import, into the saved folder.
LLaDAMoeConfig.register_for_auto_class()
LLaDAMoeModel.register_for_auto_class("AutoModel")
LLaDAMoeForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")


__all__ = ["LLaDAMoeForMaskedLM", "LLaDAMoeModel"]
