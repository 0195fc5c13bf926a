# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Balances the experts of LLaDA2 by the bias of its routers, without a loss (https://huggingface.co/papers/2408.15664).

The bias b_e of an expert takes part in the choice of experts, and not in their weights. After each step of the optimizer, with c_e
the number of tokens of the global batch that were sent to expert e,

    b_e <- b_e + u sign(mean_e' c_e' - c_e)

No gradient reaches the bias. It is a part of the weights, and so of each checkpoint.
"""

import torch
from torch import distributed, nn
from transformers import Trainer, TrainerCallback

from ..models.modeling_llada2_moe import LLaDA2MoeModel, LLaDA2MoeRouter, real_tokens


class ExpertBiasCallback(TrainerCallback):
    """
    Moves the biases of the routers of a LLaDA2 after each step of the optimizer, against the loads of the experts. Loads are
    counted in the forward passes of all micro-batches and processes, without padding. Routers whose weights are frozen, such as
    those below an adapter, keep their bias.

    [`LLaDASFTTrainer`] and [`LLaDAPretrainer`] add it by themselves, unless `expert_bias_update_rate` is 0. It works in every
    [`Trainer`].

    Args:
        update_rate (`float`, *optional*, defaults to 1e-3):
            How far a bias moves in a step, u.

    Raises:
        `ValueError`: if `update_rate` is not positive.

    Example:

    ```python
    >>> from modeling_llada.training import ExpertBiasCallback

    >>> trainer = Trainer(model, args, train_dataset=rows, callbacks=[ExpertBiasCallback(1e-3)])
    >>> trainer.train()
    ```
    """

    def __init__(self, update_rate: float = 1e-3):
        if not update_rate > 0:
            raise ValueError(
                f"`update_rate` must be positive, but got {update_rate}. Without the callback, biases stay as they are."
            )
        self.update_rate = update_rate
        self.loads: dict[nn.Module, torch.LongTensor] = {}  # of each router, the tokens that each expert was sent
        self.is_real: torch.BoolTensor | None = None  # what is no padding in the forward pass, `(batch, length)`
        self.hooks: list[torch.utils.hooks.RemovableHandle] = []

    def on_train_begin(self, args, state, control, model: nn.Module, **kwargs):
        routers = balanced_routers(model)
        self.loads = {router: torch.zeros_like(router.expert_bias, dtype=torch.long) for router in routers}
        self.hooks = [router.register_forward_hook(self._count) for router in routers]
        backbones = [module for module in model.modules() if isinstance(module, LLaDA2MoeModel)]
        self.hooks += [one.register_forward_pre_hook(self._see_padding, with_kwargs=True) for one in backbones]

    @torch.no_grad()
    def on_optimizer_step(self, args, state, control, **kwargs):
        if not self.loads:
            return
        loads = torch.stack(list(self.loads.values()))
        if args.world_size > 1:
            distributed.all_reduce(loads)
        # Multiplied by the number of experts, so that all numbers are whole.
        directions = (loads.sum(-1, keepdim=True) - loads.shape[-1] * loads).sign()
        for (router, counted), direction in zip(self.loads.items(), directions, strict=True):
            router.expert_bias.add_(direction, alpha=self.update_rate)
            counted.zero_()

    def on_train_end(self, args, state, control, **kwargs):
        for hook in self.hooks:
            hook.remove()
        self.loads, self.hooks, self.is_real = {}, [], None

    def _see_padding(self, backbone: nn.Module, args: tuple, kwargs: dict) -> None:
        mask = kwargs.get("attention_mask")
        self.is_real = None if mask is None else real_tokens(mask)

    def _count(self, router: nn.Module, args: tuple, outputs: tuple) -> None:
        # Layers that are computed again for the backward pass count all tokens twice, which changes no direction.
        index = outputs[2]
        if not router.training:
            return
        counted = torch.ones_like(index)
        if self.is_real is not None:
            # A row may be there twice, as noisy and as clean tokens.
            is_real = self.is_real.repeat(1, len(index) // self.is_real.numel())
            counted = is_real.reshape(-1, 1).expand_as(index).long()
        self.loads[router].scatter_add_(0, index.flatten(), counted.flatten())


def routers_with_bias(model: nn.Module) -> list[LLaDA2MoeRouter]:
    """The routers that choose experts by a bias, too."""
    routers = [module for module in model.modules() if isinstance(module, LLaDA2MoeRouter)]
    return [router for router in routers if router.expert_bias is not None]


def balanced_routers(model: nn.Module) -> list[LLaDA2MoeRouter]:
    """Those of them that are trained."""
    return [router for router in routers_with_bias(model) if router.weight.requires_grad]


def balance_by_bias(trainer: Trainer) -> None:
    """
    Adds the callback to a trainer with `expert_bias_update_rate`, if its model has biases to move.

    Raises:
        `ValueError`: if accelerate could not distribute the biases.
    """
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if routers_with_bias(trainer.model) and getattr(plugin, "cpu_ram_efficient_loading", False):
        raise ValueError(
            "`fsdp_cpu_ram_efficient_loading` must be false for LLaDA2, but got true: accelerate distributes parameters only, "
            "and the biases of routers are none. Add `--fsdp_cpu_ram_efficient_loading false` to `accelerate launch`."
        )
    update_rate = trainer.args.expert_bias_update_rate
    if update_rate and balanced_routers(trainer.model):
        trainer.add_callback(ExpertBiasCallback(update_rate))


def check_update_rate(update_rate: float) -> None:
    """Raises a `ValueError` if the `expert_bias_update_rate` of a trainer cannot be one."""
    if not 0 <= update_rate < 1:
        raise ValueError(
            f"`expert_bias_update_rate` must be in [0, 1), but got {update_rate}. Sigmoids are between 0 and 1; 1e-3 is usual, "
            "and 0 leaves the biases as they are."
        )
