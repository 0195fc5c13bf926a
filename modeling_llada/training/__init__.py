# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Masked supervised fine-tuning on TRL, and masked diffusion pre-training on the Trainer of transformers, with an
autoregressive twin for comparison."""

from importlib import import_module

from .block_lengths import BlockLengthCallback
from .expert_bias import ExpertBiasCallback
from .pretraining.configuration import LLaDAPretrainingConfig
from .pretraining.corpus import Corpus, TokenizedDocuments, lay_out, tokenize_documents
from .pretraining.rows import RowEntry, RowMixture, RowPhase
from .pretraining.shard_rows import ShardRows
from .pretraining.token_shards import TokenShards
from .pretraining.trainer import LLaDAPretrainer
from .pretraining.twin import AutoregressivePretrainer, autoregressive_twin
from .resuming import find_last_checkpoint
from .tokenizing.corpus import tokenize_corpus


__all__ = [
    "AutoregressivePretrainer",
    "BlockLengthCallback",
    "Corpus",
    "ExpertBiasCallback",
    "LLaDAGRPOConfig",
    "LLaDAGRPOTrainer",
    "LLaDAPretrainer",
    "LLaDAPretrainingConfig",
    "LLaDASFTConfig",
    "LLaDASFTTrainer",
    "LLaDAVRPOConfig",
    "LLaDAVRPOTrainer",
    "RowEntry",
    "RowMixture",
    "RowPhase",
    "ShardRows",
    "TokenShards",
    "TokenizedDocuments",
    "autoregressive_twin",
    "find_last_checkpoint",
    "lay_out",
    "tokenize_corpus",
    "tokenize_documents",
]

ON_TRL = {
    "LLaDAGRPOConfig": ".grpo.configuration",
    "LLaDAGRPOTrainer": ".grpo.trainer",
    "LLaDASFTConfig": ".sft.configuration",
    "LLaDASFTTrainer": ".sft.trainer",
    "LLaDAVRPOConfig": ".preference.configuration",
    "LLaDAVRPOTrainer": ".preference.trainer",
}


def __getattr__(name: str):
    # TRL takes seconds to import, and pre-training does not need it.
    if name not in ON_TRL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(ON_TRL[name], __name__), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"`{name}` needs the package {error.name!r}, which is not installed: pip install -e '.[train]'"
        ) from error
