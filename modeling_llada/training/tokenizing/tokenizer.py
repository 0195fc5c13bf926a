# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tokenizer of a corpus: one that exists, or a byte-level BPE that is trained on the corpus."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ...export.tokenizer import HEADER_TOKENS, set_chat_template
from ..pretraining.corpus import special_token_ids
from .encoding import text_of
from .sources import Source, read_batches


BOS, EOS, MASK = "<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>"
SPECIAL_TOKENS = (BOS, EOS, *HEADER_TOKENS, MASK)
SMALLEST = 256 + len(SPECIAL_TOKENS)
# More text changes little, and takes time and memory.
TRAINING_BYTES = 256_000_000
LONGEST_WORD = 1000  # characters. Training takes the square of it


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """
    Loads a tokenizer from a folder or the Hub. Raises a `ValueError` if it has no mask token, BOS or EOS, or if it is not one
    of the `tokenizers` library.
    """
    folder = Path(name).expanduser()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder) if folder.is_dir() else name)
    except Exception as error:  # the libraries raise many kinds of errors for a missing or damaged file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"`tokenizer` must be a folder or a Hub id with a tokenizer, but {name!r} cannot be loaded: {reason}"
        ) from error
    special_token_ids(tokenizer)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError(f"`tokenizer` must have a tokenizer.json, but {name!r} has none. Convert it first.")
    return tokenizer


def fingerprint_of(tokenizer: PreTrainedTokenizerBase) -> str:
    """By what another tokenizer of the same name is noticed."""
    values = [tokenizer.backend_tokenizer.to_str(), special_token_ids(tokenizer)]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """
    Trains a byte-level BPE tokenizer with LLaDA's special tokens and chat format. It knows any text, adds no tokens to
    it, and pads on the left, as decoding needs.

    Args:
        texts (`Iterable[str]`):
            The texts, of which only the words are kept in memory.
        vocab_size (`int`):
            Its tokens, special ones included. Little text may have fewer.

    Returns:
        `PreTrainedTokenizerFast`

    Example:

    ```python
    >>> from modeling_llada.training.tokenizing.tokenizer import train_tokenizer

    >>> train_tokenizer(["Any text", "in any language"], vocab_size=300).mask_token
    '<|mdm_mask|>'
    ```
    """
    backend = Tokenizer(models.BPE())
    # Line breaks are tokens of their own. Else those at the end of a chat prompt would be other tokens than those before an answer.
    line_breaks, words = pre_tokenizers.Split("\n", "contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([line_breaks, words])
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(map(cut_long_words, texts), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        mask_token=MASK,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
    set_chat_template(tokenizer)
    return tokenizer


def cut_long_words(text: str) -> str:
    """The text with line breaks in what has no white space for long, as letters of DNA."""
    if all(len(word) <= LONGEST_WORD for word in text.split()):
        return text
    return re.sub(rf"\S{{{LONGEST_WORD}}}", r"\g<0>\n", text)


def sample_texts(sources: list[Source]) -> Iterator[str]:
    """
    The texts to train a tokenizer on: all, or about `TRAINING_BYTES` that are drawn from all files. Of datasets, whose size is
    unknown, the first ones.
    """
    sizes = [source.num_bytes for source in sources]
    share = 1.0 if None in sizes else TRAINING_BYTES / max(sum(sizes), 1)
    taken = 0
    for number, batch in enumerate(read_batches(sources)):
        draw = int.from_bytes(hashlib.blake2b(number.to_bytes(8, "big"), digest_size=8).digest(), "big")
        if draw >= share * 2**64:
            continue
        for text, _ in map(text_of, batch.documents):
            if text is not None:
                yield text
                taken += len(text)
        if taken > (1 if None in sizes else 2) * TRAINING_BYTES:  # a Parquet file has more text than bytes
            return
