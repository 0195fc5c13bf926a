# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From the datasets that TRL knows to tokenized rows whose response is marked, ends with EOS, and is not empty.

TRL tokenizes and marks. What comes before and after it here:

- of `messages`, the response is the last one, and what stands before it the prompt (with `assistant_only_loss`, TRL marks
  all answers);
- one EOS ends a response, whether or not the chat template wrote one;
- what is too long is cut, without an EOS;
- rows that cannot be trained on are errors, with their numbers.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from accelerate import PartialState
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.data_utils import maybe_convert_to_chatml

from .sft_configuration import LLaDASFTConfig


BATCH_SIZE = 1000


def check_dataset(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` unless a dataset has numbered rows, and at least one."""
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f"`{name}` must be a `datasets.Dataset`, whose rows have numbers that their noise belongs to, but got "
            f"{type(dataset).__name__}. Turn a stream into one with `Dataset.from_generator`."
        )
    if len(dataset) == 0:
        raise ValueError(f"`{name}` must have rows, but it is empty.")


def with_known_columns(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Returns a dataset, its `conversations` renamed to `messages`; a `ValueError` says what cannot be tokenized."""
    columns = set(dataset.column_names)
    known = [{"input_ids"}, {"messages"}, {"conversations"}, {"prompt", "completion"}, {args.dataset_text_field}]
    if not any(needed <= columns for needed in known):
        raise ValueError(
            f"`{name}` must have a column `messages`, columns `prompt` and `completion`, or a column "
            f"`{args.dataset_text_field}` (`dataset_text_field`), but has {sorted(columns)}. Rename columns with "
            "`dataset.rename_column`, or give a `formatting_func` that returns a text."
        )
    if "conversations" in columns and not columns & {"input_ids", "messages"}:
        dataset = dataset.map(maybe_convert_to_chatml, remove_columns="conversations")
    for column in {"messages", "prompt", "completion"} & set(dataset.column_names):
        _check_roles(dataset[0][column], name, column)
    return dataset


def _check_roles(value, name: str, column: str) -> None:
    if isinstance(value, str):
        if column == "messages":
            raise ValueError(f"`{name}` must have lists of messages in the column `messages`, but row 0 has a text.")
        return
    if not value or not all(isinstance(message, dict) and {"role", "content"} <= set(message) for message in value):
        raise ValueError(
            f"`{name}` must have messages with a `role` and a `content` in the column `{column}`, but row 0 has {value!r}. "
            'A message looks like {"role": "user", "content": "Hello!"}.'
        )


def split_last_answer(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """
    Turns `messages` into a `prompt` and a `completion`, the last message; any other dataset is returned as it is.

    Raises:
        `ValueError`: if a last message is not the assistant's.
    """
    if "messages" not in dataset.column_names:
        return dataset
    talks = (
        messages for batch in dataset.select_columns("messages").iter(BATCH_SIZE) for messages in batch["messages"]
    )
    unanswered = [
        row for row, messages in enumerate(talks) if len(messages) < 2 or messages[-1]["role"] != "assistant"
    ]
    if unanswered:
        raise ValueError(
            f"`{name}` must have `messages` that end with one of the assistant, which is what is trained on, after at "
            f"least one other, but {_rows(unanswered, len(dataset))} do not. Drop what follows the last answer, or train "
            "on all answers with `assistant_only_loss=True`."
        )
    return dataset.map(
        lambda rows: {
            "prompt": [messages[:-1] for messages in rows["messages"]],
            "completion": [messages[-1:] for messages in rows["messages"]],
        },
        batched=True,
        remove_columns="messages",
        num_proc=args.dataset_num_proc,
        desc=f"Splitting the messages of {name} into prompt and completion",
    )


def finish_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, eos_token_id: int, cut: bool = True) -> Dataset:
    """Ends each response with EOS, then cuts rows that are longer than `max_length`, unless packing will."""
    kept = slice(None)
    if cut and args.max_length is not None:
        kept = slice(-args.max_length, None) if args.truncation_mode == "keep_end" else slice(args.max_length)

    def finish(rows):
        ends = [[eos_token_id] if row and row[-1] not in (-100, eos_token_id) else [] for row in rows["labels"]]
        return {
            column: [(row + end)[kept] for row, end in zip(rows[column], ends, strict=True)]
            for column in ("input_ids", "labels")
        }

    dataset = dataset.select_columns(["input_ids", "labels"])
    with PartialState().main_process_first():
        return dataset.map(
            finish, batched=True, num_proc=args.dataset_num_proc, desc=f"Ending the responses of {name}"
        )


def check_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, tokenizer: PreTrainedTokenizerBase, vocab_size: int):
    """
    Raises a `ValueError` unless every row can be trained on.

    Args:
        dataset ([`~datasets.Dataset`]):
            Tokenized rows; without `labels` every token is trained on.
        name (`str`):
            What the messages call it.
        args ([`LLaDASFTConfig`]):
            The arguments.
        tokenizer (`PreTrainedTokenizerBase`):
            Its EOS alone is no response.
        vocab_size (`int`):
            Rows of the embedding.
    """
    empty, outside, too_long = [], [], []
    columns = [column for column in ("labels", "input_ids") if column in dataset.column_names]
    for first, batch in _arrow_batches(dataset, columns):
        labels, rows, _ = _flat(batch, columns[0])
        tokens, token_rows, lengths = _flat(batch, "input_ids")
        answered = rows[(labels != -100) & (labels != tokenizer.eos_token_id)]
        empty += (first + np.setdiff1d(np.arange(len(lengths)), answered)).tolist()
        outside += (first + np.unique(token_rows[(tokens < 0) | (tokens >= vocab_size)])).tolist()
        if isinstance(args.eos_fill, int):
            too_long += (first + np.flatnonzero(lengths > args.eos_fill)).tolist()
    total = len(dataset)
    if outside:
        raise ValueError(
            f"`{name}` must hold token ids from 0 to {vocab_size - 1}, the rows of the embedding, but "
            f"{_rows(outside, total)} have others. Tokenize with the tokenizer of this model."
        )
    if empty:
        raise ValueError(
            f"`{name}` must have something to train on in every row, but in {_rows(empty, total)} the response is empty"
            + (f" (after rows were cut at `max_length={args.max_length}`). " if args.max_length else ". ")
            + "Raise `max_length`, shorten the prompts, or drop these rows with `dataset.filter`."
        )
    if too_long:
        raise ValueError(
            f"`eos_fill` must be at least the length of each row, but got {args.eos_fill}, and {_rows(too_long, total)} of "
            f"`{name}` are longer. Raise it, or set `max_length`."
        )


def check_packed_rows(dataset: Dataset, name: str, args: LLaDASFTConfig) -> None:
    """Raises a `ValueError` unless rows that were packed before can be taken apart; see [`~trl.pack_dataset`]."""
    if "seq_lengths" not in dataset.column_names:
        return
    if args.eos_fill is not None:
        raise ValueError(
            f"`eos_fill={args.eos_fill!r}` is not supported for `{name}`, whose rows are packed: another document comes "
            "after a response. Leave it out, or give one document a row."
        )
    wrong = [
        row
        for row, (tokens, lengths) in enumerate(zip(dataset["input_ids"], dataset["seq_lengths"], strict=True))
        if sum(lengths) != len(tokens) or min(lengths, default=0) < 1
    ]
    if wrong:
        raise ValueError(
            f"`{name}` must have positive `seq_lengths` that add up to the length of the row, but in "
            f"{_rows(wrong, len(dataset))} they do not. Pack with `trl.pack_dataset`, or give rows of one document and set "
            "`packing=True`."
        )


def check_no_padding(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` if tokenized rows are padded, which the collator does, on the right."""
    if "attention_mask" not in dataset.column_names:
        return
    padded = []
    for first, batch in _arrow_batches(dataset, ["attention_mask"]):
        mask, rows, _ = _flat(batch, "attention_mask")
        padded += (first + np.unique(rows[mask == 0])).tolist()
    if padded:
        side = "left" if not dataset[padded[0]]["attention_mask"][0] else "right"
        raise ValueError(
            f"`{name}` must not be padded, but {_rows(padded, len(dataset))} are, row {padded[0]} on the {side}. Tokenize "
            "without `padding`: batches are padded on the right when they are made."
        )


def _arrow_batches(dataset: Dataset, columns: list[str]) -> Iterator[tuple[int, pa.Table]]:
    """Runs of rows that never become Python lists, each with the number of its first row."""
    batches = dataset.select_columns(columns).with_format("arrow").iter(BATCH_SIZE)
    return zip(range(0, len(dataset), BATCH_SIZE), batches, strict=True)


def _flat(batch: pa.Table, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of all lists in a column, the row of each, and the lengths of the rows."""
    lists = batch[column].combine_chunks()
    lengths = lists.value_lengths().to_numpy()
    return lists.flatten().to_numpy(zero_copy_only=False), np.arange(len(lengths)).repeat(lengths), lengths


def _rows(numbers: list[int], total: int) -> str:
    shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"{len(numbers)} of {total} rows ({shown})"
