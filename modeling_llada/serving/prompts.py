# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The prompts of requests that are text alone."""

import inspect
import reprlib
from typing import Any

from jinja2 import TemplateError
from transformers import BatchEncoding, PreTrainedConfig, PreTrainedTokenizerBase


def check_length(name: str, texts: list[str], longest: int) -> None:
    """Raises a `ValueError` for more characters than a prompt can have. Tokenizing them would take the time of others."""
    length = sum(map(len, texts))
    if length > longest:
        raise ValueError(f"`{name}` must have at most {longest} characters, but got {length}. Shorten the text.")


def longest_prompt(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> int:
    """The characters of the longest prompt that may fit: that of the longest tokens."""
    return config.get_text_config().max_position_embeddings * max(map(len, tokenizer.get_vocab()))


def make_chat_prompt(tokenizer: PreTrainedTokenizerBase, messages: list[dict], variables: Any) -> BatchEncoding:
    """
    The inputs of the model for the answer to messages of text. The texts of the parts of a message are joined as they are.

    Raises:
        `ValueError`: if the chat template refuses them, or if `variables`, the field `chat_template_kwargs`, are not only for it.
    """
    check_variables(tokenizer, variables)
    chat = [{"role": message["role"], "content": text_of(message["content"])} for message in messages]
    try:
        return tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", **(variables or {})
        )
    except (TemplateError, TypeError) as error:  # the latter for a variable of a type that the template cannot use
        raise ValueError(f"the chat template of the checkpoint refuses the messages: {error}.") from error


def check_variables(tokenizer: PreTrainedTokenizerBase, variables: Any) -> None:
    """Raises a `ValueError` for variables that would be arguments of the tokenizer, such as another template."""
    if variables is None:
        return
    if not isinstance(variables, dict):
        raise ValueError(f"`chat_template_kwargs` must be an object, but got {reprlib.repr(variables)}.")
    for name in variables:
        if name == "messages" or name in inspect.signature(tokenizer.apply_chat_template).parameters:
            raise ValueError(
                f"`chat_template_kwargs` may only have variables of the chat template, but got {reprlib.repr(name)}. Leave it out."
            )


def text_of(content: str | list[dict]) -> str:
    """The text of a message; that of an image is none."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")
