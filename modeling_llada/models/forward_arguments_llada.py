# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The keyword arguments of a forward pass: both names of the cache, and an error for names that nothing reads."""

import inspect
from collections.abc import Callable
from functools import wraps

from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .arguments_llada import check_token_types


# Read by the decorators of transformers, by the attention, and by the loss.
KNOWN_KEYWORDS = {
    "return_dict",
    "num_items_in_batch",
    "cu_seq_lens_k",
    "max_length_q",
    "max_length_k",
    "debug_io",
    "debug_io_dir",
    "prune_layers",
}
# Generic code switches these off. They cannot be switched on.
SWITCHED_OFF = {
    "use_cache": "a bidirectional model has no autoregressive cache. Pass a `LLaDACache` as `cache`",
    "is_causal": "LLaDA attends in both directions. Leave it out",
}
LENGTHS = ("cu_seq_lens_k", "max_length_q", "max_length_k")


def check_keywords(forward: Callable) -> Callable:
    """
    Decorates a forward pass whose `**kwargs` go to the attention, which ignores the ones that it does not know.

    The cache can also have the name that it had before transformers 5.24, `past_key_values`. An argument that nothing
    reads is a `TypeError`, as it would be without `**kwargs`.
    """
    known = KNOWN_KEYWORDS | SWITCHED_OFF.keys() | named_arguments(forward)

    @wraps(forward)
    def checked(self, *args, past_key_values=None, **kwargs):
        if past_key_values is not None:
            if kwargs.get("cache") is not None:
                raise ValueError(
                    "`cache` and `past_key_values` are two names of one argument. Pass it once, as `cache`."
                )
            kwargs["cache"] = past_key_values
        check_token_types(kwargs.pop("token_type_ids", None))
        if kwargs.get("cu_seq_lens_q") is not None:
            kwargs.pop("seq_idx", None)  # packed batches of TRL say the same twice
        recorded = {f"output_{name}" for name in self._can_record_outputs}
        unknown = [name for name in kwargs if name not in known | recorded]
        if unknown:
            check_attention_reads(self, unknown)
        for name, reason in SWITCHED_OFF.items():
            if kwargs.get(name):
                raise ValueError(f"`{name}={kwargs[name]}` is not possible: {reason}.")
        if kwargs.get("cu_seq_lens_q") is None and any(kwargs.get(name) is not None for name in LENGTHS):
            raise ValueError(
                f"Packed documents need `cu_seq_lens_q` beside {', '.join(f'`{name}`' for name in LENGTHS)}."
            )
        return forward(self, *args, **kwargs)

    return checked


def check_attention_reads(model: nn.Module, names: list[str]) -> None:
    """Refuses arguments that are not named in the signature of the attention function either."""
    attention = ALL_ATTENTION_FUNCTIONS.get(model.config._attn_implementation)
    read = () if attention is None else named_arguments(attention)
    for name in names:
        if name not in read:
            raise TypeError(
                f"`{type(model).__name__}.forward` got an unexpected keyword argument `{name}`, which nothing reads. "
                "Leave it out."
            )


def named_arguments(function: Callable) -> set[str]:
    """The arguments that a signature names, without `**kwargs`."""
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}


__all__ = ["check_keywords"]
