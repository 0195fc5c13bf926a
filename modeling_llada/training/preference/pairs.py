# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Reads datasets of pairs, and finishes their tokens. Errors name the rows, before anything is trained.

Pairs have the columns `chosen` and `rejected`, two texts or two lists of messages, and mostly a `prompt` of the same kind. Without
it, the prompt is what both responses begin with.
"""

import functools
from typing import Any

from accelerate import PartialState
from datasets import Dataset, Value
from transformers import PreTrainedTokenizerBase
from trl import extract_prompt

from ...conversation import message_text
from ..data_files import LINE, numbered_rows
from ..sft.formats import MESSAGES, USES_TOOLS, check_dataset, map_rows, read_answer, read_text
from ..sft.messages import RowFault, check_answer, read_talk
from ..sft.rows import blank_tokens, check_rows, cut_rows, end_row
from .configuration import LLaDAVRPOConfig
from .ordered_pairs import TOKENS


SIDES = ("chosen", "rejected")
IMAGES = ("image", "images")
ONE_KIND = (
    "a `chosen` and a `rejected` response, and a `prompt` if there is one, of one kind: texts or lists of messages"
)


def read_pairs(dataset: Dataset, name: str, args: LLaDAVRPOConfig) -> Dataset:
    """
    Checks pairs, and turns them into the columns `prompt`, `chosen` and `rejected`, which TRL reads. Pairs of tokens
    (`prompt_ids`, `chosen_ids`, `rejected_ids`) are not changed.

    Raises:
        `ValueError`: if columns are missing, or pairs are equal, empty, or of several kinds; it names the rows.
    """
    check_dataset(dataset, name)
    dataset = dataset.with_format(None)
    if set(TOKENS) <= set(dataset.column_names):
        return dataset
    if not set(SIDES) <= set(dataset.column_names):
        raise ValueError(
            f"`{name}` must have the columns `chosen` and `rejected`, and mostly `prompt`, but has "
            f"{sorted(dataset.column_names)}. Rename them, or turn rows with scores into pairs."
        )
    has_prompt = "prompt" in dataset.column_names
    is_text = isinstance(dataset[0]["chosen"], str)
    read = functools.partial(_read_texts if is_text else _read_messages, has_prompt=has_prompt)
    kept = [column for column in ("tools", "chat_template_kwargs", LINE) if column in dataset.column_names]
    if is_text:
        kept = [column for column in kept if column == LINE]

    def read_pair(row: dict[str, Any]) -> dict[str, Any]:
        values = read(row)
        if any(row.get(column) for column in IMAGES):
            raise RowFault("texts without images", "Pairs with images cannot be trained on. Drop these rows.")
        if values["chosen"] == values["rejected"]:
            raise RowFault(
                "two different responses in each row",
                "Equal ones say nothing about what is better: drop these rows.",
            )
        return values

    columns = dict.fromkeys(("prompt", *SIDES), Value("string") if is_text else MESSAGES)
    return map_rows(dataset, name, args, read_pair, columns, kept)


def _read_texts(row: dict[str, Any], has_prompt: bool) -> dict[str, Any]:
    if any(isinstance(row[column], list) for column in row if column in ("prompt", *SIDES)):
        raise RowFault(ONE_KIND)
    texts = {side: read_answer(row, side) for side in SIDES}
    if has_prompt:
        texts["prompt"] = read_text(row, "prompt")
    else:
        texts = _without_prompt(texts)
        for side in SIDES:
            check_answer(texts[side])
    return texts | {USES_TOOLS: False}


def _read_messages(row: dict[str, Any], has_prompt: bool) -> dict[str, Any]:
    if any(isinstance(row[column], str) for column in row if column in ("prompt", *SIDES)):
        raise RowFault(ONE_KIND)
    columns = ("prompt", *SIDES) if has_prompt else SIDES
    talks = {column: read_talk(row[column], column, message_text) for column in columns}
    messages = {column: talk.messages for column, talk in talks.items()}
    messages = messages if has_prompt else _without_prompt(messages)
    for side in SIDES:
        answer = messages[side][-1] if messages[side] else {"role": None}
        if answer["role"] != "assistant":
            raise RowFault(f"an answer of the assistant at the end of `{side}`")
        check_answer(answer["content"], bool(answer.get("tool_calls")))
    return messages | {USES_TOOLS: any(talk.uses_tools for talk in talks.values())}


def _without_prompt(row: dict[str, Any]) -> dict[str, Any]:
    """Takes out of both responses what they begin with, which is the prompt."""
    if row["chosen"] == row["rejected"]:
        return row | {"prompt": row["chosen"]}  # which is refused as equal
    return extract_prompt(row)


def finish_pairs(
    dataset: Dataset,
    name: str,
    args: LLaDAVRPOConfig,
    tokenizer: PreTrainedTokenizerBase,
    vocab_size: int,
    context: int,
) -> Dataset:
    """
    Ends each response with one EOS, and cuts rows at `max_length`, as fine-tuning does.

    Args:
        dataset ([`~datasets.Dataset`]):
            Pairs of tokens.
        name (`str`):
            How error messages call it.
        args ([`LLaDAVRPOConfig`]):
            The arguments.
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer.
        vocab_size (`int`):
            The number of tokens that the model reads.
        context (`int`):
            The longest row that the model reads.

    Returns:
        [`~datasets.Dataset`]: with `prompt_ids`, `chosen_ids` and `rejected_ids`.

    Raises:
        `ValueError`: if a response cannot be scored, a row is longer than the context, or a pair is equal after the cut.
    """
    rows = _joined(dataset, name, args, tokenizer)
    sides = {}
    for side in SIDES:
        columns = {f"{side}_{column}": column for column in ("input_ids", "labels")}
        kept = [*columns, LINE] if LINE in rows.column_names else [*columns]
        side_name = f'{name}["{side}"]'
        sides[side] = cut_rows(rows.select_columns(kept).rename_columns(columns), side_name, args)
        check_rows(sides[side], side_name, args, tokenizer, vocab_size)
    chosen, rejected = (sides[side]["input_ids"][:] for side in SIDES)
    _check_lengths([max(map(len, pair)) for pair in zip(chosen, rejected, strict=True)], dataset, name, args, context)
    _check_different(chosen, rejected, dataset, name, args)
    starts = [len(prompt) for prompt in dataset["prompt_ids"]]
    finished = dataset.select_columns(["prompt_ids"])
    for side, lists in zip(SIDES, (chosen, rejected), strict=True):
        finished = finished.add_column(f"{side}_ids", [row[n:] for row, n in zip(lists, starts, strict=True)])
    return finished


def _check_lengths(lengths: list[int], dataset: Dataset, name: str, args: LLaDAVRPOConfig, context: int) -> None:
    filled = args.eos_fill if isinstance(args.eos_fill, int) else 0
    too_long = [row for row, length in enumerate(lengths) if max(filled, length) > context]
    if too_long:
        raise ValueError(
            f"`{name}` must have rows that fit into the {context} tokens that `model` reads, but {numbered_rows(too_long, dataset)} "
            f"are longer, up to {max(filled, *lengths)} tokens. Set `max_length` (and `eos_fill`) to at most {context}, shorten the "
            "prompts, or drop these rows."
        )


def _check_different(
    chosen: list[list[int]], rejected: list[list[int]], dataset: Dataset, name: str, args: LLaDAVRPOConfig
) -> None:
    equal = [row for row, (one, other) in enumerate(zip(chosen, rejected, strict=True)) if one == other]
    if equal:
        limit = f" after rows were cut at `max_length={args.max_length}`" if args.max_length else ""
        raise ValueError(
            f"`{name}` must have two different responses in each row, but those of {numbered_rows(equal, dataset)} have the same "
            f"tokens{limit}. Raise `max_length`, or drop these rows."
        )


def _joined(dataset: Dataset, name: str, args: LLaDAVRPOConfig, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """The rows of both responses, with labels, each ended with one EOS."""

    def join(pairs):
        is_blank = blank_tokens(tokenizer)
        columns = {}
        for side in SIDES:
            rows = [
                end_row(prompt + response, [-100] * len(prompt) + response, tokenizer.eos_token_id, is_blank)
                for prompt, response in zip(pairs["prompt_ids"], pairs[f"{side}_ids"], strict=True)
            ]
            columns |= {f"{side}_input_ids": [tokens for tokens, _ in rows], f"{side}_labels": [it for _, it in rows]}
        return columns

    others = [column for column in dataset.column_names if column != LINE]
    with PartialState().main_process_first():
        return dataset.map(
            join,
            batched=True,
            remove_columns=others,
            num_proc=args.dataset_num_proc,
            desc=f"Ending the responses of {name}",
        )
