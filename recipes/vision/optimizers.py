# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Muon (https://kellerjordan.github.io/posts/muon) for the matrices of the layers, AdamW for all else, as one optimizer."""

import torch
from torch import nn
from torch.optim import AdamW, Optimizer


# The quintic of Newton and Schulz that Muon takes: it brings all singular values near to one in a few steps.
COEFFICIENTS, NUM_STEPS = (3.4445, -4.7750, 2.0315), 5


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """`(number, rows, columns)` -> the nearest matrices with orthonormal rows or columns, roughly, in bfloat16."""
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.bfloat16()
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(NUM_STEPS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


class Muon(Optimizer):
    """
    As `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, but all matrices of a shape are orthogonalized at once. For a
    small model, thousands of tiny kernels one after the other take longer than its forward and backward pass.

    Args:
        params: matrices, or groups of them.
        lr (`float`): the learning rate. An update is as large as one of AdamW with it.
        momentum (`float`): of Nesterov's momentum.
        weight_decay (`float`): decoupled, as in AdamW.
    """

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.1):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    shapes.setdefault(matrix.shape, []).append(matrix)
            for matrices in shapes.values():
                self._update(matrices, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, matrices: list[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        for matrix in matrices:
            if not self.state[matrix]:
                self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
        gradients = [matrix.grad for matrix in matrices]
        means = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        directions = torch._foreach_lerp(gradients, means, momentum)
        updates = orthogonalize(torch.stack(directions)).to(matrices[0].dtype)
        torch._foreach_mul_(matrices, 1 - lr * weight_decay)
        torch._foreach_add_(matrices, list(updates), alpha=-lr * 0.2 * max(matrices[0].shape) ** 0.5)


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
    return Together([Muon(groups), adamw] if groups else [adamw])
