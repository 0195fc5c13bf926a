# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The corpus: paragraphs of English prose, each once, in documents that are trained on or held out as a whole."""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from modeling_llada.training.pretraining.corpus import Corpus, tokenize_documents
from recipes.smollm2.sources import TEXTS, TextSource


MIN_PARAGRAPH, MIN_DOCUMENT = 40, 200  # characters
MIN_LETTERS = 0.7  # the least part of a paragraph that is letters and spaces
HELD_OUT = 0.02  # of the documents
WORD = re.compile(r"[a-z]{2,} [a-z]{2,}")


class Paragraphs:
    """Keeps paragraphs of English prose that were not there before. Numbers make no difference: they fill in templates."""

    def __init__(self):
        self._seen: set[bytes] = set()

    def keep(self, paragraphs: Iterable[str]) -> Iterator[str]:
        for paragraph in paragraphs:
            if is_prose(paragraph) and self.is_new(paragraph):
                yield paragraph

    def is_new(self, paragraph: str) -> bool:
        """Whether a paragraph was not there before. It is from now on."""
        key = sha256(re.sub(r"[\W\d]+", " ", paragraph.lower()).encode()).digest()[:12]
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph is long enough, in Latin letters, and mostly words."""
    if len(paragraph) < MIN_PARAGRAPH or not WORD.search(paragraph):
        return False
    letters = sum(character.isascii() and (character.isalpha() or character == " ") for character in paragraph)
    return letters >= MIN_LETTERS * len(paragraph)


def is_held_out(name: str) -> bool:
    """Whether a document is held out, which follows from its name alone."""
    return int.from_bytes(sha256(name.encode()).digest()[:4], "big") < HELD_OUT * 2**32


def read_documents(packages: Path, sources: tuple[TextSource, ...] = TEXTS) -> tuple[dict[str, list[str]], list[dict]]:
    """The documents of each split, and what each source gave. A paragraph is in one document only."""
    splits, counts, kept = {"train": [], "test": []}, [], Paragraphs()
    for source in sources:
        sizes = {"train": 0, "test": 0}
        number = 0
        for name, paragraphs in source.documents(packages):
            text = "\n\n".join(kept.keep(paragraphs))
            if len(text) < MIN_DOCUMENT:
                continue
            split = "test" if is_held_out(f"{source.package.name} {name}") else "train"
            splits[split].append(text)
            sizes[split] += len(text)
            number += 1
        counts.append({"name": source.package.name, "kind": source.kind, "documents": number, "characters": sizes})
        print(f"{source.package.name:24} {number:6,} documents, {sum(sizes.values()) / 1e6:6.1f} MB", flush=True)
    return splits, counts


def tokenize(splits: dict[str, list[str]], tokenizer, mask_token_id: int) -> Corpus:
    """
    The corpus file's contents. A document begins with `<|endoftext|>`, the unknown token, as in the pre-training of SmolLM2,
    and ends with the EOS token of the checkpoint.
    """
    documents = {
        name: tokenize_documents(texts, [[]] * len(texts), tokenizer, batch_size=500) for name, texts in splits.items()
    }
    return Corpus(
        documents,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.unk_token_id,
        eos_token_id=tokenizer.eos_token_id,
        mask_token_id=mask_token_id,
    )


def held_out_windows(corpus: Corpus, width: int, number: int, seed: int = 0) -> np.ndarray:
    """`(number, width)` windows of held-out documents, each within one document, none overlapping, in a random order."""
    documents = corpus.splits["test"]
    starts, first = [], 0
    for length in documents.lengths.tolist():
        starts += range(first, first + length - width + 1, width)
        first += length
    if not starts:
        raise ValueError(
            f"`width` must be at most the tokens of the longest held-out document, {max(documents.lengths, default=0)}, but "
            f"got {width}."
        )
    starts = np.random.default_rng(seed).permutation(starts)[:number]
    return documents.tokens[starts[:, None] + np.arange(width)].astype(np.int64)
