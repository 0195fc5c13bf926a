# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rows whose response is marked, ends with EOS, and is not empty.

TRL tokenizes rows and marks their responses. Then, and for rows that the user has tokenized:

- each response ends with one EOS, whatever the chat template wrote;
- rows that are too long are cut, and then have no EOS, and documents are packed;
- rows that cannot be trained on are errors, which name them.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging
from trl import pack_dataset

from .configuration import LLaDASFTConfig


logger = logging.get_logger(__name__)
BATCH_SIZE = 1000
MASKS = ("completion_mask", "assistant_masks")


def tokenized_rows(
    dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer: PreTrainedTokenizerBase, vocab_size: int
) -> Dataset:
    """Checks rows that the user has tokenized, packed or not, and adds labels. Nothing else is changed."""
    if "input_ids" not in dataset.column_names:
        raise ValueError(
            f"`{name}` must have a column `input_ids`, as nothing prepares it, but has {sorted(dataset.column_names)}. "
            'Tokenize it, or leave `dataset_kwargs={"skip_prepare_dataset": True}` out.'
        )
    dataset = dataset.with_format(None)
    check_no_padding(dataset, name)
    check_packed_rows(dataset, name, args)
    dataset = with_labels(dataset, name, args)
    check_rows(dataset, name, args, tokenizer, vocab_size)
    return dataset


def with_labels(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """
    Turns the masks of tokenized rows into `labels`, by the rules of TRL: existing labels win, and `completion_mask` counts
    unless `completion_only_loss=False`.
    """
    check_lengths(dataset, name)
    masks = [mask for mask in MASKS if mask in dataset.column_names]
    if args.completion_only_loss is False:
        masks = [mask for mask in masks if mask != "completion_mask"]
    if "labels" in dataset.column_names or not masks:
        return dataset

    def label(rows):
        columns = zip(rows["input_ids"], *(rows[mask] for mask in masks), strict=True)
        return {
            "labels": [
                [token if all(bits) else -100 for token, *bits in zip(tokens, *marks, strict=True)]
                for tokens, *marks in columns
            ]
        }

    with PartialState().main_process_first():
        return dataset.map(
            label,
            batched=True,
            remove_columns=masks,
            num_proc=args.dataset_num_proc,
            desc=f"Labelling the responses of {name}",
        )


def check_lengths(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` unless labels and masks have the length of their `input_ids`."""
    for column in ("labels", "attention_mask", *MASKS):
        if column not in dataset.column_names:
            continue
        wrong = []
        for first, batch in _arrow_batches(dataset, ["input_ids", column]):
            lengths = [_flat(batch, each)[2] for each in ("input_ids", column)]
            wrong += (first + np.flatnonzero(lengths[0] != lengths[1])).tolist()
        if wrong:
            raise ValueError(
                f"`{name}` must have as many values in `{column}` as in `input_ids`, but {numbered(wrong, len(dataset))} "
                "have not. Cut and fill both in the same way."
            )


def finish_rows(
    dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer: PreTrainedTokenizerBase, cut: bool = True
) -> Dataset:
    """Ends each response with one EOS, then cuts rows at `max_length`, unless packing does."""
    kept = slice(None)
    if cut and args.max_length is not None:
        kept = slice(-args.max_length, None) if args.truncation_mode == "keep_end" else slice(args.max_length)

    def finish(rows):
        is_blank = functools.cache(lambda token: tokenizer.decode([token]).isspace())
        pairs = zip(rows["input_ids"], rows["labels"], strict=True)
        ended = [_ended(tokens, labels, tokenizer.eos_token_id, is_blank) for tokens, labels in pairs]
        return {"input_ids": [tokens[kept] for tokens, _ in ended], "labels": [labels[kept] for _, labels in ended]}

    dataset = dataset.select_columns(["input_ids", "labels"])
    with PartialState().main_process_first():
        return dataset.map(
            finish, batched=True, num_proc=args.dataset_num_proc, desc=f"Ending the responses of {name}"
        )


def _ended(
    tokens: list[int], labels: list[int], eos: int, is_blank: Callable[[int], bool]
) -> tuple[list[int], list[int]]:
    """
    Ends a row with EOS if it ends with its response.

    Chat templates may write a line break after EOS. After the last response it is removed, because nothing is generated
    there. Between turns it stays, because it belongs to the next prompt, and is not trained on.
    """
    labels = list(labels)
    for place in [place for place, label in enumerate(labels) if label == eos]:
        end = place + 1
        while end < len(tokens) and is_blank(tokens[end]):
            end += 1
        if end == place + 1:
            continue
        # TRL adds an EOS to a text that does not end with it.
        if end == len(tokens) or (end == len(tokens) - 1 and labels[end] == eos):
            return tokens[: place + 1], labels[: place + 1]
        if labels[end] == -100:
            labels[place + 1 : end] = [-100] * (end - place - 1)
    if labels and labels[-1] not in (-100, eos):
        return [*tokens, eos], [*labels, eos]
    return tokens, labels


def pack_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, eos_token_id: int) -> Dataset:
    """Packs finished rows. Where packing cuts documents, pieces without a token of the response are dropped."""
    strategy = args.packing_strategy
    with PartialState().main_process_first():
        if strategy == "bfd_split":
            dataset = _answered(_pieces(dataset, name, args), name, eos_token_id)
            strategy = "bfd"
        packed = pack_dataset(dataset, args.max_length, strategy, {"desc": f"Packing {name}"})
        return _answered(packed, name, eos_token_id) if strategy == "wrapped" else packed


def _pieces(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Cuts documents that are longer than a packed row."""
    length = args.max_length

    def cut(rows):
        return {
            column: [values[start : start + length] for values in lists for start in range(0, len(values), length)]
            for column, lists in rows.items()
        }

    return dataset.map(cut, batched=True, num_proc=args.dataset_num_proc, desc=f"Cutting the documents of {name}")


def _answered(dataset: Dataset, name: str, eos_token_id: int) -> Dataset:
    """Drops pieces without a token of a response."""
    kept = dataset.filter(
        lambda rows: [any(label not in (-100, eos_token_id) for label in labels) for labels in rows["labels"]],
        batched=True,
    )
    if len(kept) < len(dataset):
        logger.warning(
            f"Packing has cut `{name}` into {len(dataset)} pieces, {len(dataset) - len(kept)} of which have nothing of a "
            "response and are dropped."
        )
    return kept


def check_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer: PreTrainedTokenizerBase, vocab_size: int):
    """
    Raises a `ValueError` unless every row can be trained on: a response holds more than EOS, and no mask token. Without
    `labels` every token is trained on.
    """
    check_lengths(dataset, name)
    empty, outside, masked, too_long = [], [], [], []
    columns = [column for column in ("labels", "input_ids", "seq_lengths") if column in dataset.column_names]
    for first, batch in _arrow_batches(dataset, columns):
        labels, rows, lengths = _flat(batch, columns[0])
        tokens = _flat(batch, "input_ids")[0]
        answers = (labels != -100) & (labels != tokenizer.eos_token_id)
        empty += (first + _rows_without(answers, batch, rows, lengths)).tolist()
        outside += (first + np.unique(rows[(tokens < 0) | (tokens >= vocab_size)])).tolist()
        masked += (first + np.unique(rows[(tokens == tokenizer.mask_token_id) & (labels != -100)])).tolist()
        if isinstance(args.eos_fill, int):
            too_long += (first + np.flatnonzero(lengths > args.eos_fill)).tolist()
    total = len(dataset)
    if outside:
        raise ValueError(
            f"`{name}` must hold token ids from 0 to {vocab_size - 1}, the rows of the embedding, but "
            f"{numbered(outside, total)} have others. Tokenize with the tokenizer of this model."
        )
    if empty:
        what = "the response of a document" if "seq_lengths" in columns else "the response"
        raise ValueError(
            f"`{name}` must have a response in every row, but in {numbered(empty, total)} {what} is empty"
            + (f" (after rows were cut at `max_length={args.max_length}`). " if args.max_length else ". ")
            + "Raise `max_length`, shorten the prompts, or drop these rows with `dataset.filter`."
        )
    if masked:
        raise ValueError(
            f"`{name}` must have no mask token in a response, because the model never writes it, but "
            f"{numbered(masked, total)} have {tokenizer.mask_token!r}. Take it out of the text, or drop these rows with "
            "`dataset.filter`."
        )
    if too_long:
        raise ValueError(
            f"`eos_fill` must be at least the length of each row, but got {args.eos_fill}, and {numbered(too_long, total)} "
            f"of `{name}` are longer. Raise it, or set `max_length`."
        )


def _rows_without(marked: np.ndarray, batch: pa.Table, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The rows of a batch with a document that has no marked token."""
    if "seq_lengths" not in batch.column_names:
        return np.setdiff1d(np.arange(len(lengths)), rows[marked])
    document_lengths, document_rows, _ = _flat(batch, "seq_lengths")
    numbers = np.arange(len(document_lengths))
    return np.unique(document_rows[np.setdiff1d(numbers, numbers.repeat(document_lengths)[marked])])


def check_packed_rows(dataset: Dataset, name: str, args: LLaDASFTConfig) -> None:
    """Raises a `ValueError` unless packed rows can be separated into documents; see [`~trl.pack_dataset`]."""
    if "seq_lengths" not in dataset.column_names:
        return
    if args.eos_fill is not None:
        raise ValueError(
            f"`eos_fill={args.eos_fill!r}` is not supported for `{name}`, whose rows are packed: another document comes "
            "after a response. Leave it out, or give one document a row."
        )
    wrong = []
    for first, batch in _arrow_batches(dataset, ["input_ids", "seq_lengths"]):
        row_lengths = _flat(batch, "input_ids")[2]
        lengths, rows, counts = _flat(batch, "seq_lengths")
        sums = np.bincount(rows, weights=lengths, minlength=len(row_lengths))
        num_not_positive = np.bincount(rows, weights=lengths < 1, minlength=len(row_lengths))
        wrong += (first + np.flatnonzero((sums != row_lengths) | (num_not_positive > 0) | (counts == 0))).tolist()
    if wrong:
        raise ValueError(
            f"`{name}` must have positive `seq_lengths` that add up to the length of the row, but in "
            f"{numbered(wrong, len(dataset))} they do not. Pack with `trl.pack_dataset`, or give rows of one document and set "
            "`packing=True`."
        )


def check_no_padding(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` if tokenized rows are padded. The collator pads them, on the right."""
    if "attention_mask" not in dataset.column_names:
        return
    padded = []
    for first, batch in _arrow_batches(dataset, ["attention_mask"]):
        mask, rows, _ = _flat(batch, "attention_mask")
        padded += (first + np.unique(rows[mask == 0])).tolist()
    if padded:
        side = "left" if not dataset[padded[0]]["attention_mask"][0] else "right"
        raise ValueError(
            f"`{name}` must not be padded, but {numbered(padded, len(dataset))} are, row {padded[0]} on the {side}. Tokenize "
            "without `padding`: batches are padded on the right when they are made."
        )


def _arrow_batches(dataset: Dataset, columns: list[str]) -> Iterator[tuple[int, pa.Table]]:
    """Batches of rows that never become Python lists, each with the number of its first row."""
    batches = dataset.select_columns(columns).with_format("arrow").iter(BATCH_SIZE)
    return zip(range(0, len(dataset), BATCH_SIZE), batches, strict=True)


def _flat(batch: pa.Table, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of all lists in a column, the row of each, and the lengths of the rows."""
    lists = batch[column].combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    return lists.flatten().to_numpy(zero_copy_only=False), np.arange(len(lengths)).repeat(lengths), lengths


def numbered(numbers: list[int], total: int) -> str:
    """Names rows in an error message."""
    shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"{len(numbers)} of {total} rows ({shown})"
