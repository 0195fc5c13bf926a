# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A tokenised corpus in one small file, and its layout as one flat run of tokens.

To be small, the file holds only the token ids of all texts one after the other, their lengths, and the same for one header
per document. Special tokens, and the second copy of each document with its header, are added when it is laid out.
"""

import json
import lzma
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.numpy

from ...writing import write_atomically


# The special tokens of a corpus, and texts for those that a tokenizer lacks.
SPECIAL_TOKENS = {"mask_token": "<|mask|>", "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}


@dataclass
class TokenizedDocuments:
    """
    The documents of one split as token ids without special tokens.

    Args:
        tokens (`np.ndarray` of shape `(num_tokens,)`):
            The texts, one after the other.
        lengths (`np.ndarray` of shape `(num_documents,)`):
            Tokens of each text.
        header_tokens (`np.ndarray`), header_lengths (`np.ndarray` of shape `(num_documents,)`):
            The same for the header of each document; length 0 where it has none.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    header_tokens: np.ndarray
    header_lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass
class Corpus:
    """
    Tokenised splits and the special tokens of their layout.

    Args:
        splits (`dict[str, TokenizedDocuments]`):
            For instance `"train"`, `"test"` and `"famous"`.
        vocab_size (`int`), bos_token_id (`int`), eos_token_id (`int`), mask_token_id (`int`):
            From the tokenizer.
        line_ends (`list[int]`):
            Ids of the characters that end a line.
        sentence_ends (`list[int]`):
            Those among them that end a sentence.
    """

    splits: dict[str, TokenizedDocuments]
    vocab_size: int
    bos_token_id: int
    eos_token_id: int
    mask_token_id: int
    line_ends: list[int] = field(default_factory=list)
    sentence_ends: list[int] = field(default_factory=list)

    def __post_init__(self):
        for name in SPECIAL_TOKENS:
            if getattr(self, f"{name}_id") is None:
                raise ValueError(f"`{name}_id` must be the id of a token, but got None. {advice([name])}")

    def save(self, path: str | Path) -> None:
        """Writes the corpus to a `.safetensors` file, or compressed to a `.safetensors.xz` file."""
        tensors = {
            f"{name}.{key}": np.ascontiguousarray(value)
            for name, split in self.splits.items()
            for key, value in vars(split).items()
        }
        values = {key: value for key, value in vars(self).items() if key != "splits"}
        data = safetensors.numpy.save(tensors, metadata={key: json.dumps(value) for key, value in values.items()})
        write_atomically(path, lzma.compress(data, preset=6) if str(path).endswith(".xz") else data)

    @classmethod
    def load(cls, path: str | Path) -> "Corpus":
        """Reads what `save` wrote."""
        if not Path(path).is_file():
            raise ValueError(
                f"`path` must be a tokenised corpus, but there is no file {path}. Write one with `save`, as "
                "`examples/pretrain.py --tokenize-only` does."
            )
        splits: dict[str, dict[str, np.ndarray]] = {}
        try:
            data = Path(path).read_bytes()
            if str(path).endswith(".xz"):
                data = lzma.decompress(data)
            header_size = int.from_bytes(data[:8], "little")
            metadata = json.loads(data[8 : 8 + header_size])["__metadata__"]
            for name, tensor in safetensors.numpy.load(data).items():
                split, key = name.split(".")
                splits.setdefault(split, {})[key] = tensor
        except (lzma.LZMAError, safetensors.SafetensorError, ValueError, KeyError):
            raise ValueError(
                f"`path` must be a tokenised corpus, but {path} is none, or is damaged. Write it again with `save`."
            ) from None
        return cls(
            splits={name: TokenizedDocuments(**tensors) for name, tensors in splits.items()},
            **{key: json.loads(value) for key, value in metadata.items()},
        )


def advice(missing: list[str]) -> str:
    """How to add special tokens to a tokenizer."""
    tokens = json.dumps({name: SPECIAL_TOKENS[name] for name in missing})
    return f"Call `tokenizer.add_special_tokens({tokens})`, save the tokenizer, and tokenise the corpus with it."


def special_token_ids(tokenizer) -> dict[str, int]:
    """
    The ids that a [`Corpus`] takes from its tokenizer. Raises a `ValueError` if the tokenizer lacks one of the tokens, or if the
    mask token has another task.
    """
    missing = [name for name in SPECIAL_TOKENS if getattr(tokenizer, f"{name}_id") is None]
    if missing:
        raise ValueError(
            f"`tokenizer` must have a mask token, a BOS token and an EOS token, but has no {', '.join(missing)}. "
            + advice(missing)
        )
    ids = {f"{name}_id": getattr(tokenizer, f"{name}_id") for name in SPECIAL_TOKENS}
    for name in ("bos_token", "eos_token", "unk_token"):
        if getattr(tokenizer, f"{name}_id") == ids["mask_token_id"]:
            raise ValueError(
                f"`tokenizer` must have a mask token of its own, but {tokenizer.mask_token!r} is also its `{name}`. "
                + advice(["mask_token"])
            )
    return ids


def tokenize_documents(
    texts: Iterable[str], headers: Iterable[list[str]], tokenizer, seed: int = 0, batch_size: int = 10_000
) -> TokenizedDocuments:
    """
    Encodes documents, each with one header drawn from its list.

    Args:
        texts (`Iterable[str]`):
            The documents.
        headers (`Iterable[list[str]]`):
            The headers that each document may carry; an empty list for none.
        tokenizer ([`PreTrainedTokenizerBase`]):
            Encodes text; its special tokens are left out.
        seed (`int`, *optional*, defaults to 0):
            Fixes the headers that are drawn.
        batch_size (`int`, *optional*, defaults to 10000):
            Documents encoded at a time.

    Returns:
        [`TokenizedDocuments`].
    """
    rng = np.random.default_rng(seed)
    drawn = [options[rng.integers(len(options))] if options else "" for options in headers]
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32

    def encode(strings: list[str]) -> tuple[np.ndarray, np.ndarray]:
        tokens, lengths = [np.empty(0, dtype)], []
        for start in range(0, len(strings), batch_size):
            rows = tokenizer(strings[start : start + batch_size], add_special_tokens=False)["input_ids"]
            lengths.extend(len(row) for row in rows)
            tokens.append(np.fromiter((token for row in rows for token in row), dtype))
        return np.concatenate(tokens), np.array(lengths, np.int32)

    return TokenizedDocuments(*encode(list(texts)), *encode(drawn))


@dataclass
class Layout:
    """
    Documents as one flat run of tokens, `BOS [header] text EOS` each.

    Args:
        tokens (`np.ndarray` of shape `(num_tokens,)`):
            The run.
        starts (`np.ndarray`), lengths (`np.ndarray` of shape `(num_copies,)`):
            Where `[header] text EOS` of each copy of a document lies: without its BOS.
        text_starts (`np.ndarray` of shape `(num_documents,)`):
            Where the text of each document lies in its bare copy.
    """

    tokens: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    text_starts: np.ndarray


def lay_out(
    documents: TokenizedDocuments,
    bos_token_id: int,
    eos_token_id: int,
    with_headers: bool = True,
    seed: int | None = 0,
) -> Layout:
    """
    Lays the documents out one after the other, `BOS [header] text EOS`.

    Args:
        documents ([`TokenizedDocuments`]):
            The documents of one split.
        bos_token_id (`int`), eos_token_id (`int`):
            The tokens before and after a document.
        with_headers (`bool`, *optional*, defaults to `True`):
            Whether each document appears twice, without and with its header (if it has one), or once, without it.
        seed (`int`, *optional*, defaults to 0):
            Seed that shuffles the copies, so that neighbours in a window are unrelated. `None` keeps the order.

    Returns:
        [`Layout`].
    """
    count = len(documents)
    text_lengths = documents.lengths.astype(np.int64)
    header_lengths = documents.header_lengths.astype(np.int64)
    # All pieces are gathered from one source: BOS, EOS, the headers, the texts.
    source = np.concatenate([np.array([bos_token_id, eos_token_id]), documents.header_tokens, documents.tokens])
    source = source.astype(np.int32)
    header_starts = 2 + exclusive_cumsum(header_lengths)
    text_starts = 2 + len(documents.header_tokens) + exclusive_cumsum(text_lengths)

    document = np.tile(np.arange(count), 2) if with_headers else np.arange(count)
    headed = np.arange(len(document)) >= count
    order = np.arange(len(document)) if seed is None else np.random.default_rng(seed).permutation(len(document))
    document, headed = document[order], headed[order]

    ones, zeros = np.ones(len(document), np.int64), np.zeros(len(document), np.int64)
    piece_starts = np.stack([zeros, header_starts[document], text_starts[document], ones], 1)
    piece_lengths = np.stack([ones, header_lengths[document] * headed, text_lengths[document], ones], 1)
    copy_lengths = piece_lengths.sum(1)
    copy_starts = exclusive_cumsum(copy_lengths)
    bare_text_starts = np.empty(count, np.int64)
    bare_text_starts[document[~headed]] = copy_starts[~headed] + 1
    return Layout(
        tokens=source[ragged_arange(piece_starts.ravel(), piece_lengths.ravel())],
        starts=copy_starts + 1,
        lengths=copy_lengths - 1,
        text_starts=bare_text_starts,
    )


def exclusive_cumsum(lengths: np.ndarray) -> np.ndarray:
    """The offsets of consecutive pieces of these lengths."""
    return np.cumsum(lengths) - lengths


def ragged_arange(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The ranges `start .. start + length - 1` one after the other."""
    return np.repeat(starts - exclusive_cumsum(lengths), lengths) + np.arange(lengths.sum())
