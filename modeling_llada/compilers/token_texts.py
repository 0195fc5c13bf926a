# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What each token of a vocabulary spells."""

import hashlib
import json
import re
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode


BYTES_OF_CHARACTERS = {character: byte for byte, character in bytes_to_unicode().items()}
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class TokenTexts:
    """
    What each token of a vocabulary spells.

    Args:
        tokens (`dict[bytes, list[int]]`): The tokens that spell some bytes. Special tokens spell nothing.
        size (`int`): The number behind the largest id, also where some ids below it have no token.
        num_tokens (`int`): The number of tokens, with special ones.
        first_space_is_lost (`bool`): Decoding removes a space at the beginning.
        digest (`str`): Tells vocabularies apart.
    """

    tokens: dict[bytes, list[int]]
    size: int
    num_tokens: int
    first_space_is_lost: bool
    digest: str


TOKEN_TEXTS: WeakKeyDictionary[PreTrainedTokenizerBase, TokenTexts] = WeakKeyDictionary()


def token_texts(tokenizer: PreTrainedTokenizerBase) -> TokenTexts:
    """What each token spells. It is read again when tokens were added."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError(
            f"`tokenizer` must be a fast tokenizer, but got {type(tokenizer).__name__}. `AutoTokenizer.from_pretrained` gives one, "
            "and a processor has one as `tokenizer`."
        )
    texts = TOKEN_TEXTS.get(tokenizer)
    if texts is None or texts.num_tokens != len(tokenizer):
        texts = TOKEN_TEXTS[tokenizer] = read_token_texts(tokenizer)
    return texts


def read_token_texts(tokenizer: PreTrainedTokenizerBase) -> TokenTexts:
    """Undoes the encoding of the vocabulary that the decoder of the tokenizer undoes, token by token."""
    decoder = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"] or {"type": "nothing"}
    steps = decoder.get("decoders", [decoder])
    for step in steps:
        if not joins_tokens(step):
            raise ValueError(
                "`tokenizer` must decode by joining what the tokens spell: byte-level, Metaspace or whole characters. But its "
                f"decoder has {step}."
            )
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(index for index, token in added.items() if token.special)}
    tokens, digest = {}, hashlib.sha256()
    first_space_is_lost = any(
        step["type"] == "Strip" or (step["type"] == "Metaspace" and step["prepend_scheme"] != "never")
        for step in steps
    )
    digest.update(repr(first_space_is_lost).encode())
    vocabulary = tokenizer.get_vocab()
    for token, index in sorted(vocabulary.items(), key=lambda item: item[1]):
        text = b"" if index in special else spelled_by(token, steps)
        digest.update(b"%d %d " % (index, len(text)) + text)
        if text:
            tokens.setdefault(text, []).append(index)
    size = max(vocabulary.values(), default=-1) + 1
    return TokenTexts(tokens, size, len(tokenizer), first_space_is_lost, digest.hexdigest())


def joins_tokens(step: dict) -> bool:
    """Whether a step of a decoder changes each token alone, or takes one space from the beginning of the text."""
    if step["type"] == "Replace":
        return "String" in step["pattern"]
    if step["type"] == "Strip":
        return (step["content"], step["start"], step["stop"]) == (" ", 1, 0)
    return step["type"] in ("ByteFallback", "ByteLevel", "Fuse", "Metaspace")


def spelled_by(token: str, steps: list[dict]) -> bytes:
    """The bytes of a token."""
    for step in steps:
        if step["type"] == "ByteLevel" and set(token) <= set(BYTES_OF_CHARACTERS):
            return bytes(BYTES_OF_CHARACTERS[character] for character in token)
        if step["type"] == "ByteFallback" and (byte := BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(byte[1])
        if step["type"] == "Metaspace":
            token = token.replace(step["replacement"], " ")
        if step["type"] == "Replace":
            token = token.replace(step["pattern"]["String"], step["content"])
    return token.encode()


__all__ = ["TokenTexts", "token_texts"]
