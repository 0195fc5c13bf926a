# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the user may give as `train_dataset` and `eval_dataset`, as sources of rows that fit the model."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedConfig

from .batches import EpochRows, ReadRows, RowSource, TensorRows
from .configuration import LLaDAPretrainingConfig
from .rows import RowEntry, RowPhase, check_ids
from .shard_rows import ShardRows
from .stream_rows import StreamRows
from .token_shards import TokenShards


def open_source(
    dataset, args: LLaDAPretrainingConfig, config: PreTrainedConfig, tokenizer=None
) -> RowSource | ReadRows:
    """
    Opens a `train_dataset`: a folder of shards, an `IterableDataset`, rows that are ready, or a source.

    Raises:
        `ValueError`: if it does not fit the model, or lacks what the arguments ask for.
    """
    entry = RowEntry(args.row_kind, args.row_length, share=1.0)
    if isinstance(dataset, str | Path | TokenShards):
        dataset = ShardRows(dataset, [RowPhase(1.0, [entry])], seed=args.seed)
    if isinstance(dataset, ShardRows):
        check_corpus(dataset.corpus, config, names=("bos_token_id",) if args.separate_documents else ())
    elif hasattr(dataset, "load_state_dict") and hasattr(dataset, "num_shards"):  # without an import of `datasets`
        ids = {name: needed_id(config, name) for name in ("bos_token_id", "eos_token_id")}
        dataset = StreamRows(dataset, entry, **ids, vocab_size=config.vocab_size, tokenizer=tokenizer)
    if hasattr(dataset, "read"):
        check_widths(dataset.entries, config)
    if hasattr(dataset, "entry_at"):
        return dataset
    rows = as_rows(dataset, "train_dataset", config)
    return EpochRows(rows, args.seed) if args.num_train_epochs else TensorRows(rows, args.device)


def steps_of_epochs(source: RowSource | ReadRows, args: LLaDAPretrainingConfig) -> int:
    """The steps of `num_train_epochs`, the last of which may reach into the next epoch."""
    if not hasattr(source, "num_rows") or len(source.entries) > 1:
        raise ValueError(
            "`num_train_epochs` needs rows of one kind that can be counted: a folder of shards, or a dataset of rows. For "
            "others give `max_steps`."
        )
    entry = source.entries[0]
    num_tokens = source.num_rows(entry) * entry.width * (2 if args.complementary_masks else 1)
    return math.ceil(args.num_train_epochs * num_tokens / args.tokens_per_step)


def check_corpus(corpus: TokenShards, config: PreTrainedConfig, names: Sequence[str] = ()) -> None:
    """Raises a `ValueError` if the tokens of a corpus are not those of a model, or special tokens with more `names` are not."""
    if corpus.vocab_size > config.vocab_size:
        raise ValueError(
            f"`model` must have all tokens of the corpus, {corpus.vocab_size:,} in {corpus.folder}, but has "
            f"{config.vocab_size:,}. Tokenise the text with the tokenizer of the model, or make the model for the tokenizer "
            f"in {corpus.tokenizer}."
        )
    for name in ("mask_token_id", "eos_token_id", *names):
        # A model may have several EOS tokens, and its twin has no mask token.
        known = np.atleast_1d(getattr(config, name, None))
        if known[0] is not None and getattr(corpus, name) not in known:
            raise ValueError(
                f"`model` must have the `{name}` of the corpus, {getattr(corpus, name)} in {corpus.folder}, but has "
                f"{getattr(config, name)}. Tokenise the text with the tokenizer of the model."
            )


def check_separable(config: PreTrainedConfig) -> None:
    """Raises a `ValueError` if documents cannot be told apart by the BOS with which each begins."""
    bos_token_id = needed_id(config, "bos_token_id")
    if bos_token_id in np.atleast_1d(config.eos_token_id):
        raise ValueError(
            f"`separate_documents` needs a BOS token that is not EOS, because it begins a document, but in `config` both are "
            f"{bos_token_id}. Take `row_kind='documents'`, or a tokenizer with a BOS of its own."
        )


def check_widths(entries: list[RowEntry], config: PreTrainedConfig) -> None:
    """Raises a `ValueError` if rows are longer than the model can read."""
    longest = max(entry.width for entry in entries)
    if longest > config.max_position_embeddings:
        raise ValueError(
            f"`row_length`, the width of rows, must be at most the positions of the model, {config.max_position_embeddings:,}, "
            f"but got {longest:,}."
        )


def needed_id(config: PreTrainedConfig, name: str) -> int:
    """The id of a special token, the first one if there are several."""
    token = np.atleast_1d(getattr(config, name, None))[0]
    if token is None:
        raise ValueError(f"`model` needs `config.{name}`: set it to the id that the tokenizer has for this token.")
    return int(token)


def held_out_rows(
    corpus: TokenShards | str | Path, split: str, width: int, most: int | None = None
) -> torch.LongTensor:
    """
    Windows of a split without overlap, in their order.

    Args:
        corpus ([`TokenShards`], `str` or `Path`):
            The folder.
        split (`str`):
            The split.
        width (`int`):
            Tokens of a window.
        most (`int`, *optional*):
            The number of windows if there are more, evenly spread over the split.

    Returns:
        `torch.LongTensor` of shape `(num_rows, width)`.
    """
    entry = RowEntry("windows", width, share=1.0)
    rows = ShardRows(corpus, [RowPhase(1.0, [entry])], split=split)
    count = rows.num_rows(entry)
    numbers = np.arange(count) if most is None or most >= count else np.linspace(0, count - 1, most).astype(np.int64)
    return torch.from_numpy(rows.windows(numbers * width, width))


def open_held_out(dataset, args: LLaDAPretrainingConfig, config: PreTrainedConfig):
    """
    Reads the rows of an `eval_dataset` that is a folder of shards, or of those in a dictionary; others stay as they are.

    Raises:
        `ValueError`: if a folder does not fit the model, or has no split `validation`.
    """
    if isinstance(dataset, dict):
        return {name: open_held_out(part, args, config) for name, part in dataset.items()}
    if not isinstance(dataset, str | Path | TokenShards):
        return dataset
    corpus = dataset if isinstance(dataset, TokenShards) else TokenShards(dataset)
    check_corpus(corpus, config)
    return held_out_rows(corpus, "validation", args.row_length, args.eval_rows)


def as_rows(dataset, name: str, config: PreTrainedConfig) -> torch.Tensor:
    """Rows of one width that are ready, as a tensor. Their ids must be tokens of the model."""
    try:
        rows = dataset if isinstance(dataset, torch.Tensor) else torch.tensor(dataset["input_ids"])
    except (TypeError, ValueError, LookupError, NotImplementedError) as error:
        raise ValueError(
            f"`{name}` must be rows: a tensor, or a dataset whose column `input_ids` has rows of one width; to train on, also a "
            f"folder of `llada tokenize` or an IterableDataset. But got {type(dataset).__name__}: {error}. Documents of several "
            "lengths are packed if they come from `dataset.to_iterable_dataset()`."
        ) from None
    if rows.ndim != 2 or rows.numel() == 0:
        raise ValueError(
            f"`{name}` must hold rows of one width, shape (num_rows, width), but has shape {tuple(rows.shape)}."
        )
    check_ids(rows, config.vocab_size, name)
    return rows
