# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tokenizers of recipes: for texts of few symbols, with a token for each of them, and what all others end with, too."""

from collections.abc import Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


END, START, MASK, UNKNOWN = "<|endoftext|>", "<|startoftext|>", "[MASK]", "<|unk|>"
SPECIAL_TOKENS = (END, START, MASK, UNKNOWN)
# The ids of the special tokens, by the names that configs have. They are the first ones of each vocabulary.
SPECIAL_TOKEN_IDS = {
    "mask_token_id": SPECIAL_TOKENS.index(MASK),
    "bos_token_id": SPECIAL_TOKENS.index(START),
    "eos_token_id": SPECIAL_TOKENS.index(END),
    "pad_token_id": SPECIAL_TOKENS.index(END),
}


def build_tokenizer(tokens: tuple[str, ...], words: str, max_length: int) -> PreTrainedTokenizerFast:
    """
    A tokenizer that adds no tokens, and pads on the left, as decoding needs.

    Args:
        tokens (`tuple[str, ...]`):
            All tokens in the order of their ids, the special tokens first.
        words (`str`):
            A regular expression for the tokens of several characters.
        max_length (`int`):
            The tokens of the longest text.
    """
    ids = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{words}|[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return finish_tokenizer(backend, SPECIAL_TOKENS, max_length)


def finish_tokenizer(
    backend: Tokenizer, special_tokens: Sequence[str], max_length: int, **options
) -> PreTrainedTokenizerFast:
    """A tokenizer with special tokens, which are in its vocabulary. It adds no tokens, and pads on the left, as decoding needs."""
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special_tokens])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        mask_token=MASK,
        padding_side="left",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **options,
    )
