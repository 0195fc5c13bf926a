# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The text of an answer up to its first stop string."""

from transformers import PreTrainedTokenizerBase

from ..completion import completion_text


def cut_answer(
    tokenizer: PreTrainedTokenizerBase,
    tokens: list[int],
    prompt_length: int,
    strings: list[str],
    end_token_ids: list[int],
) -> str:
    """The text behind a prompt, before its first end token and its first stop string, without special tokens."""
    ends = (index for index in range(prompt_length, len(tokens)) if tokens[index] in end_token_ids)
    text = completion_text(tokenizer, tokens[: next(ends, None)], prompt_length, skip_special_tokens=False)
    text = text[: min((text.find(string) for string in strings if string in text), default=len(text))]
    # Special tokens are removed last, because stop strings may contain them.
    for special_token in tokenizer.all_special_tokens:
        text = text.replace(special_token, "")
    return text
