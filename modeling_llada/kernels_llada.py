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
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from transformers import CompileConfig


def rms_norm(hidden_states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square normalisation."""
    return nn.functional.rms_norm(hidden_states, weight.shape, weight, eps)


def rotate(hidden_states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The rotary embedding of `apply_rotary_pos_emb`."""
    other_half = hidden_states.roll(hidden_states.shape[-1] // 2, dims=-1)
    rotated = torch.empty_like(hidden_states)
    return torch.addcmul(hidden_states * cos.unsqueeze(2), other_half, sin.unsqueeze(2), out=rotated)


def swiglu(gate_and_up: torch.Tensor) -> torch.Tensor:
    """`silu(gate) * up` of the two halves."""
    gate, up = gate_and_up.chunk(2, dim=-1)
    return nn.functional.silu(gate) * up


@dataclass(frozen=True)
class Kernels:
    """The operations, as they are or compiled."""

    rms_norm: Callable = rms_norm
    rotate: Callable = rotate
    swiglu: Callable = swiglu
    thread: int = field(default_factory=threading.get_ident)  # the one that records; the others go on as usual

    def compile(self, config: CompileConfig) -> "Kernels":
        """Compiles each operation. The mode `"reduce-overhead"` is left out: the recording is the CUDA graph."""
        options = config.to_dict()
        options["mode"] = None if options["mode"] == "reduce-overhead" or options["options"] else options["mode"]
        return replace(
            self, **{name: torch.compile(getattr(self, name), **options) for name in ("rms_norm", "rotate", "swiglu")}
        )


def of_this_thread(kernels: Kernels | None) -> Kernels | None:
    """`None` in a thread that does not record."""
    return kernels if kernels is not None and kernels.thread == threading.get_ident() else None


__all__ = ["Kernels"]
