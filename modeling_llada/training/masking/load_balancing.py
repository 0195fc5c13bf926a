# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The load-balancing loss of LLaDA-MoE (https://huggingface.co/papers/2101.03961, eq. 4 to 6) in the trainers.

Over the N tokens of a forward pass, in all layers with experts, with f_e the experts' shares of the choices and P_e their mean
probabilities,

    L_balance = E sum_e f_e P_e,   f_e = 1/N sum_n 1[token n is sent to expert e],   P_e = 1/N sum_n p_e(n)

It is at least `num_experts_per_tok`, where all experts have the same load. As a product of two means it is defined for the tokens
of one pass, and not a sum over them. So the loss of a step is the mean over its micro-batches and processes, each weighted by its
share in the rest of the loss; another division into micro-batches balances other sets of tokens.
"""

import torch
from accelerate import Accelerator
from transformers import PreTrainedConfig
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func


def has_balancing_loss(config: PreTrainedConfig) -> bool:
    """Whether a family is trained with the loss. The file of another one can also hold the field, which then has no effect."""
    return hasattr(type(config), "router_aux_loss_coef")


class LoadBalancing:
    """
    The load-balancing loss of each forward pass, and its mean since the last log line, which is kept on the device.

    Args:
        config ([`LLaDAMoeConfig`]):
            The configuration of the model.
        coefficient (`float`):
            What the loss is multiplied by.
        device (`torch.device`):
            The device of the sums.
    """

    # What asks the model for the logits of its routers.
    arguments = {"output_router_logits": True}

    def __init__(self, config: PreTrainedConfig, coefficient: float, device: torch.device):
        self.sizes = config.num_experts, config.num_experts_per_tok
        self.coefficient = coefficient
        self.sums = torch.zeros(2, device=device)

    def weighted_loss(
        self, router_logits: tuple[torch.Tensor, ...], is_real: torch.Tensor, share: torch.Tensor | float
    ) -> torch.FloatTensor:
        """
        What a forward pass adds to the loss: the logits of the routers, `(tokens, num_experts)` each, which tokens count, and
        the share of the pass in the loss of the global batch.
        """
        is_real = is_real.bool()
        is_real = is_real | ~is_real.any()  # a pass without a token that counts has the share 0, and must not give NaN
        loss = load_balancing_loss_func(router_logits, *self.sizes, is_real)
        share = torch.as_tensor(share, dtype=torch.float, device=self.sums.device)
        self.sums += torch.stack([loss.detach() * share, share])
        return self.coefficient * loss * share

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """The mean over all processes since the last call. All processes must call it."""
        loss, share = accelerator.reduce(self.sums, "sum").tolist()
        self.sums.zero_()
        return {"aux_loss": loss / share} if share else {}
