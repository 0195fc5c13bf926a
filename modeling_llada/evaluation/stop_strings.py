# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The text of an answer up to its first stop string."""

from transformers import PreTrainedTokenizerBase


def cut_answer(
    tokenizer: PreTrainedTokenizerBase, tokens: list[int], strings: list[str], end_token_ids: list[int]
) -> str:
    """The text of an answer before its first end token and its first stop string, without special tokens."""
    end = next((index for index, token in enumerate(tokens) if token in end_token_ids), len(tokens))
    text = tokenizer.decode(tokens[:end])
    text = text[: min((text.find(string) for string in strings if string in text), default=len(text))]
    # Special tokens are removed last, because stop strings may contain them.
    for special_token in tokenizer.all_special_tokens:
        text = text.replace(special_token, "")
    return text
