# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Muon (https://kellerjordan.github.io/posts/muon) for the matrices of the layers, AdamW for all else, as one optimizer."""

from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class Together(Optimizer):
    """
    Several optimizers that step together.

    Args:
        optimizers (`list[Optimizer]`): each with parameters of its own.
    """

    def __init__(self, optimizers: list[Optimizer]):
        super().__init__([group for one in optimizers for group in one.param_groups], {})
        self.optimizers = optimizers
        self._share_groups()

    def _share_groups(self) -> None:
        """A learning rate that is set here is that of the optimizer whose group it is."""
        self.param_groups = [group for one in self.optimizers for group in one.param_groups]

    def step(self, closure=None) -> None:
        for one in self.optimizers:
            one.step()

    def state_dict(self) -> dict:
        return {"optimizers": [one.state_dict() for one in self.optimizers]}

    def load_state_dict(self, state_dict: dict) -> None:
        for one, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            one.load_state_dict(state)
        self._share_groups()


def is_matrix_of_layer(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and ".layers." in name


def with_muon(adamw: AdamW, model: nn.Module) -> Together:
    """Takes the matrices of layers out of the groups of AdamW, into groups of Muon with the same rates and decays."""
    matrices = {id(one) for name, one in model.named_parameters() if is_matrix_of_layer(name, one)}
    groups, others = [], []
    for group in adamw.param_groups:
        chosen = [one for one in group["params"] if id(one) in matrices]
        if chosen:
            groups.append({"params": chosen, "lr": group["lr"], "weight_decay": group["weight_decay"]})
        group["params"] = [one for one in group["params"] if id(one) not in matrices]
        if group["params"]:
            others.append(group)
    adamw.param_groups = others
    # The updates are as large as those of AdamW, so its rates and decays serve both.
    return Together([Muon(groups, adjust_lr_fn="match_rms_adamw"), adamw] if groups else [adamw])
