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
"""The small operations of a layer in as few kernels as possible, for steps that are recorded: no gradient, and another order
of rounding than the reference. `torch.compile` makes one kernel of each."""

import threading
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from transformers import CompileConfig


def rms_norm(hidden_states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square normalisation."""
    return nn.functional.rms_norm(hidden_states, weight.shape, weight, eps)


def rotate(hidden_states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The rotary embedding of `apply_rotary_pos_emb`, half by half: `roll` would copy what is not contiguous."""
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    rotated = hidden_states.new_empty(hidden_states.shape)
    middle = hidden_states.shape[-1] // 2
    first, second = slice(0, middle), slice(middle, None)
    for half, other in ((first, second), (second, first)):
        product = hidden_states[..., half] * cos[..., half]
        torch.addcmul(product, hidden_states[..., other], sin[..., half], out=rotated[..., half])
    return rotated


def rotate_at_once(hidden_states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The same for a compiler, which makes one kernel of it."""
    other_half = hidden_states.roll(hidden_states.shape[-1] // 2, dims=-1)
    rotated = hidden_states * cos.unsqueeze(2) + other_half * sin.unsqueeze(2)
    return rotated.to(hidden_states.dtype)


def gate_and_up(hidden_states: torch.Tensor, fused_weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both projections in one batched product, so that each is contiguous: what follows is twice as fast on that."""
    tokens = hidden_states.reshape(1, -1, hidden_states.shape[-1]).expand(2, -1, -1)
    both = torch.bmm(tokens, fused_weight.unflatten(0, (2, -1)).transpose(1, 2))
    gate, up = both.unflatten(1, hidden_states.shape[:-1])
    return gate, up


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """`silu(gate) * up`."""
    return nn.functional.silu(gate).mul_(up)


@dataclass(frozen=True)
class Kernels:
    """The operations, as they are or compiled."""

    rms_norm: Callable = rms_norm
    rotate: Callable = rotate
    swiglu: Callable = swiglu
    thread: int = field(default_factory=threading.get_ident)  # the one that records; the others go on as usual

    def compile(self, config: CompileConfig) -> "Kernels":
        """Compiles each operation."""
        operations = {"rms_norm": rms_norm, "rotate": rotate_at_once, "swiglu": swiglu}
        return replace(self, **{name: compile_one(operation, config) for name, operation in operations.items()})


def compile_one(function: Callable, config: CompileConfig) -> Callable:
    """Compiles a part of a step. The mode `"reduce-overhead"` is left out: the recording is the CUDA graph."""
    options = config.to_dict()
    options["mode"] = None if options["mode"] == "reduce-overhead" or options["options"] else options["mode"]
    return torch.compile(function, **options)


def copy_function(function: Callable) -> Callable:
    """The same function as another object: `torch.compile` counts the variants of one, and gives up after eight."""
    return types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


def of_this_thread(kernels: Kernels | None) -> Kernels | None:
    """`None` in a thread that does not record."""
    return kernels if kernels is not None and kernels.thread == threading.get_ident() else None


__all__ = ["Kernels"]
