# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A small byte-level tokenizer, made here: single bytes, and some longer tokens."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


MERGES = [
    ("t", "h"),
    ("th", "e"),
    ('"', ":"),
    ("Ġ", "a"),
    ("1", "2"),
    ("Ã", "©"),
    ("t", "r"),
    ("tr", "u"),
    ("tru", "e"),
]


def byte_level_tokenizer(**special_tokens: str) -> PreTrainedTokenizerFast:
    """Token 0 is `<|endoftext|>`, which also pads."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|endoftext|>", *alphabet, *("".join(merge) for merge in MERGES)]
    backend = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, MERGES))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|endoftext|>", pad_token="<|endoftext|>", **special_tokens
    )
