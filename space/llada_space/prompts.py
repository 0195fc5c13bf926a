# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From the text of the fields to the tokens of a prompt, within the limits of a model."""

import html
import re

from modeling_llada.conversation import Conversation
from modeling_llada.prompt_fields import MASK, PromptFields, check_unicode, count_tokens

from .models import ModelCard


MAX_CHARACTERS = 4000  # of any field: a longer text is refused before the tokenizer reads it
REOPENED = re.compile(r"\[\[(.*?)\]\]", re.S)  # words that the model writes again
MASK_GLYPH = "░"  # stands for a mask in a reply that is not finished


def check_text(name: str, text: str | None) -> str:
    """The text of a field. Raises a `ValueError` if it is not text, or too long."""
    text = text or ""
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text.")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{name} has {len(text)} characters, and at most {MAX_CHARACTERS} are allowed here.")
    check_unicode(name, text)
    return text


def encode(text: str, model, tokenizer, card: ModelCard) -> tuple[int, ...]:
    """The tokens of a text, in which `[MASK]` stands for the mask token."""
    mask_token = tokenizer.convert_ids_to_tokens(model.config.mask_token_id)
    ids = tokenizer(text.replace(MASK, mask_token))["input_ids"]
    if not ids:
        raise ValueError("there is nothing to start from: type a prompt.")
    if len(ids) > card.max_prompt_tokens:
        raise ValueError(
            f"the prompt has {len(ids)} tokens, and {card.name} allows at most {card.max_prompt_tokens} here."
        )
    return tuple(ids)


def encode_chat(history: list[dict], text: str, system: str, model, tokenizer, card: ModelCard) -> tuple[int, ...]:
    """The tokens of a chat: the latest turns that fit, and the new message."""
    if tokenizer.chat_template is None:
        raise ValueError(f"{card.name} has no chat template: use the tab Generate.")
    conversation = Conversation(tokenizer, model.config.mask_token_id, card.max_prompt_tokens, system or None)
    for user, reply in pair_turns(history):
        conversation.add(user, reply)
    return tuple(conversation.prompt_for(text)["input_ids"][0].tolist())


def pair_turns(history: list[dict]) -> list[tuple[str, str]]:
    """The turns of a chat: messages and replies. Of a reply that was stopped, the text before its first mask counts."""
    turns = []
    for message, reply in zip(history, history[1:], strict=False):
        if message["role"] == "user" and reply["role"] == "assistant":
            turns.append((as_text(message["content"]), as_text(reply["content"]).partition(MASK_GLYPH)[0]))
    return turns


def as_text(content) -> str:
    """The content of a message of the chat component as text. It is HTML, or a list of parts."""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return check_text("a message of the chat", html.unescape(content))


def as_html(text: str) -> str:
    """A text for the chat component, which would interpret tags."""
    return html.escape(text, quote=False)


def open_masks(text: str, tokenizer) -> str:
    """The text with a `[MASK]` for each token of the words in double brackets."""
    opened = REOPENED.sub(lambda match: MASK * count_tokens(match[1], tokenizer), text)
    if MASK not in opened:
        raise ValueError(f"there is nothing to fill: write {MASK} for each missing token, or put words into [[ ]].")
    return opened


def neighbours(line: str, length: int, tokenizer, fields: PromptFields) -> tuple[str, str]:
    """
    The text with masks for the line before a line, and the text with masks for the line after it. The other line has
    `length` tokens; 0: as many as the given line.
    """
    line = line.strip()
    first_line = fields.first_line(line)
    if not first_line:
        raise ValueError("there is no line: type one.")
    masks = MASK * (length or count_tokens(first_line, tokenizer))
    return fields.line_before(line, masks), fields.line_after(line, masks)
