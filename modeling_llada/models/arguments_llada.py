# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The checks of tensors and generators that `generate` and the likelihood share. Those of numbers are in
`options_llada.py`."""

from typing import Any

import torch


INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_ids(name: str, ids: Any) -> None:
    """Token ids are integers of shape (batch, length), and there is at least one."""
    is_tensor = isinstance(ids, torch.Tensor)
    if not is_tensor or ids.ndim != 2 or ids.dtype not in INTEGERS:
        got = f"{ids.dtype} of shape {tuple(ids.shape)}" if is_tensor else type(ids).__name__
        raise ValueError(
            f"`{name}` must be a tensor of integer ids of shape (batch, length), but got {got}. Pass what a "
            "tokenizer returns with `return_tensors='pt'`, unpacked: `**inputs`."
        )
    if ids.numel() == 0:
        raise ValueError(
            f"`{name}` is empty. Give each row at least one token, for instance the BOS token, or a mask token."
        )


def check_vocabulary(names: str, ids: torch.LongTensor, vocab_size: int) -> None:
    """`names` are the arguments in backticks that the ids come from."""
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise ValueError(
            f"{names} must be ids in [0, {vocab_size}), but got {ids.min()} to {ids.max()}. Is this the tokenizer of "
            "another model, or were tokens added without `resize_token_embeddings`?"
        )


def check_shape(name: str, value: Any, shape: tuple[int, ...], meaning: str = "that of `input_ids`") -> None:
    """`meaning` says in words which shape it is."""
    got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
    if got != tuple(shape):
        raise ValueError(f"`{name}` must be a tensor of shape {tuple(shape)}, {meaning}, but got {got}.")


def check_token_types(token_type_ids: Any) -> None:
    """Some tokenizers return token types beside ids and mask. Zeros say nothing; others would be ignored."""
    if token_type_ids is not None and torch.as_tensor(token_type_ids).any():
        raise ValueError(
            "`token_type_ids` must be zeros, since LLaDA has no token types. Pass one text a row, not a pair, or leave them "
            "out."
        )


def check_generator(generator: Any, batch_size: int) -> list[torch.Generator | None]:
    """One generator for the batch, or a list with one for each row."""
    generators = list(generator) if isinstance(generator, (list, tuple)) else [generator]
    if isinstance(generator, (list, tuple)) and len(generators) != batch_size:
        raise ValueError(
            f"`generator` must be a `torch.Generator` or a list with one for each of the {batch_size} rows of the "
            f"output, but got {len(generators)}."
        )
    for one in generators:
        if one is not None and not isinstance(one, torch.Generator):
            raise ValueError(
                f"`generator` must be a `torch.Generator` or a list of them, but got {one!r}. For a seed, pass "
                "`torch.Generator(device).manual_seed(seed)`."
            )
    return generators


__all__ = ["check_generator", "check_ids", "check_shape", "check_token_types", "check_vocabulary"]
