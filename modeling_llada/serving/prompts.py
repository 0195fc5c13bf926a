# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The prompts of requests that are text alone."""

import inspect
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import BatchEncoding, PreTrainedConfig, PreTrainedTokenizerBase

from ..completion import completion_text, typed_and_written


@dataclass
class Prompt:
    """
    A prompt, and what of it is in the text of an answer.

    Args:
        inputs (`Mapping`): The inputs of the model, with `input_ids` of shape `(1, length)`.
        mask_token_id (`int`): The mask token.
        typed (`str`, *optional*): The text, if it was typed.
        is_shown (`bool`, *optional*, defaults to `False`): Whether the text of an answer begins with the prompt.
        gap (`slice`, *optional*): The masks between a prompt and its suffix, which are the whole answer.
    """

    inputs: Mapping
    mask_token_id: int
    typed: str | None = None
    is_shown: bool = False
    gap: slice | None = None

    @property
    def length(self) -> int:
        """The number of tokens."""
        return self.inputs["input_ids"].shape[1]

    @property
    def num_masks(self) -> int:
        """The number of masks."""
        return int((self.inputs["input_ids"] == self.mask_token_id).sum())

    def shown_text(self, tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
        """The part of it that an answer shows, `tokens` being those of the prompt with its masks filled."""
        if self.gap is not None:
            return completion_text(tokenizer, tokens[: self.gap.stop], self.gap.start)
        if not self.is_shown:
            return ""
        if self.typed is None:
            return tokenizer.decode(tokens, skip_special_tokens=True)
        return "".join(text for text, _ in typed_and_written(tokenizer, self.typed, tokens, self.mask_token_id))


def read_prompts(value: Any, max_prompts: int) -> list[str | list[int]]:
    """
    The field `prompt` as a list of texts and lists of token ids.

    Raises:
        `ValueError`: if it is neither a text, a list of texts, a list of token ids nor a list of such lists.
    """
    prompts = [value] if isinstance(value, str) or is_token_list(value) else value
    is_list = isinstance(prompts, list) and prompts
    if not is_list or not all(isinstance(prompt, str) or is_token_list(prompt) for prompt in prompts):
        raise ValueError(
            "`prompt` must be a text, a list of token ids, or a list of one or more of them, but got "
            f"{reprlib.repr(value)}."
        )
    if len(prompts) > max_prompts:
        raise ValueError(
            f"`prompt` must be at most {max_prompts} prompts for as many choices on this server, but got {len(prompts)}. Send several "
            "requests."
        )
    return prompts


def is_token_list(value: Any) -> bool:
    """Whether a prompt is given as token ids."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(token, int) and not isinstance(token, bool) and abs(token) < 2**63 for token in value)
    )


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, prompt: str | list[int], mask_token_id: int, is_shown: bool
) -> Prompt:
    """A prompt to complete. One with masks is shown in the answer, because they are filled."""
    if isinstance(prompt, str):
        encoded = Prompt(tokenizer(prompt, return_tensors="pt"), mask_token_id, prompt)
    else:
        encoded = Prompt({"input_ids": torch.tensor([prompt])}, mask_token_id)
    encoded.is_shown = is_shown or encoded.num_masks > 0
    return encoded


def encode_gap(
    tokenizer: PreTrainedTokenizerBase, prompt: str | list[int], suffix: Any, mask_token_id: int, num_masks: int
) -> Prompt:
    """
    A prompt and its suffix with masks between them.

    Raises:
        `ValueError`: if they are no texts, or hold masks of their own.
    """
    mask_token = tokenizer.convert_ids_to_tokens(mask_token_id)
    for name, text in (("suffix", suffix), ("prompt", prompt)):
        if not isinstance(text, str) or mask_token in text:
            raise ValueError(
                f"`{name}` must be a text without the mask token {mask_token!r} in a request with a `suffix`, but got "
                f"{reprlib.repr(text)}. Fill other masks by a `prompt` that holds them, without a `suffix`."
            )
    encoded = Prompt(tokenizer(prompt + num_masks * mask_token + suffix, return_tensors="pt"), mask_token_id)
    is_mask = encoded.inputs["input_ids"][0] == mask_token_id
    start = int(is_mask.int().argmax())
    encoded.gap = slice(start, start + num_masks)
    return encoded


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
