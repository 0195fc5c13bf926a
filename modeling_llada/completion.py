# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The text that a model wrote. Prompt and completion are decoded together, since a token alone may have another text."""

from collections.abc import Sequence
from itertools import groupby

from transformers import PreTrainedTokenizerBase


BROKEN = "\N{REPLACEMENT CHARACTER}"  # the text of an incomplete character


def completion_text(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], prompt_length: int, skip_special_tokens: bool = True
) -> str:
    """
    The text behind a prompt: that of the whole sequence without that of the prompt.

    The tokens behind the prompt, decoded alone, would lose the space before their first word with a SentencePiece tokenizer,
    and a character whose first bytes are in the prompt.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the model.
        tokens (`Sequence[int]` or `torch.LongTensor` of shape `(length,)`):
            Prompt and completion.
        prompt_length (`int`):
            The number of tokens in the prompt.
        skip_special_tokens (`bool`, *optional*, defaults to `True`):
            Whether to leave out special tokens such as EOS.

    Returns:
        `str`: The text.

    Example:

    ```python
    >>> from modeling_llada.completion import completion_text

    >>> inputs = tokenizer("床前明月光，", return_tensors="pt")
    >>> output = model.generate(**inputs, max_new_tokens=7)
    >>> completion_text(tokenizer, output[0], prompt_length=6)
    '疑是地上霜。'
    ```
    """
    tokens = [int(token) for token in tokens]
    prompt, whole, alone = (
        tokenizer.decode(part, skip_special_tokens=skip_special_tokens)
        for part in (tokens[:prompt_length], tokens, tokens[prompt_length:])
    )
    for known in (prompt, prompt.rstrip(BROKEN)):
        if whole.startswith(known):
            return whole[len(known) :]
    return alone  # the tokenizer decodes the prompt in another way when something follows it


def typed_texts(tokenizer: PreTrainedTokenizerBase, prompt: str, mask_token_id: int) -> list[str | None]:
    """
    For each token of a prompt the characters that were typed for it, with those that the tokenizer does not know; `None`
    for masks.
    """
    encoded = tokenizer(prompt, return_offsets_mapping=tokenizer.is_fast)
    if not tokenizer.is_fast:
        return [None if token == mask_token_id else tokenizer.decode([token]) for token in encoded["input_ids"]]
    texts, end = [], 0
    for token, (_, stop) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        texts.append(None if token == mask_token_id else prompt[end:stop])
        end = max(end, stop)
    return texts


def typed_and_written(
    tokenizer: PreTrainedTokenizerBase, prompt: str, tokens: Sequence[int], mask_token_id: int
) -> list[tuple[str, bool]]:
    """The prompt as it was typed, its filled masks, and the completion: texts in their order, and whether the model wrote each."""
    typed = typed_texts(tokenizer, prompt, mask_token_id)
    typed += [None] * (len(tokens) - len(typed))
    pieces = []
    for is_written, run in groupby(range(len(tokens)), key=lambda position: typed[position] is None):
        run = list(run)
        text = (
            completion_text(tokenizer, tokens[: run[-1] + 1], run[0])
            if is_written
            else "".join(typed[run[0] : run[-1] + 1])
        )
        pieces.append((text, is_written))
    return pieces
