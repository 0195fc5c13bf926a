# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A pretended Apple GPU: tensors that say `device='mps'`, compute on the CPU, and refuse what the real device refuses."""

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map


MPS = torch.device("mps:0")
# Index tensors may stay on the CPU, and copies go from one device to the other.
ACROSS_DEVICES = ("to", "copy_", "__getitem__", "__setitem__")


class PretendedTensor(torch.Tensor):
    """A tensor on the CPU that counts as one of the pretended device."""


class PretendedMPS(TorchFunctionMode):
    """
    Inside this context `"mps"` is a device. As on the real one, a tensor in float64, a generator of the CPU and operands
    on two devices are errors.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        name = getattr(func, "__name__", "")
        if func == torch.Tensor.device.__get__:
            return MPS if isinstance(args[0], PretendedTensor) else torch.device("cpu")
        device = requested_device(name, args, kwargs)
        generator = kwargs.get("generator")
        # Whether one copy may change the device and the dtype is not relied on.
        if name == "to" and isinstance(args[0], PretendedTensor) and torch.float64 in requested_dtypes(args, kwargs):
            raise TypeError("Cannot convert a MPS Tensor to float64: the MPS framework doesn't support float64")
        if device == "mps" and generator is not None:
            raise RuntimeError(f"Expected a 'mps' device type for generator but found '{generator.device}'")
        if device is None:
            devices = {isinstance(tensor, PretendedTensor) for tensor in tensors if tensor.ndim or name == "to"}
            if len(devices) == 2 and name not in ACROSS_DEVICES:
                raise RuntimeError(f"Expected all tensors to be on the same device, mps and cpu, in `{name}`")
            device = "mps" if any(isinstance(tensor, PretendedTensor) for tensor in tensors) else "cpu"
        if any(is_device(leaf) for leaf in leaves):
            args, kwargs = tree_map(without_device, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        if isinstance(result, torch.Size):
            return result  # `tree_map` would make a tuple of it
        return tree_map(pretended if device == "mps" else real, result)


def requested_device(name: str, args: tuple, kwargs: dict) -> str | None:
    """The type of the device that a call asks for, if it does."""
    if name == "cpu":
        return "cpu"
    candidates = [kwargs.get("device"), *(args[1:] if name == "to" else args)]
    for candidate in candidates:
        if name == "to" and isinstance(candidate, torch.Tensor):
            return "mps" if isinstance(candidate, PretendedTensor) else "cpu"
        if is_device(candidate):
            return torch.device(candidate).type
    return None


def requested_dtypes(args: tuple, kwargs: dict) -> list[torch.dtype]:
    """The dtypes that `Tensor.to` is given, one of them in another tensor."""
    values = [*args[1:], *kwargs.values()]
    return [value.dtype if isinstance(value, torch.Tensor) else value for value in values]


def is_device(value) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value in ("mps", "mps:0", "cpu"))


def without_device(value):
    """What stands for an argument in the call that is really made."""
    return torch.device("cpu") if is_device(value) else value


def pretended(value):
    """A result on the pretended device."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64: the MPS framework doesn't support float64")
    return value if isinstance(value, PretendedTensor) else value.as_subclass(PretendedTensor)


def real(value):
    """A result on the CPU."""
    return value.as_subclass(torch.Tensor) if isinstance(value, PretendedTensor) else value


def to_pretended_mps(model: nn.Module) -> nn.Module:
    """Moves a model, in place; to be called outside of the context."""
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            moved = nn.Parameter(pretended(parameter.detach()), requires_grad=parameter.requires_grad)
            module._parameters[name] = moved
        for name, buffer in list(module.named_buffers(recurse=False)):
            module._buffers[name] = pretended(buffer)
    return model
