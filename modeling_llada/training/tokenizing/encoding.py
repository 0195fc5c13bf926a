# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From raw documents to tokens: what a worker process does, and what it finds wrong."""

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from .sources import MAX_DOCUMENT_SIZE, Batch, Document, JsonLines, ParquetFile, TextFile


EMPTY = "empty"
ADVICE = {
    "not UTF-8": "Save the file as UTF-8.",
    "not JSON": "A file .jsonl has a JSON object in each line.",
    "no text": "Name the field with the text with `text_field`.",
    "half a character": "It was cut inside a character such as an emoji.",
    "too long": "Say what stands between the documents of a .txt file with `separator`, or divide it.",
    "special token": "This tokenizer encodes the text of a special token, or what it does not know, as one.",
}


class Problem(NamedTuple):
    """A document that is left out: why, in the words of `ADVICE`, and a sentence for the user."""

    reason: str
    place: str
    message: str


@dataclass
class EncodedBatch:
    """
    The tokens of a batch.

    Args:
        splits (`dict[str, tuple[np.ndarray, np.ndarray]]`):
            For `"train"` and `"validation"` the tokens of their documents one after the other, and the tokens of each.
        counts (`Counter`):
            `documents`, `tokens`, `bytes` of text, `unknown` tokens, and `special_text`: documents with the text of a special token.
        problems (`list[Problem]`):
            The documents that were left out.
    """

    splits: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


class Encoder:
    """
    Encodes batches.

    Args:
        tokenizer_file (`str`):
            A `tokenizer.json`.
        dtype (`str`):
            The type of the tokens.
        vocab_size (`int`):
            One more than the largest id.
        special_tokens (`dict[str, int]`):
            The texts and ids of the special tokens, which no document may have.
        unk_token_id (`int`, *optional*):
            The token of what the tokenizer does not know. Documents may have it.
    """

    def __init__(
        self,
        tokenizer_file: str,
        dtype: str,
        vocab_size: int,
        special_tokens: dict[str, int],
        unk_token_id: int | None,
    ):
        self.tokenizer = Tokenizer.from_file(tokenizer_file)
        self.tokenizer.encode_special_tokens = True  # their text is text like any other
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.dtype, self.unk_token_id = np.dtype(dtype), unk_token_id
        self.special_text = re.compile("|".join(map(re.escape, special_tokens)))
        self.is_special = np.zeros(vocab_size, bool)
        self.is_special[[one for one in special_tokens.values() if one != unk_token_id]] = True

    def encode(self, batch: Batch, threshold: int) -> EncodedBatch:
        """Encodes the documents. Those whose hash is below the threshold are held out."""
        texts, result = [], EncodedBatch()
        for document in batch.documents:
            text, problem = text_of(document)
            if problem:
                result.problems.append(problem)
            elif text is not None:
                texts.append((document, text))
        encodings = self.tokenizer.encode_batch_fast([text for _, text in texts], add_special_tokens=False)
        splits = {"train": [], "validation": []}
        for (document, text), encoding in zip(texts, encodings, strict=True):
            tokens = np.array(encoding.ids, self.dtype)
            if not len(tokens):
                result.problems.append(empty(document))
            elif self.is_special[tokens].any():
                result.problems.append(found("special token", document, "holds a special token"))
            else:
                splits["validation" if hash_of(text) < threshold else "train"].append(tokens)
                result.counts["documents"] += 1
                result.counts["tokens"] += len(tokens)
                result.counts["bytes"] += len(text.encode())
                result.counts["unknown"] += int(np.count_nonzero(tokens == self.unk_token_id))
                result.counts["special_text"] += bool(self.special_text.search(text))
        for name, rows in splits.items():
            if rows:
                result.splits[name] = np.concatenate(rows), np.array([len(row) for row in rows], np.uint32)
        return result

    def hashes(self, batch: Batch) -> np.ndarray:
        """The hashes of the documents with a text, of which a number of the smallest are held out."""
        texts = (text_of(document)[0] for document in batch.documents)
        return np.array([hash_of(text) for text in texts if text is not None], np.uint64)


def hash_of(text: str) -> int:
    """A number of 64 bits, the same for the same text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def text_of(document: Document) -> tuple[str | None, Problem | None]:
    """The text of a raw document, or what is wrong with it. An empty line of a JSONL file is neither."""
    text: Any = document.content
    if isinstance(text, str) and len(text) > MAX_DOCUMENT_SIZE:
        limit = f"has more than {MAX_DOCUMENT_SIZE:,} characters, which take a hundred times as much memory"
        return None, found("too long", document, limit)
    if isinstance(document.source, TextFile | JsonLines):
        if problem := encoding_problem(document, text, "not UTF-8", "is not UTF-8"):
            return None, problem
        if isinstance(document.source, TextFile):
            if "\0" in text:
                return None, found("not UTF-8", document, "has a NUL character, as UTF-16 has")
            text = text.strip()
        elif not text.strip():
            return None, None
        else:
            text, problem = field_of(document, text)
            if problem:
                return None, problem
    if not isinstance(text, str):
        name = document.source.options.text_field
        return None, found("no text", document, f"has no text in `{name}`, but {json.dumps(text, default=str)[:40]}")
    if not text.strip():
        return None, empty(document)
    if isinstance(document.source, ParquetFile):
        problem = encoding_problem(document, text, "not UTF-8", "is not UTF-8")
    else:
        problem = encoding_problem(document, text, "half a character", "has half of a character")
    return (None, problem) if problem else (text, None)


def field_of(document: Document, line: str) -> tuple[Any, Problem | None]:
    """The value of the text field of a line of JSON."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, found("not JSON", document, f"is not JSON: {error}")
    name = document.source.options.text_field
    if not isinstance(row, dict):
        return None, found("not JSON", document, f"is not a JSON object, but {line[:40]}")
    if name not in row:
        return None, found("no text", document, f"has no field `{name}`, but {', '.join(row)[:100]}")
    return row[name], None


def encoding_problem(document: Document, text: str, reason: str, message: str) -> Problem | None:
    """What is wrong if a text has lone surrogates, which stand for bytes that are no text or come from JSON escapes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return found(reason, document, f"{message} at character {error.start + 1:,}")
    return None


def empty(document: Document) -> Problem:
    return Problem(EMPTY, document.source.place(document.number), "")


def found(reason: str, document: Document, message: str) -> Problem:
    place = document.source.place(document.number)
    return Problem(reason, place, f"{place} {message}. {ADVICE[reason]}")
