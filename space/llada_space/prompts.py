# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From what people type to the tokens that the model gets, within its limits."""

import html
import re

from llada_cli.conversation import Conversation
from llada_cli.errors import CommandError
from llada_cli.poems import FORM_LENGTHS, FORMS, LINE_ENDS, end_line, first_line, poem_header
from llada_cli.prompts import MASK

from .models import ModelCard


MAX_CHARACTERS = 4000  # of any field: a longer text is refused before the tokenizer sees it
REOPENED = re.compile(r"\[\[(.*?)\]\]", re.S)  # words of a text that are to be written again
SENTENCE_ENDS = "。！？"
MASK_GLYPH = "░"  # stands for a mask in a reply that is not finished
CHARACTERS_OF_A_LINE = {"五": 5, "七": 7}


def check_text(name: str, text: str | None) -> str:
    """
    The text of a field.

    Raises:
        `ValueError`: if it is no text, or too long.
    """
    text = text or ""
    if not isinstance(text, str):
        raise ValueError(f"{name} must be text.")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{name} has {len(text)} characters; {MAX_CHARACTERS} are allowed here.")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{name} holds half a character.")
    return text


def write_header(form: str | None, title: str | None, author: str | None) -> str:
    """
    The header of a poem, or `""`.

    Raises:
        `ValueError`: for a form that does not exist, or a poet without a title.
    """
    title, author = check_text("the title", title).strip(), check_text("the poet", author).strip()
    if form and form not in FORMS:
        raise ValueError(f"the form must be one of {' '.join(FORMS)}, but got {str(form)[:40]!r}.")
    if author and not title:
        raise ValueError("a poet needs a title: the model knows poets only beside one.")
    if "\n" in title + author:
        raise ValueError("title and poet are one line.")
    return poem_header(form or None, title, author)


def encode(text: str, model, tokenizer, card: ModelCard) -> tuple[int, ...]:
    """
    The tokens of a text, in which `[MASK]` stands for the mask token.

    Raises:
        `ValueError`: if it is empty or longer than the model may get here.
    """
    mask_token = tokenizer.convert_ids_to_tokens(model.config.mask_token_id)
    ids = tokenizer(text.replace(MASK, mask_token))["input_ids"]
    if not ids:
        raise ValueError("there is nothing to start from: type a prompt.")
    if len(ids) > card.max_prompt_tokens:
        raise ValueError(f"the prompt has {len(ids)} tokens; {card.name} gets at most {card.max_prompt_tokens} here.")
    return tuple(ids)


def encode_chat(history: list[dict], text: str, system: str, model, tokenizer, card: ModelCard) -> tuple[int, ...]:
    """
    The tokens of a chat: the turns so far as far as they fit, and what the user says now.

    Raises:
        `ValueError`: if the model has no chat template, or the text does not fit.
    """
    if tokenizer.chat_template is None:
        raise ValueError(f"{card.name} has no chat template: use the tab Generate.")
    conversation = Conversation(tokenizer, model.config.mask_token_id, card.max_prompt_tokens, system or None)
    for user, reply in pair_turns(history):
        conversation.add(user, reply)
    try:
        return tuple(conversation.prompt_for(text)["input_ids"][0].tolist())
    except CommandError as error:
        raise ValueError(
            str(error).replace("`llada generate --infill` fills them", "the tab Infill fills them")
        ) from error


def pair_turns(history: list[dict]) -> list[tuple[str, str]]:
    """
    The turns of a chat: what the user said, and the reply. Of a reply that was stopped that is what stands before its
    first mask.
    """
    turns = []
    for message, reply in zip(history, history[1:], strict=False):
        if message["role"] == "user" and reply["role"] == "assistant":
            turns.append((as_text(message["content"]), as_text(reply["content"]).partition(MASK_GLYPH)[0]))
    return turns


def as_text(content) -> str:
    """The content of a message of the chat component, HTML or a list of parts, as text."""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return check_text("a message of the chat", html.unescape(content))


def as_html(text: str) -> str:
    """A text for the chat component, which shows the tags of a message as what they mean."""
    return html.escape(text, quote=False)


def line_columns(form: str | None, text: str) -> int | None:
    """How many cells make a line of the drawing: two lines of a verse with their punctuation, if it is one."""
    if form:
        return next((2 * (count + 1) for start, count in CHARACTERS_OF_A_LINE.items() if form.startswith(start)), None)
    line = first_line(text.rpartition("\n")[2])
    return 2 * (len(line) + 1) if len(line) in CHARACTERS_OF_A_LINE.values() else None


def form_length(form: str | None, poem: str, tokenizer) -> int | None:
    """
    The masks that a form asks for behind the given start, with one for the end; `None` for a free form.

    Raises:
        `ValueError`: if the start is longer than the form.
    """
    if form not in FORM_LENGTHS:
        return None
    given = len(tokenizer(poem, add_special_tokens=False)["input_ids"]) if poem else 0
    if given >= FORM_LENGTHS[form]:
        raise ValueError(f"{form} has {FORM_LENGTHS[form]} characters, and the given start {given}: shorten it.")
    return FORM_LENGTHS[form] - given + 1


def open_masks(text: str, tokenizer) -> str:
    """
    The text with a `[MASK]` for each token of the words in double brackets.

    Raises:
        `ValueError`: if there is nothing to fill.
    """

    def reopen(match: re.Match) -> str:
        return MASK * len(tokenizer(match[1], add_special_tokens=False)["input_ids"]) if match[1] else ""

    opened = REOPENED.sub(reopen, text)
    if MASK not in opened:
        raise ValueError(f"nothing to fill: write {MASK} for each token that is missing, or put words into [[ ]].")
    return opened


def neighbours(line: str, length: int, tokenizer, writes_poems: bool) -> tuple[str, str]:
    """
    The texts in which the line before a given line, and the line behind it, are masks.

    Args:
        line (`str`):
            The given line.
        length (`int`):
            The tokens of the other line; 0: as many as the given one.
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer.
        writes_poems (`bool`):
            Whether lines end with the punctuation of verse; else with a line break.

    Returns:
        `tuple[str, str]`: The two texts.

    Raises:
        `ValueError`: if there is no line.
    """
    line = line.strip()
    if not line or not first_line(line):
        raise ValueError("there is no line: type one.")
    length = length or len(tokenizer(first_line(line), add_special_tokens=False)["input_ids"])
    masks = MASK * length
    if not writes_poems:
        return f"{masks}\n{line}", f"{line}\n{masks}"
    if line.endswith(tuple(SENTENCE_ENDS)):
        return f"{masks}，{line}", f"{line}{masks}，"
    forward = line if line.endswith(tuple(LINE_ENDS)) else line + "，"
    return f"{masks}，{end_line(line)}", f"{forward}{masks}。"
