# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Texts, a tokenizer of words, and what a folder of `llada tokenize` has."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast


TEXTS = [f"Day {day}. The sailor wrote {day % 7} letters, and nobody answered.\n\nHe slept — 床." for day in range(60)]


def save_words(folder, number, **specials):
    """Writes a tokenizer of words, some of which are its special tokens."""
    specials = {"bos_token": "<s>", "eos_token": "</s>", "mask_token": "[MASK]", "unk_token": "<unk>"} | specials
    vocabulary = [*dict.fromkeys(specials.values()), *(f"w{index}" for index in range(number))]
    words = {word: id for id, word in enumerate(vocabulary)}
    backend = Tokenizer(models.WordLevel(words, unk_token=specials["unk_token"]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, **specials).save_pretrained(folder)
    return str(folder)


def documents(shards, split="train"):
    """The texts of a split, as its tokenizer decodes them."""
    part, tokenizer = shards.splits[split], AutoTokenizer.from_pretrained(shards.tokenizer)
    return [
        tokenizer.decode(part.tokens(start, start + length))
        for start, length in zip(part.document_starts, part.lengths().astype(int), strict=True)
    ]


def files_of(folder):
    """The content of all files, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
