# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the tests of the tokenised corpus share."""

import json

import pytest
from support.tokenized_texts import TEXTS

from modeling_llada.training import tokenize_corpus
from modeling_llada.training.tokenizing import corpus, sources
from modeling_llada.training.tokenizing.tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    """The folder of a tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, 300).save_pretrained(folder)
    return folder


@pytest.fixture
def tokenize(tokenizer, tmp_path):
    """Tokenises sources with it. Nothing is held out, unless a test asks for it."""

    def run(*sources, output="tokens", **options):
        options = {"tokenizer": str(tokenizer), "validation": 0} | options
        return tokenize_corpus(list(map(str, sources)), tmp_path / output, **options)

    return run


@pytest.fixture
def small_batches(monkeypatch):
    """Lets a few documents be a batch, and saves the progress after each."""
    monkeypatch.setattr(sources, "CHUNK_SIZE", 300)
    monkeypatch.setattr(corpus, "SECONDS_BETWEEN_SAVES", -1)


@pytest.fixture
def jsonl(tmp_path):
    """A file with a text in each line."""
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path
