# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Training: masked diffusion pre-training on the Trainer of transformers."""

from .configuration import LLaDAPretrainingConfig
from .corpus import Corpus, TokenizedDocuments, lay_out, tokenize_documents
from .pretraining import LLaDAPretrainer, find_last_checkpoint
from .rows import RowEntry, RowMixture, RowPhase


__all__ = [
    "Corpus",
    "LLaDAPretrainer",
    "LLaDAPretrainingConfig",
    "RowEntry",
    "RowMixture",
    "RowPhase",
    "TokenizedDocuments",
    "find_last_checkpoint",
    "lay_out",
    "tokenize_documents",
]
