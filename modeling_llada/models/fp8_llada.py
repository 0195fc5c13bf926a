# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Products in eight bits for decoding: weights and activations in e4m3, each with a scale of its own.

A weight has a scale for each output channel, and an activation one for each token, so that the rows of a batch do not change each
other. Both are multiplied to the result of the product, which itself has no scales: so it is the fastest one of
`torch._scaled_mm`. A projection has an error of about 3.6% of its norm. Embedding, norms, routers, experts and head stay as they are.

On a CPU the same numbers are multiplied in float32. That shows the error, and no speed.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn


FLOAT8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FLOAT8).max
MULTIPLE = 16  # the kernels need rows and columns of weights in multiples of this
ROWS = 1024  # of a weight that are quantized at a time
ADDED = ("o_proj", "down_proj")  # whose outputs are only added to the residual


class Quantized(NamedTuple):
    """An activation in eight bits, `(..., size)`, and the scale of each token, `(..., 1)`."""

    values: torch.Tensor
    scale: torch.Tensor
    dtype: torch.dtype

    @property
    def shape(self) -> torch.Size:
        return self.values.shape


class Float8Linear(nn.Module):
    """A linear layer with weights in eight bits, and with products of such numbers."""

    def __init__(self, linear: nn.Linear, is_added: bool) -> None:
        super().__init__()
        values, scale = quantize_weight(linear.weight.data)
        self.weight = nn.Parameter(values, requires_grad=False)
        self.scale = nn.Buffer(scale)
        self.one = nn.Buffer(torch.ones((), device=values.device), persistent=False)  # the scale that the product has
        self.bias = linear.bias
        self.is_added = is_added
        self.next_norm: tuple[
            nn.Module, ...
        ] = ()  # the one that reads the sum; in a tuple, so that it is no part of this module
        self.dtype = linear.weight.dtype
        self.train(linear.training)

    def forward(self, hidden_states: torch.Tensor | Quantized) -> torch.Tensor:
        if self.training:
            raise ValueError(
                "Weights that `quantize_for_decoding` has quantized cannot be trained. Call `model.eval()` to decode, or load the "
                "checkpoint again to train."
            )
        inputs = as_quantized(hidden_states)
        outputs = unscaled(self.product(inputs), inputs.scale, self.scale)
        return outputs if self.bias is None else outputs + self.bias

    def product(self, inputs: Quantized) -> torch.Tensor:
        """The product without the scales."""
        return product(inputs, self.weight, self.one)

    def as_linear(self) -> nn.Linear:
        """A plain layer with the same weights, which are those of eight bits."""
        outputs, inputs = self.weight.shape
        with torch.device("meta"):
            linear = nn.Linear(inputs, outputs, bias=False)
        linear.weight = nn.Parameter((self.weight.float() * self.scale[:, None]).to(self.dtype))
        linear.bias = self.bias
        return linear.train(self.training)

    def _apply(self, fn: Callable, recurse: bool = True) -> nn.Module:
        weight, scale = self.weight.data, self.scale
        super()._apply(fn, recurse)
        self.dtype = fn(torch.empty(0, dtype=self.dtype)).dtype
        # `model.to(torch.bfloat16)` must move both without another dtype.
        if self.weight.dtype != FLOAT8:
            self.weight.data = weight.to(self.weight.device)
        if self.scale.dtype != torch.float32:
            self.scale, self.one = scale.to(self.scale.device), self.one.float()
        return self

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1]}, out_features={self.weight.shape[0]}, bias={self.bias is not None}"


def quantize(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers in eight bits, and the scale of each row of the last dimension in float32, `(..., 1)`."""
    values = values.float()
    scale = (values.abs().amax(-1, keepdim=True) / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)
    return (values / scale).to(FLOAT8), scale


def quantize_weight(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight in eight bits, and the scale of each output channel. Only some rows are in float32 at a time."""
    values, scale = torch.empty_like(weight, dtype=FLOAT8), weight.new_empty(len(weight), 1, dtype=torch.float32)
    for start in range(0, len(weight), ROWS):
        rows = slice(start, start + ROWS)
        values[rows], scale[rows] = quantize(weight[rows])
    return values, scale.squeeze(-1)


def as_quantized(hidden_states: torch.Tensor | Quantized) -> Quantized:
    """The activation in eight bits, unless it is already."""
    if isinstance(hidden_states, Quantized):
        return hidden_states
    return Quantized(*quantize(hidden_states.detach()), hidden_states.dtype)


def product(inputs: Quantized, weight: torch.Tensor, one: torch.Tensor) -> torch.Tensor:
    """The products of rows of eight bits, `(..., outputs)`, without their scales. `one` is a tensor with that number."""
    rows = inputs.values.flatten(0, -2)
    if rows.device.type == "cuda":
        # With fast accumulation it would lose bits, and gain nothing where a step has few tokens.
        outputs = torch._scaled_mm(rows, weight.t(), scale_a=one, scale_b=one, out_dtype=inputs.dtype)
    else:
        outputs = (rows.float() @ weight.float().t()).to(inputs.dtype)
    return outputs.unflatten(0, inputs.shape[:-1])


def unscaled(outputs: torch.Tensor, scale: torch.Tensor, weight_scale: torch.Tensor) -> torch.Tensor:
    """What a product without scales stands for."""
    return (outputs.float() * scale * weight_scale).to(outputs.dtype)


class LLaDAFloat8Mixin:
    """The method [`~LLaDAForMaskedLM.quantize_for_decoding`]."""

    def quantize_for_decoding(self, kind: str | None, device: str | torch.device | None = None):
        """
        Quantizes the projections of attention and feed-forward networks in place, for faster decoding.

        A denoising step then reads half the bytes. It is faster on a GPU with products in eight bits (Ada, Hopper or later), with a
        `compile_config`, which puts the quantization of activations into operations that a step makes anyway. Elsewhere the same
        numbers are multiplied in float32.

        Args:
            kind (`str`, *optional*):
                `"fp8"`, or `None` for plain weights again. These have the values of eight bits: for the original ones load the
                checkpoint again.
            device (`str` or `torch.device`, *optional*):
                Where to move the model, layer by layer. A model that was loaded into the memory of the host then takes no more
                memory of the device than one layer beside what it has in the end.

        Returns:
            The model itself.

        Raises:
            `ValueError`: if `kind` is another one, or if the model is in training mode, has adapters or weights that are quantized
                already, is spread over devices, is in float16, has sizes that are no multiples of 16, or if the device cannot
                multiply in eight bits. Nothing is changed then.

        Example:

        ```python
        >>> model = AutoModel.from_pretrained("GSAI-ML/LLaDA-8B-Instruct", dtype="bfloat16")
        >>> model.quantize_for_decoding("fp8", device="cuda")
        >>> output = model.generate(**inputs, block_cache="dual", compile_config=CompileConfig())
        ```
        """
        if kind not in ("fp8", None):
            raise ValueError(f'`kind` must be "fp8", or `None` for plain weights again, but got {kind!r}.')
        if kind is None:
            for parent, name, linear in float8_of(self):
                setattr(parent, name, linear.as_linear())
            mark_norms(self)
            return self if device is None else self.to(device)
        if next(float8_of(self), None) is None:
            check_float8(self, torch.device(self.device if device is None else device))
        for layer in layers_of(self):
            if device is not None:
                layer.to(device)
            for parent, name, linear in linears_of(layer):
                setattr(parent, name, Float8Linear(linear, is_added=name in ADDED))
        mark_norms(self)
        return self if device is None else self.to(device)

    def save_pretrained(self, save_directory, **kwargs):
        """
        See [`PreTrainedModel.save_pretrained`].

        Raises:
            `ValueError`: if [`~LLaDAForMaskedLM.quantize_for_decoding`] has quantized the weights.
        """
        if next(float8_of(self), None) is not None:
            raise ValueError(
                "`save_pretrained` needs plain weights, but `quantize_for_decoding` has quantized them. Keep the folder that the "
                "model was loaded from, and quantize it again after loading."
            )
        super().save_pretrained(save_directory, **kwargs)


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The Transformer layers of the language model."""
    return [module for module in model.modules() if hasattr(module, "post_attention_layernorm")]


def linears_of(layer: nn.Module) -> list[tuple[nn.Module, str, nn.Linear]]:
    """The linear layers below a module, with the modules that hold them and their names there."""
    return [
        (parent, name, module)
        for parent in layer.modules()
        for name, module in parent.named_children()
        if isinstance(module, nn.Linear)
    ]


def float8_of(model: nn.Module) -> Iterator[tuple[nn.Module, str, Float8Linear]]:
    """The linear layers in eight bits."""
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, Float8Linear):
                yield parent, name, module


def mark_norms(model: nn.Module) -> None:
    """
    Marks the norms whose output nothing but projections in eight bits read: they can quantize it themselves. The projections before
    them, whose sum with the residual they read, know them.
    """
    before = None
    for layer in layers_of(model):
        for norm, reader in ((layer.input_layernorm, layer.self_attn), (layer.post_attention_layernorm, layer.mlp)):
            first, last = ("q_proj", "o_proj") if reader is layer.self_attn else ("gate_proj", "down_proj")
            norm.feeds_float8 = isinstance(getattr(reader, first, None), Float8Linear)
            if isinstance(before, Float8Linear) and norm.feeds_float8:
                before.next_norm = (norm,)
            before = getattr(reader, last, None)


def check_float8(model: nn.Module, device: torch.device) -> None:
    """Raises a `ValueError` if a model cannot be quantized for decoding on a device."""
    if reason := why_not_float8(model, device):
        raise ValueError(f'`quantize_for_decoding("fp8")` is not possible: {reason}')


def why_not_float8(model: nn.Module, device: torch.device) -> str | None:
    """Says why a model cannot be quantized for decoding on a device, and the way out. Returns `None` if it can."""
    linears = [(name, one) for layer in layers_of(model) for _, name, one in linears_of(layer)]
    if any(hasattr(module, "base_layer") for module in model.modules()):
        return "the model has adapters. Merge them first, by `merge_and_unload` or `llada export`."
    if model.training:
        return "the model is in training mode. Call `model.eval()` first."
    if getattr(model, "_tp_size", None) not in (None, 1) or hasattr(model, "_hf_hook"):
        return (
            "the model is spread over devices. Load it without `device_map` and `distributed_config`, onto one device."
        )
    others = [name for name, one in linears if type(one) is not nn.Linear or type(one.weight.data) is not torch.Tensor]
    if others or getattr(model.config, "quantization_config", None) is not None or not linears:
        return "the weights are quantized or sharded already. Load the checkpoint in bfloat16 onto one device."
    if model.dtype not in (torch.bfloat16, torch.float32):
        return (
            f"the model is in {model.dtype}, which products without scales overflow. Load it with `dtype='bfloat16'`."
        )
    sizes = {
        f"{name} {tuple(one.weight.shape)}" for name, one in linears if any(n % MULTIPLE for n in one.weight.shape)
    }
    if sizes:
        return f"the sizes of weights must be multiples of {MULTIPLE}, but there are {', '.join(sorted(sizes)[:5])}. Keep plain weights."
    if device.type not in ("cpu", "cuda"):
        return (
            f"`device={str(device)!r}` has no products in eight bits. Use a CUDA device, or the CPU to see the error."
        )
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        return (
            f"{torch.cuda.get_device_name(device)} has no products in eight bits. Use a GPU of Ada, Hopper or later."
        )
    return None


__all__ = ["LLaDAFloat8Mixin"]
