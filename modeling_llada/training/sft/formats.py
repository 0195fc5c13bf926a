# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reads datasets in the forms that people have: messages, ShareGPT, Alpaca, texts.

TRL would silently misread some rows. Each row is checked before it is tokenized, and errors name the rows.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

from accelerate import PartialState
from datasets import Dataset, Features, Json, List, Value
from transformers import TrainingArguments
from transformers.utils import logging
from trl.trainer.utils import remove_none_values

from ...conversation import message_text
from ..data_files import LINE, numbered_rows
from .configuration import LLaDASFTConfig
from .messages import RowFault, Talk, check_answer, read_talk, trained_turns


logger = logging.get_logger(__name__)
# Columns of rows that were read, beside those of TRL.
TRAINED_TURNS, USES_TOOLS, FAULT = "trained_turns", "uses_tools", "fault"
# Those of rows with images, one value for each image: the path, or `None` if the image is in a column; height and width; the
# number of its features.
IMAGE_PATHS, IMAGE_SIZES, IMAGE_LENGTHS = "image_paths", "image_sizes", "image_lengths"
# The column with the images themselves, and where the turns of a dialogue but the first begin.
IMAGE_DATA, TURN_STARTS = "image_data", "turn_starts"
ROW_NUMBER = "row_number"
# The columns that each format needs, the most telling format first. `dataset_text_field` names the column of "text".
COLUMNS = {
    "tokens": ("input_ids",),
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "prompt-completion": ("prompt", "completion"),
    "alpaca": ("instruction", "output"),
}
MESSAGES = List(Json())
ONE_KIND = "a `prompt` and a `completion` of one kind, two texts or two lists of messages"


def check_dataset(dataset: Dataset, name: str) -> None:
    """Raises a `ValueError` unless a dataset has numbered rows, and at least one."""
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f"`{name}` must be a `datasets.Dataset`, because the noise of a row depends on its number, but got "
            f"{type(dataset).__name__}. Turn a stream into one with `Dataset.from_generator`."
        )
    if len(dataset) == 0:
        raise ValueError(f"`{name}` must have rows, but it is empty.")


def read_rows(dataset: Dataset, name: str, args: LLaDASFTConfig, images: "RowImages | None" = None) -> Dataset:  # noqa: F821
    """
    Checks rows, and turns them into columns that TRL reads: `prompt` and `completion`, `messages`, or a text. Rows with
    `input_ids` are not changed. With images, their columns are read by [`~sft.vision_rows.RowImages`].
    """
    kind = find_format(dataset, name, args)
    if kind == "tokens":
        return dataset
    as_texts = kind == "text" or (kind == "prompt-completion" and not _has_messages(dataset))
    if as_texts and args.assistant_only_loss:
        raise ValueError(
            f"`assistant_only_loss=True` needs messages, but `{name}` has texts. Leave it out: of `prompt` and "
            "`completion` the completion is trained on."
        )
    read, columns = _reader(kind, args, as_texts, message_text if images is None else images.read_content)
    columns = columns if images is None else images.columns(columns)
    kept = [LINE] if as_texts or args.plain_captions else ["tools", "chat_template_kwargs", LINE]
    kept = [column for column in kept if column in dataset.column_names]

    def read_row(row: dict[str, Any]) -> dict[str, Any]:
        if images is not None:
            return images.place(read(row), row)
        if row.get("image") or row.get("images"):
            raise RowFault(
                "texts without images",
                "Train a `LLaDAVForConditionalGeneration`. Or drop these rows, or empty the column and take the marks out.",
            )
        return read(row)

    return map_rows(dataset, name, args, read_row, columns | {TRAINED_TURNS: List(Value("bool"))}, kept)


def map_rows(
    dataset: Dataset,
    name: str,
    args: TrainingArguments,
    read: Callable[[dict[str, Any]], dict[str, Any]],
    columns: dict[str, Any],
    kept: list[str],
) -> Dataset:
    """
    Reads each row by a function, which gives the values of `columns` and of `USES_TOOLS`, or raises a [`RowFault`]. The columns
    `kept` are taken over.

    Raises:
        `ValueError`: if rows have a fault; it names the rows with the first one.
    """
    features = columns | {USES_TOOLS: Value("bool"), FAULT: List(Value("string"))}
    features |= {column: Value("int64") if column == LINE else Json() for column in kept}

    def read_row(row: dict[str, Any]) -> dict[str, Any]:
        try:
            values = {column: read_kept(column, row[column]) for column in kept} | read(row)
        except RowFault as fault:
            return dict.fromkeys(features) | {FAULT: [fault.rule, fault.cure]}
        return values | {USES_TOOLS: values[USES_TOOLS] or bool(values.get("tools")), FAULT: None}

    with PartialState().main_process_first():
        rows = dataset.map(
            read_row,
            features=Features(features),
            remove_columns=dataset.column_names,
            num_proc=args.dataset_num_proc,
            desc=f"Reading {name}",
        )
    check_faults(rows, dataset, name)
    return rows.remove_columns(FAULT)


def find_format(dataset: Dataset, name: str, args: LLaDASFTConfig) -> str:
    """The format of `dataset_format`, or the first one whose columns are there, which is said."""
    columns, formats = (
        set(dataset.column_names) - {LINE, IMAGE_PATHS, IMAGE_SIZES},
        COLUMNS | {"text": (args.dataset_text_field,)},
    )
    found = [kind for kind, needed in formats.items() if set(needed) <= columns]
    wanted = args.dataset_format
    if wanted not in ("auto", *found):
        raise ValueError(
            f'`dataset_format="{wanted}"` needs the columns {", ".join(formats[wanted])}, but `{name}` has {sorted(columns)}. '
            "Leave it out to find the format by the columns."
        )
    if not found:
        known = "; ".join(f"{kind}: {', '.join(needed)}" for kind, needed in formats.items())
        raise ValueError(
            f"`{name}` must have the columns of one format ({known}), but has {sorted(columns)}. Rename them, give the "
            "column with the texts as `dataset_text_field`, or give a `formatting_func` that returns a text."
        )
    kind = found[0] if wanted == "auto" else wanted
    others = [f'"{other}"' for other in found if other != kind]
    more = f"; it could also be {', '.join(others)} (`dataset_format`)" if others and wanted == "auto" else ""
    logger.info(f'`{name}` is read as "{kind}", with the columns {", ".join(formats[kind])}{more}')
    return kind


def _has_messages(dataset: Dataset) -> bool:
    return any(isinstance(dataset[0][column], list) for column in ("prompt", "completion"))


def read_kept(column: str, value: Any) -> Any:
    """The value of a column that TRL reads too. It may be JSON, but not `None` where it is arguments of a template."""
    if column == LINE:
        return value
    try:
        value = json.loads(value) if isinstance(value, str) and value.strip() else value or None
    except ValueError as error:
        raise RowFault(f"JSON in the column `{column}`") from error
    kind = list if column == "tools" else dict
    if value is not None and not isinstance(value, kind):
        raise RowFault(f"a {kind.__name__} in the column `{column}`")
    if not value:
        return None if column == "tools" else {}
    return remove_none_values(value)


def _reader(
    kind: str, args: LLaDASFTConfig, as_texts: bool, read_content: Callable[[Any], Any]
) -> tuple[Callable[[dict], dict], dict[str, Any]]:
    """The function that reads a row, and the columns that it returns."""
    if kind == "text":
        field = args.dataset_text_field
        return lambda row: _nothing_special({field: read_answer(row, field)}), {field: Value("string")}
    if as_texts:
        columns = {"prompt": Value("string"), "completion": Value("string")}
        return lambda row: _nothing_special(
            {"prompt": read_text(row, "prompt"), "completion": read_answer(row)}
        ), columns
    assistant_only, whole = bool(args.assistant_only_loss), args.completion_only_loss is False
    if kind == "prompt-completion":
        columns = {"prompt": MESSAGES, "completion": MESSAGES}
        return lambda row: _read_parts(row, read_content, assistant_only, whole), columns
    talk = functools.partial(_talk, column=COLUMNS[kind][0], read_content=read_content)
    to_talk = _alpaca if kind == "alpaca" else talk
    if assistant_only or whole:
        return lambda row: _read_all(to_talk(row), assistant_only), {"messages": MESSAGES}
    columns = {"prompt": MESSAGES, "completion": MESSAGES}
    return lambda row: _read_last_answer(to_talk(row)), columns


def _nothing_special(columns: dict[str, Any]) -> dict[str, Any]:
    return columns | {TRAINED_TURNS: [True], USES_TOOLS: False}


def read_text(row: dict[str, Any], column: str) -> str:
    if row[column] is None:
        raise RowFault(f"something in the column `{column}`")
    if isinstance(row[column], list) and column in ("prompt", "completion"):
        raise RowFault(ONE_KIND)
    if not isinstance(row[column], str):
        raise RowFault(f"texts in the column `{column}`")
    return row[column]


def read_answer(row: dict[str, Any], column: str = "completion") -> str:
    text = read_text(row, column)
    check_answer(text)
    return text


def _talk(row: dict[str, Any], column: str, read_content: Callable[[Any], Any]) -> Talk:
    return _with_system(read_talk(row[column], column, read_content), row)


def _alpaca(row: dict[str, Any]) -> Talk:
    asked = [read_text(row, "instruction"), *([read_text(row, "input")] if row.get("input") else [])]
    history = row.get("history") or []
    if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
        raise RowFault("pairs of texts in the column `history`")
    texts = [*(text for turn in history for text in turn), "\n".join(asked), read_text(row, "output")]
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return _with_system(read_talk(messages, "history"), row)


def _with_system(talk: Talk, row: dict[str, Any]) -> Talk:
    """Puts the column `system` before a talk that does not begin with such a message, as some files have both."""
    if not row.get("system") or talk.roles[0] == "system":
        return talk
    return Talk([{"role": "system", "content": read_text(row, "system")}, *talk.messages], [None, *talk.flags])


def _read_parts(
    row: dict[str, Any], read_content: Callable[[Any], Any], assistant_only: bool, whole: bool
) -> dict[str, Any]:
    for column, other in (("prompt", "completion"), ("completion", "prompt")):
        if isinstance(row[column], str) and row[other] is not None:
            raise RowFault(ONE_KIND)
    prompt, completion = (read_talk(row[column], column, read_content) for column in ("prompt", "completion"))
    if assistant_only and "assistant" not in completion.roles:
        raise _no_answer(completion)
    talk = Talk(prompt.messages + completion.messages, prompt.flags + completion.flags)
    return _split(talk, len(prompt.messages), assistant_only, whole)


def _read_all(talk: Talk, assistant_only: bool) -> dict[str, Any]:
    if assistant_only and "assistant" not in talk.roles:
        raise _no_answer(talk)
    turns = trained_turns(talk, 0, assistant_only, whole=True)
    return {"messages": talk.messages, TRAINED_TURNS: turns, USES_TOOLS: talk.uses_tools}


def _read_last_answer(talk: Talk) -> dict[str, Any]:
    if len(talk.messages) < 2 or talk.roles[-1] != "assistant":
        raise _no_answer(talk, "`messages` that end with an answer of the assistant, after at least one other message")
    return _split(talk, len(talk.messages) - 1, assistant_only=False, whole=False)


def _split(talk: Talk, num_prompt: int, assistant_only: bool, whole: bool) -> dict[str, Any]:
    return {
        "prompt": talk.messages[:num_prompt],
        "completion": talk.messages[num_prompt:],
        TRAINED_TURNS: trained_turns(talk, num_prompt, assistant_only, whole),
        USES_TOOLS: talk.uses_tools,
    }


def _no_answer(talk: Talk, rule: str = "an answer of the assistant") -> RowFault:
    if "assistant" in talk.roles:
        return RowFault(
            rule, "Drop what follows the last answer, or train on all answers with `assistant_only_loss=True`."
        )
    return RowFault(
        rule,
        f'The roles there are {sorted(set(talk.roles))}; the one that answers must be called "assistant", and the others as '
        "the chat template calls them.",
    )


def check_faults(rows: Dataset, dataset: Dataset, name: str) -> None:
    faults = rows[FAULT][:]
    first = next((fault for fault in faults if fault is not None), None)
    if first is None:
        return
    wrong = [number for number, fault in enumerate(faults) if fault == first]
    found = {column: value for column, value in dataset[wrong[0]].items() if value is not None and column != LINE}
    rule, cure = first
    raise ValueError(
        f"`{name}` must have {rule}, but {numbered_rows(wrong, dataset)} do not. The first is {str(found)[:300]}. {cure}"
    )
