# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rows whose response is marked, ends with EOS, and is not empty.

TRL tokenizes rows and marks their responses. Then, and for rows that the user has tokenized:

- each response ends with one EOS, whatever the chat template wrote;
- rows that are too long are cut, and then have no EOS, and documents are packed;
- rows that cannot be trained on are errors, which name them.
"""

import contextlib
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging
from trl import pack_dataset
from trl.data_utils import common_prefix_length

from ..data_files import LINE, numbered_rows
from ..masking.mask_sources import COMMIT_STEPS
from .configuration import LLaDASFTConfig
from .formats import IMAGE_LENGTHS, IMAGE_PATHS, IMAGE_SIZES, ROW_NUMBER, TRAINED_TURNS, TURN_STARTS


logger = logging.get_logger(__name__)
BATCH_SIZE = 1000
TOKENS = ("input_ids", "labels")
MASKS = ("completion_mask", "assistant_masks")
# The columns of rows that are finished.
FINISHED = (*TOKENS, COMMIT_STEPS, LINE, ROW_NUMBER, IMAGE_PATHS, IMAGE_SIZES, IMAGE_LENGTHS, TURN_STARTS)


def tokenized_rows(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Checks the columns of rows that the user has tokenized, packed or not, and adds labels. Nothing else is changed."""
    if "input_ids" not in dataset.column_names:
        raise ValueError(
            f"`{name}` must have a column `input_ids`, as nothing prepares it, but has {sorted(dataset.column_names)}. "
            'Tokenize it, or leave `dataset_kwargs={"skip_prepare_dataset": True}` out.'
        )
    dataset = dataset.with_format(None)
    check_columns(dataset, name)
    check_no_padding(dataset, name)
    check_packed_rows(dataset, name, args)
    return with_labels(dataset, name, args)


def with_labels(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """
    Turns the masks of tokenized rows into `labels`, by the rules of TRL: existing labels win, and `completion_mask` counts
    unless `completion_only_loss=False`.
    """
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


def check_columns(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` unless the columns of tokenized rows hold integers, and as many as their `input_ids`."""
    for column in ("input_ids", "labels", "seq_lengths", "attention_mask", COMMIT_STEPS, *MASKS):
        if column in dataset.column_names:
            _check_integers(dataset, name, column)
    for column in ("labels", "attention_mask", COMMIT_STEPS, *MASKS):
        if column not in dataset.column_names:
            continue
        wrong = []
        for first, batch in arrow_batches(dataset, ["input_ids", column]):
            lengths = [flat_values(batch, each)[2] for each in ("input_ids", column)]
            wrong += (first + np.flatnonzero(lengths[0] != lengths[1])).tolist()
        if wrong:
            raise ValueError(
                f"`{name}` must have as many values in `{column}` as in `input_ids`, but {numbered_rows(wrong, dataset)} "
                "have not. Cut and fill both in the same way."
            )


def _check_integers(dataset: Dataset, name: str, column: str) -> None:
    is_mask = column in ("attention_mask", *MASKS)
    kind = dataset.features.arrow_schema.field(column).type
    values = getattr(kind, "value_type", None)  # of lists
    if values is None or not (pa.types.is_integer(values) or (is_mask and pa.types.is_boolean(values))):
        raise ValueError(
            f"`{name}` must have lists of integers in the column `{column}`, but they are {kind}. Tokenize the texts with "
            "the tokenizer of the model."
        )
    wrong = []
    for first, batch in arrow_batches(dataset, [column]):
        missing = batch[column].is_null().to_numpy()
        flat, rows, _ = flat_values(batch, column)
        missing[rows[~np.isin(flat, (0, 1))] if is_mask else rows[flat != flat]] = True
        wrong += (first + np.flatnonzero(missing)).tolist()
    if wrong:
        rule = "lists of 0 and 1" if is_mask else "lists of integers"
        raise ValueError(
            f"`{name}` must have {rule} in the column `{column}`, but {numbered_rows(wrong, dataset)} have not. Repair or "
            "drop these rows."
        )


def switch_off_turns(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Takes the answers out of the labels that the flags of their messages switch off."""
    if TRAINED_TURNS not in dataset.column_names:
        return dataset
    flagged = [row for row, turns in enumerate(dataset[TRAINED_TURNS]) if not all(turns)]
    labels = dataset["labels"]
    unclear = [row for row in flagged if len(_marked_turns(labels[row])) != len(dataset[row][TRAINED_TURNS])]
    if unclear:
        raise ValueError(
            f"`{name}` has flags at single messages, and the chat template must mark each answer on its own, but in "
            f"{numbered_rows(unclear, dataset)} it does not. Drop the flags, or use a template with `{{% generation %}}` around "
            "each answer."
        )

    def switch_off(row):
        labels = list(row["labels"])
        if not all(row[TRAINED_TURNS]):
            for (start, end), is_trained in zip(_marked_turns(labels), row[TRAINED_TURNS], strict=True):
                labels[start:end] = labels[start:end] if is_trained else [-100] * (end - start)
        return {"labels": labels}

    if not flagged:
        return dataset
    with PartialState().main_process_first():
        return dataset.map(switch_off, num_proc=args.dataset_num_proc, desc=f"Reading the flags of {name}")


def _marked_turns(labels: list[int]) -> list[tuple[int, int]]:
    """The first position of each run of marked tokens, and the one after its last."""
    marked = np.concatenate([[False], np.array(labels) != -100, [False]])
    edges = np.flatnonzero(marked[1:] != marked[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def finish_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Ends each response with one EOS."""

    def finish(rows):
        is_blank = blank_tokens(tokenizer)
        pairs = zip(rows["input_ids"], rows["labels"], strict=True)
        ended = [end_row(tokens, labels, tokenizer.eos_token_id, is_blank) for tokens, labels in pairs]
        columns = {"input_ids": [tokens for tokens, _ in ended], "labels": [labels for _, labels in ended]}
        if COMMIT_STEPS in rows:
            pairs = zip(rows[COMMIT_STEPS], columns["input_ids"], strict=True)
            columns[COMMIT_STEPS] = [[*steps, -1][: len(tokens)] for steps, tokens in pairs]
        return columns

    dataset = dataset.select_columns([column for column in FINISHED if column in dataset.column_names])
    with PartialState().main_process_first():
        return dataset.map(
            finish, batched=True, num_proc=args.dataset_num_proc, desc=f"Ending the responses of {name}"
        )


def cut_rows(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Cuts rows at `max_length`, and says how many."""
    lengths = [flat_values(batch, "input_ids")[2] for _, batch in arrow_batches(dataset, ["input_ids"])]
    lengths = np.concatenate(lengths)
    too_long = [] if args.max_length is None else np.flatnonzero(lengths > args.max_length).tolist()
    if not too_long:
        return dataset
    if args.truncation_mode == "keep_end":
        kept, lost = slice(-args.max_length, None), "their beginning is not seen"
    else:
        kept, lost = slice(args.max_length), "they have no end, and teach the model not to stop"
    columns = [column for column in (*TOKENS, COMMIT_STEPS) if column in dataset.column_names]
    say(
        f"{numbered_rows(too_long, dataset)} of `{name}` are longer than `max_length={args.max_length}` and are cut: {lost}. "
        f"The longest has {lengths.max()} tokens. Raise `max_length`, or shorten or drop these rows."
    )
    with PartialState().main_process_first():
        return dataset.map(
            lambda rows: {column: [values[kept] for values in rows[column]] for column in columns},
            batched=True,
            num_proc=args.dataset_num_proc,
            desc=f"Cutting {name}",
        )


def say(message: str) -> None:
    if PartialState().is_main_process:
        logger.warning(message)


def blank_tokens(tokenizer: PreTrainedTokenizerBase) -> Callable[[int], bool]:
    """The function that says whether a token is white space, and remembers it."""
    return functools.cache(lambda token: tokenizer.decode([token]).isspace())


def end_row(
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


def pack_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Packs finished rows. Where packing cuts documents, pieces without a token of the response are dropped."""
    dataset = dataset.select_columns(list(TOKENS))
    strategy = args.packing_strategy
    with PartialState().main_process_first():
        if strategy == "bfd_split":
            dataset = _answered(_pieces(dataset, name, args), name, tokenizer)
            strategy = "bfd"
        packed = pack_dataset(dataset, args.max_length, strategy, {"desc": f"Packing {name}"})
        return _answered(packed, name, tokenizer) if strategy == "wrapped" else packed


def _pieces(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Cuts documents that are longer than a packed row."""
    length = args.max_length

    def cut(rows):
        return {
            column: [values[start : start + length] for values in lists for start in range(0, len(values), length)]
            for column, lists in rows.items()
        }

    return dataset.map(cut, batched=True, num_proc=args.dataset_num_proc, desc=f"Cutting the documents of {name}")


def _answered(dataset: Dataset, name: str, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Drops pieces without a token of a response."""
    nothing = {-100, *tokens_of_no_answer(tokenizer)}
    kept = dataset.filter(lambda rows: [not nothing.issuperset(labels) for labels in rows["labels"]], batched=True)
    if len(kept) < len(dataset):
        say(
            f"Packing has cut `{name}` into {len(dataset)} pieces, {len(dataset) - len(kept)} of which have nothing of a "
            "response and are dropped."
        )
    return kept


def tokens_of_no_answer(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """EOS, and what the chat template writes after the prompt when the answer is empty, such as an end of turn."""
    question, answer = {"role": "user", "content": "?"}, {"role": "assistant", "content": ""}
    added = []
    if tokenizer.chat_template is not None:
        # A template may raise any error to refuse an empty answer.
        with contextlib.suppress(Exception):
            prompt = tokenizer.apply_chat_template([question], add_generation_prompt=True, return_dict=True)
            whole = tokenizer.apply_chat_template([question, answer], return_dict=True)
            added = whole["input_ids"][common_prefix_length(prompt["input_ids"], whole["input_ids"]) :]
    return sorted({tokenizer.eos_token_id, *added})


def check_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer: PreTrainedTokenizerBase, vocab_size: int):
    """
    Raises a `ValueError` unless every row can be trained on: a response holds more than the template writes itself, a
    token that the tokenizer knows, and no mask token. Without `labels` every token is trained on. Rows with unknown
    tokens are said.
    """
    faults = defaultdict(list)
    nothing = tokens_of_no_answer(tokenizer)
    unknown = _unknown_token(tokenizer)
    columns = [column for column in ("labels", "input_ids", "seq_lengths") if column in dataset.column_names]
    for first, batch in arrow_batches(dataset, columns):
        labels, rows, lengths = flat_values(batch, columns[0])
        tokens = flat_values(batch, "input_ids")[0]
        answers = (labels != -100) & ~np.isin(labels, nothing)
        found = {
            "outside": rows[(tokens < 0) | (tokens >= vocab_size)],
            "others": rows[(labels != -100) & (labels != tokens)],
            "empty": _rows_without(answers, batch, rows, lengths),
            "unreadable": _rows_without(answers & (labels != unknown), batch, rows, lengths),
            "masked": rows[(tokens == tokenizer.mask_token_id) & (labels != -100)],
            "too long": np.flatnonzero(lengths > args.eos_fill) if isinstance(args.eos_fill, int) else [],
            "unknown": rows[tokens == unknown],
        }
        for fault, numbers in found.items():
            faults[fault] += (first + np.unique(numbers)).astype(int).tolist()
    limit = f" (after rows were cut at `max_length={args.max_length}`)" if args.max_length else ""
    response = "the response of a document" if "seq_lengths" in dataset.column_names else "the response"
    for fault, message in {
        "outside": f"must hold token ids from 0 to {vocab_size - 1}, the rows of the embedding, but ROWS have others. Tokenize "
        "with the tokenizer of this model.",
        "others": "must have `labels` that equal `input_ids` or are -100, because the model predicts the tokens that are masked, "
        "but ROWS have others. Write -100 where nothing is trained.",
        "empty": f"must have a response in every row, but in ROWS {response} is empty{limit}. Raise `max_length`, shorten the "
        "prompts, or drop these rows with `dataset.filter`.",
        "unreadable": f"must have a response that the tokenizer knows in every row, but in ROWS {response} is nothing but "
        f"{tokenizer.unk_token}. Drop these rows, or use a tokenizer that knows their characters.",
        "masked": "must have no mask token in a response, because the model never writes it, but ROWS have "
        f"{tokenizer.mask_token!r}. Take it out of the text, or drop these rows with `dataset.filter`.",
        "too long": f"must have rows of at most `eos_fill={args.eos_fill}` tokens, but ROWS are longer. Raise it, or set "
        "`max_length`.",
    }.items():
        if faults[fault]:
            raise ValueError(f"`{name}` {message.replace('ROWS', numbered_rows(faults[fault], dataset))}")
    if faults["unknown"]:
        say(
            f"{numbered_rows(faults['unknown'], dataset)} of `{name}` have characters that the tokenizer does not know "
            f"({tokenizer.unk_token}): the model cannot read them, and learns to write {tokenizer.unk_token}. Replace them, or "
            "drop these rows."
        )


def _unknown_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of the unknown token, -1 if there is none. Byte-level tokenizers call another special token so."""
    others = (tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id, None)
    return -1 if tokenizer.unk_token_id in others else tokenizer.unk_token_id


def _rows_without(marked: np.ndarray, batch: pa.Table, rows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The rows of a batch with a document that has no marked token."""
    if "seq_lengths" not in batch.column_names:
        return np.setdiff1d(np.arange(len(lengths)), rows[marked])
    document_lengths, document_rows, _ = flat_values(batch, "seq_lengths")
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
    for first, batch in arrow_batches(dataset, ["input_ids", "seq_lengths"]):
        row_lengths = flat_values(batch, "input_ids")[2]
        lengths, rows, counts = flat_values(batch, "seq_lengths")
        sums = np.bincount(rows, weights=lengths, minlength=len(row_lengths))
        num_not_positive = np.bincount(rows, weights=lengths < 1, minlength=len(row_lengths))
        wrong += (first + np.flatnonzero((sums != row_lengths) | (num_not_positive > 0) | (counts == 0))).tolist()
    if wrong:
        raise ValueError(
            f"`{name}` must have positive `seq_lengths` that add up to the length of the row, but in "
            f"{numbered_rows(wrong, dataset)} they do not. Pack with `trl.pack_dataset`, or give rows of one document and set "
            "`packing=True`."
        )


def check_no_padding(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` if tokenized rows are padded. The collator pads them, on the right."""
    if "attention_mask" not in dataset.column_names:
        return
    padded = []
    for first, batch in arrow_batches(dataset, ["attention_mask"]):
        mask, rows, _ = flat_values(batch, "attention_mask")
        padded += (first + np.unique(rows[mask == 0])).tolist()
    if padded:
        side = "left" if not dataset[padded[0]]["attention_mask"][0] else "right"
        raise ValueError(
            f"`{name}` must not be padded, but {numbered_rows(padded, dataset)} are, row {padded[0]} on the {side}. Tokenize "
            "without `padding`: batches are padded on the right when they are made."
        )


def arrow_batches(dataset: Dataset, columns: list[str]) -> Iterator[tuple[int, pa.Table]]:
    """Batches of rows that never become Python lists, each with the number of its first row."""
    batches = dataset.select_columns(columns).with_format("arrow").iter(BATCH_SIZE)
    return zip(range(0, len(dataset), BATCH_SIZE), batches, strict=True)


def flat_values(batch: pa.Table, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of all lists in a column, the row of each, and the lengths of the rows, 0 where a list is missing."""
    lists = batch[column].combine_chunks()
    lengths = lists.value_lengths().fill_null(0).to_numpy()
    return lists.flatten().to_numpy(zero_copy_only=False), np.arange(len(lengths)).repeat(lengths), lengths
