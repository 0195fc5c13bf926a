# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Folders of token shards with made-up documents."""

import random
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from modeling_llada.training.pretraining.token_shard_writing import SplitWriter, write_manifest
from support.made_up_corpus import BOS, COMMA, EOS, FIRST_CHARACTER, LAST_CHARACTER, MASK


def made_up_documents(count: int, seed: int = 0, longest: int = 60) -> list[list[int]]:
    """Documents of random lengths, some of them empty, with lines that end with a comma."""
    rng = random.Random(seed)
    lengths = [rng.choice([0, 1, rng.randint(2, longest)]) for _ in range(count)]
    draw = lambda: COMMA if rng.random() < 0.2 else rng.randint(FIRST_CHARACTER, LAST_CHARACTER)  # noqa: E731
    return [[draw() for _ in range(length)] for length in lengths]


def made_up_tokenizer(vocab_size: int = 99) -> PreTrainedTokenizerFast:
    """Writes each token as its number: `w12`."""
    words = WordLevel({f"w{token}": token for token in range(vocab_size)}, unk_token=f"w{LAST_CHARACTER}")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = Whitespace()
    names = {"bos_token": f"w{BOS}", "eos_token": f"w{EOS}", "mask_token": f"w{MASK}"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def write_token_folder(folder: Path, shard_bytes: int = 1000, vocab_size: int = 99, **splits: list[list[int]]) -> Path:
    """Writes a folder as `llada tokenize` does, with the special tokens of the made-up corpus."""
    made_up_tokenizer(vocab_size).save_pretrained(folder / "tokenizer")
    entries = {}
    for name, documents in splits.items():
        writer = SplitWriter(folder, name, np.dtype(np.uint16), shard_bytes)
        writer.add(np.array(sum(documents, []), np.uint16), np.array([len(one) for one in documents], np.uint32))
        entries[name] = writer.finish()
    ids = {"bos_token_id": BOS, "eos_token_id": EOS, "mask_token_id": MASK}
    write_manifest(folder, dtype="uint16", vocab_size=vocab_size, **ids, splits=entries)
    return folder
