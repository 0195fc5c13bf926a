# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""A model whose small operations run as few kernels as possible, for denoising steps that are recorded.

[`fused`] swaps methods of the modules from outside, so the network knows nothing of it. There are no gradients, and
results are rounded in another order than in the reference.
"""

import threading
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import nn
from transformers import CompileConfig
from transformers.activations import ACT2FN

from .expert_kernels_llada import computes_in_groups, float32_logits, grouped_experts
from .fp8_kernels_llada import float8_added, float8_methods, float8_norm
from .fp8_llada import Float8Linear
from .rotary_llada import apply_rotary_pos_emb


def rms_norm(hidden_states: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square normalisation."""
    return nn.functional.rms_norm(hidden_states, weight.shape, weight, eps)


def rotate(hidden_states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """The rotary embedding of `apply_rotary_pos_emb`, half by half: `roll` would copy states that are not contiguous."""
    cos, sin = cos.unsqueeze(2), sin.unsqueeze(2)
    rotated = hidden_states.new_empty(hidden_states.shape)
    size = cos.shape[-1]
    first, second = slice(0, size // 2), slice(size // 2, size)
    for half, other in ((first, second), (second, first)):
        product = hidden_states[..., half] * cos[..., half]
        torch.addcmul(product, hidden_states[..., other], sin[..., half], out=rotated[..., half])
    rotated[..., size:] = hidden_states[..., size:]
    return rotated


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """`silu(gate) * up`."""
    return nn.functional.silu(gate).mul_(up)


def as_it_is(operation: Callable) -> Callable:
    """The operation itself, where nothing is compiled."""
    return operation


@dataclass(frozen=True)
class Kernels:
    """The small operations, compiled or not. `prepare` gives others, such as those of the experts, in the same way."""

    rms_norm: Callable = rms_norm
    rotate: Callable = rotate
    swiglu: Callable = swiglu
    prepare: Callable[[Callable], Callable] = as_it_is

    @classmethod
    def compile(cls, config: CompileConfig) -> "Kernels":
        """Compiles each operation into few kernels, and each only once for all layers."""
        prepare = cache(partial(compile_one, config=config))
        # Compiled, the rotation in this form is one kernel.
        return cls(prepare(rms_norm), prepare(apply_rotary_pos_emb), prepare(swiglu), prepare)


def compile_one(function: Callable, config: CompileConfig) -> Callable:
    """Compiles a part of a step, without the mode `"reduce-overhead"`, because the recording is the CUDA graph."""
    options = config.to_dict()
    options["mode"] = None if options["mode"] == "reduce-overhead" or options["options"] else options["mode"]
    return torch.compile(function, **options)


def copy_function(function: Callable) -> Callable:
    """A copy of a function. `torch.compile` counts the variants of each function, and gives up after eight."""
    return types.FunctionType(function.__code__.replace(), function.__globals__, function.__name__)


@contextmanager
def fused(model: nn.Module, kernels: Kernels) -> Iterator[None]:
    """
    Lets projections of the same input run as one product, and small operations as one kernel.

    Only the thread that enters the context is affected, because another one can be in a forward pass of the same model.
    """
    with ExitStack() as stack:
        for module in model.modules():
            for name, method in fused_methods(module, kernels).items():
                stack.callback(restore, module, name, vars(module).get(name))
                setattr(module, name, for_this_thread(method, getattr(module, name)))
        yield


def fused_methods(module: nn.Module, kernels: Kernels) -> dict[str, Callable]:
    """The methods of a module that can be swapped, with their replacements. The structure of the module decides."""
    if isinstance(module, Float8Linear):
        return {"forward": partial(float8_added, module, kernels)} if module.is_added and module.bias is None else {}
    if is_rms_norm(module):
        if getattr(module, "feeds_float8", False):
            return {"forward": partial(float8_norm, module, kernels)}
        return {"forward": lambda x: kernels.rms_norm(x, module.weight, module.variance_epsilon)}
    if hasattr(module, "choose_experts"):
        return {"choose_experts": kernels.prepare(module.choose_experts)} | float32_logits(module)
    if computes_in_groups(module) and is_silu(module.act_fn) and is_plain(module.gate_up_proj):
        return {"forward": partial(grouped_experts, module, kernels)}
    linears = fusable_projections(module)
    if not linears:
        return {}
    if isinstance(linears[0], Float8Linear):
        methods = float8_methods(module, kernels, fuse(linears), lay_together([one.scale for one in linears]))
        if "project_heads" in methods:
            methods["project_and_rotate"] = partial(project_and_rotate_apart, module, kernels)
        return methods
    if not hasattr(module, "project_heads"):
        return {"forward": partial(feed_forward, module, kernels, fuse(linears))}
    if module.only_rotates:
        return {"project_and_rotate": partial(project_and_rotate, module, kernels, fuse(linears))}
    rotate_apart = partial(project_and_rotate_apart, module, kernels)
    return {"project_heads": partial(project_heads, module, fuse(linears)), "project_and_rotate": rotate_apart}


def project_and_rotate(
    attention: nn.Module,
    kernels: Kernels,
    weight: torch.Tensor,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The method of [`LLaDAAttention`] with one product in the place of three, and one rotation in the place of two."""
    states = nn.functional.linear(hidden_states, weight).unflatten(-1, (-1, attention.head_dim))
    num_heads, num_kv_heads = num_heads_of(attention)
    rotated = kernels.rotate(states[..., : num_heads + num_kv_heads, :], *position_embeddings)
    query_states, key_states = rotated.tensor_split([num_heads], dim=-2)
    return query_states, key_states, states[..., num_heads + num_kv_heads :, :]


def project_heads(
    attention: nn.Module, weight: torch.Tensor, hidden_states: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The method of [`LLaDAAttention`] with one product in the place of three."""
    states = nn.functional.linear(hidden_states, weight).unflatten(-1, (-1, attention.head_dim))
    num_heads, num_kv_heads = num_heads_of(attention)
    return states.split([num_heads, num_kv_heads, num_kv_heads], dim=-2)


def project_and_rotate_apart(
    attention: nn.Module,
    kernels: Kernels,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The method of [`LLaDAAttention`] where queries and keys have norms of their own before the rotation."""
    query_states, key_states, value_states = attention.project(hidden_states)
    rotated = (kernels.rotate(states, *position_embeddings) for states in (query_states, key_states))
    return *rotated, value_states


def num_heads_of(attention: nn.Module) -> tuple[int, int]:
    """The numbers of heads of queries, and of keys and values."""
    return tuple(len(one.weight) // attention.head_dim for one in (attention.q_proj, attention.k_proj))


def feed_forward(mlp: nn.Module, kernels: Kernels, weight: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
    """
    The forward pass of [`LLaDAMLP`] with one product in the place of two.

    The product is a batched one, so that gate and up are each contiguous. The next operation is then twice as fast.
    """
    tokens = hidden_states.reshape(1, -1, hidden_states.shape[-1]).expand(2, -1, -1)
    both = torch.bmm(tokens, weight.unflatten(0, (2, -1)).transpose(1, 2))
    gate, up = both.unflatten(1, hidden_states.shape[:-1])
    return mlp.down_proj(kernels.swiglu(gate, up))


def for_this_thread(method: Callable, plain: Callable) -> Callable:
    """A method that is `method` in the current thread, and `plain` in all others."""
    thread = threading.get_ident()

    def chosen(*args, **kwargs):
        return (method if threading.get_ident() == thread else plain)(*args, **kwargs)

    return chosen


def restore(module: nn.Module, name: str, own: Callable | None) -> None:
    """Gives a module its method back: its own one, or that of its class if it had none."""
    delattr(module, name)
    if own is not None:
        setattr(module, name, own)


def is_rms_norm(module: nn.Module) -> bool:
    """Whether a module is a root-mean-square norm with a weight."""
    return hasattr(module, "variance_epsilon") and [name for name, _ in module.named_parameters()] == ["weight"]


def fusable_projections(module: nn.Module) -> list[nn.Linear]:
    """
    The projections of a module that have the same input, if they can run as one product.

    They can if the module is an attention of this package or a gated feed-forward network without other parts, and if the
    projections are plain, without adapters and quantized weights.
    """
    children = dict(module.named_children())
    if hasattr(module, "project_heads"):
        linears = [module.q_proj, module.k_proj, module.v_proj]
    elif set(children) == {"gate_proj", "up_proj", "down_proj", "act_fn"} and is_silu(module.act_fn):
        linears = [module.gate_proj, module.up_proj]
    else:
        return []
    if not all(
        type(one) in (nn.Linear, Float8Linear) and one.bias is None and is_plain(one.weight) for one in linears
    ):
        return []
    return linears if len({(one.weight.dtype, one.weight.device) for one in linears}) == 1 else []


def is_silu(module: nn.Module) -> bool:
    """Whether a module is the activation that [`swiglu`] contains."""
    return isinstance(module, (nn.SiLU, type(ACT2FN["silu"])))


def is_plain(weight: torch.Tensor) -> bool:
    """Whether a weight is an ordinary tensor, and not a quantized one."""
    return type(weight.data) is torch.Tensor


def fuse_weights(model: nn.Module) -> None:
    """Lays the weights of projections that have the same input below each other in memory."""
    for module in model.modules():
        linears = fusable_projections(module)
        if linears:
            fuse(linears)
            if isinstance(linears[0], Float8Linear):
                lay_together([one.scale for one in linears])


def fuse(linears: list[nn.Linear]) -> torch.Tensor:
    """All weights as one, `(sum of rows, columns)`. The parameters become views of its storage."""
    return lay_together([linear.weight for linear in linears])


def lay_together(weights: list[torch.Tensor]) -> torch.Tensor:
    """Tensors as one, below each other in memory. They become views of its storage."""
    rows, strides = sum(len(weight) for weight in weights), weights[0].stride()
    starts = [weight.data_ptr() for weight in weights[1:]]
    ends = [weight.data_ptr() + weight.nbytes for weight in weights[:-1]]
    if starts == ends and len({weight.untyped_storage().data_ptr() for weight in weights}) == 1:
        return weights[0].data.as_strided((rows, *weights[0].shape[1:]), strides)
    whole = weights[0].data.new_empty(rows, *weights[0].shape[1:])
    for weight, part in zip(weights, whole.split([len(weight) for weight in weights]), strict=True):
        weight.data = part.copy_(weight.data)
    return whole


__all__ = ["Kernels"]
