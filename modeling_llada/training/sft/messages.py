# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks of texts and messages before tokenization, as TRL would silently misread some. Errors name the rows.

The last message is the response, and those before it are the prompt. With `assistant_only_loss`, TRL marks all answers.
"""

from collections import defaultdict
from collections.abc import Iterator

from datasets import Dataset
from trl.data_utils import maybe_convert_to_chatml

from .configuration import LLaDASFTConfig
from .rows import BATCH_SIZE, numbered


MESSAGE_COLUMNS = ("messages", "prompt", "completion")


def check_dataset(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` unless a dataset has numbered rows, and at least one."""
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f"`{name}` must be a `datasets.Dataset`, because the noise of a row depends on its number, but got "
            f"{type(dataset).__name__}. Turn a stream into one with `Dataset.from_generator`."
        )
    if len(dataset) == 0:
        raise ValueError(f"`{name}` must have rows, but it is empty.")


def with_known_columns(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Checks texts or messages, and renames `conversations` to `messages`. Rows with `input_ids` are not changed."""
    columns = set(dataset.column_names)
    known = [{"input_ids"}, {"messages"}, {"conversations"}, {"prompt", "completion"}, {args.dataset_text_field}]
    if not any(needed <= columns for needed in known):
        raise ValueError(
            f"`{name}` must have a column `messages`, columns `prompt` and `completion`, or a column "
            f"`{args.dataset_text_field}` (`dataset_text_field`), but has {sorted(columns)}. Rename columns with "
            "`dataset.rename_column`, or give a `formatting_func` that returns a text."
        )
    if "input_ids" in columns:
        return dataset
    if "conversations" in columns and "messages" not in columns:
        _check_values(dataset, name, ["conversations"])
        dataset = dataset.map(maybe_convert_to_chatml, remove_columns="conversations", num_proc=args.dataset_num_proc)
    read = [column for column in MESSAGE_COLUMNS if column in dataset.column_names] or [args.dataset_text_field]
    _check_values(dataset, name, read)
    if args.assistant_only_loss:
        _check_some_answer(dataset, name)
    return dataset


def split_last_answer(dataset: Dataset, name: str, args: LLaDASFTConfig) -> Dataset:
    """Splits `messages` into a `prompt` and a `completion`, the last message. Other datasets are not changed."""
    if "messages" not in dataset.column_names:
        return dataset
    unanswered, roles = [], set()
    for row, messages in enumerate(_values(dataset, "messages")):
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            unanswered.append(row)
            roles |= _roles(messages)
    if unanswered:
        raise ValueError(
            f"`{name}` must have `messages` that end with an answer of the assistant, the response, after at least one other "
            f"message, but {numbered(unanswered, len(dataset))} do not. "
            + (
                "Drop what follows the last answer, or train on all answers with `assistant_only_loss=True`."
                if "assistant" in roles
                else _how_to_rename(roles)
            )
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


def _check_values(dataset: Dataset, name: str, columns: list[str]) -> None:
    """Raises a `ValueError` unless all rows have a text or messages in these columns."""
    faults = defaultdict(list)
    for row, values in enumerate(zip(*(_values(dataset, column) for column in columns), strict=True)):
        rule = _broken_rule(dict(zip(columns, values, strict=True)))
        if rule is not None:
            faults[rule].append(row)
    for rule, rows in faults.items():
        found = {column: dataset[rows[0]][column] for column in columns}
        raise ValueError(
            f"`{name}` must have {rule}, but {numbered(rows, len(dataset))} do not. Row {rows[0]} is "
            f"{str(found)[:300]}. "
            'A message looks like {"role": "user", "content": "Hello!"}. Repair these rows, or drop them with '
            "`dataset.filter`."
        )


def _broken_rule(row: dict[str, object]) -> str | None:
    for column, value in row.items():
        if value is None:
            return f"something in the column `{column}`"
        if isinstance(value, str):
            if column in ("messages", "conversations"):
                return f"lists of messages in the column `{column}`"
        elif column not in (*MESSAGE_COLUMNS, "conversations"):
            return f"texts in the column `{column}`"
        elif not isinstance(value, list) or not value or not all(map(_is_message, value)):
            hint = ", or `from` and `value`," if column == "conversations" else ""
            return f"messages with a `role` and a `content`{hint} in the column `{column}`"
    if {"prompt", "completion"} <= row.keys() and isinstance(row["prompt"], str) != isinstance(row["completion"], str):
        return "a `prompt` and a `completion` of one kind, two texts or two lists of messages"
    return None


def _is_message(message: object) -> bool:
    if not isinstance(message, dict):
        return False
    role, content = (message.get(key, message.get(other)) for key, other in (("role", "from"), ("content", "value")))
    # The call of a tool has no content.
    return role is not None and (content is not None or bool(message.get("tool_calls")))


def _check_some_answer(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` unless the assistant says something in every row, which `assistant_only_loss` trains on."""
    column = next((name for name in ("completion", "messages") if name in dataset.column_names), None)
    if column is None or isinstance(dataset[0][column], str):
        raise ValueError(
            f"`assistant_only_loss=True` needs messages, but `{name}` has texts. Leave it out: of `prompt` and "
            "`completion` the completion is trained on."
        )
    unanswered, roles = [], set()
    for row, messages in enumerate(_values(dataset, column)):
        found = _roles(messages)
        if "assistant" not in found:
            unanswered.append(row)
            roles |= found
    if unanswered:
        raise ValueError(
            f"`assistant_only_loss=True` needs an answer of the assistant in every row, but "
            f"{numbered(unanswered, len(dataset))} of `{name}` have none. {_how_to_rename(roles)}"
        )


def _how_to_rename(roles: set[str]) -> str:
    return (
        f'The roles there are {sorted(roles)}; the one that answers must be called "assistant", and the others as the '
        'chat template calls them. Rename them with `dataset.map`, as in `message["role"] = {"human": "user", "gpt": '
        '"assistant"}.get(message["role"], message["role"])`.'
    )


def _roles(messages: list[dict]) -> set[str]:
    return {message["role"] for message in messages}


def _values(dataset: Dataset, column: str) -> Iterator[object]:
    for batch in dataset.select_columns(column).iter(BATCH_SIZE):
        yield from batch[column]
