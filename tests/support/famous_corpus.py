# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A small corpus file of the famous poems in this repository, some of them held out."""

from pathlib import Path

from transformers import AutoTokenizer

from modeling_llada.training import Corpus, tokenize_documents
from modeling_llada.training.pretraining.corpus import special_token_ids
from recipes.poems.couplets import famous_poems
from recipes.poems.header import header_variants


def save_famous_corpus(path: Path, number: int = 200) -> Path:
    """Writes the corpus, with the tokenizer of the shipped checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained("checkpoints/llada-poet")
    poems = famous_poems()[:number]
    documents = [(poem["text"], header_variants(poem["form"], poem["title"], poem["author"])) for poem in poems]
    splits = {"train": documents, "famous": documents, "test": documents[: number // 5]}
    corpus = Corpus(
        {name: tokenize_documents(*zip(*rows, strict=True), tokenizer) for name, rows in splits.items()},
        vocab_size=len(tokenizer),
        **special_token_ids(tokenizer),
        line_ends=tokenizer.convert_tokens_to_ids(list("，。？！；：")),
        sentence_ends=tokenizer.convert_tokens_to_ids(list("。？！；")),
    )
    corpus.save(path)
    return path
