# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tokenized rows with images.

A row holds the image token once for each image, and beside it the number of features of each image, which follows from its
size. So a prepared dataset is small, and all lengths are known before the first step. The tokens are repeated, and the pixels
read, when a batch is made.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset, Features, List, Value
from transformers import PreTrainedConfig, PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length

from ..data_files import numbered_rows
from .configuration import LLaDASFTConfig
from .formats import FAULT, IMAGE_LENGTHS, IMAGE_SIZES, TURN_STARTS
from .rows import FINISHED, TOKENS, arrow_batches, finish_rows, flat_values, say
from .stages import HEADER_TOKENS


@dataclass
class VisionRows:
    """
    Finishes tokenized rows with images.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer, with the chat template of the processor.
        image_token_id (`int`):
            The image token.
        count_features (`Callable`):
            From the sizes (height, width) of the images of a row to the numbers of their features.
        args ([`LLaDASFTConfig`]):
            The arguments.
    """

    tokenizer: PreTrainedTokenizerBase
    image_token_id: int
    count_features: Callable[[list[list[int]]], list[int]]
    args: LLaDASFTConfig

    def finish(self, dataset: Dataset, name: str) -> Dataset:
        """Counts the features of images, and ends and cuts the rows."""
        columns = {IMAGE_LENGTHS: List(Value("int64")), TURN_STARTS: List(Value("int64")), FAULT: Value("string")}
        kept = [column for column in FINISHED if column in dataset.column_names]
        features = {column: dataset.features[column] for column in kept} | columns
        with PartialState().main_process_first():
            rows = dataset.map(
                self._finish_row,
                features=Features(features),
                remove_columns=[column for column in dataset.column_names if column not in kept],
                num_proc=self.args.dataset_num_proc,
                desc=f"Counting the image tokens of {name}",
            )
        _check_faults(rows, name)
        rows = rows.remove_columns(FAULT)
        if not self.args.reference_labels:
            rows = finish_rows(rows, name, self.args, self.tokenizer)
        return self.cut(rows, name)

    def _finish_row(self, row: dict[str, Any]) -> dict[str, Any]:
        tokens, labels, sizes = list(row["input_ids"]), list(row["labels"]), row[IMAGE_SIZES]
        num_tokens = tokens.count(self.image_token_id)
        if num_tokens != len(sizes):
            fault = f"{len(sizes)} images, but the chat template writes {num_tokens} image tokens"
            return {FAULT: fault, IMAGE_LENGTHS: None, TURN_STARTS: None}
        starts = self._turn_starts(row, tokens) if self.args.dialogue_mask else []
        if self.args.reference_labels:
            tokens, labels = self._reference_labels(tokens, labels)
        labels = [-100 if token == self.image_token_id else label for token, label in zip(tokens, labels, strict=True)]
        return {
            "input_ids": tokens,
            "labels": labels,
            IMAGE_LENGTHS: self.count_features(sizes),
            TURN_STARTS: starts,
            FAULT: None,
        }

    def _turn_starts(self, row: dict[str, Any], tokens: list[int]) -> list[int]:
        """Where turns begin: at the first message after an answer. What comes before the first question belongs to its turn."""
        messages = row.get("messages") or [*(row.get("prompt") or []), *(row.get("completion") or [])]
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            return []
        roles = [message["role"] for message in messages]
        begins = [i for i in range(1, len(roles)) if roles[i - 1] == "assistant" and roles[i] != "assistant"]
        options = {"tools": row.get("tools"), "return_dict": True} | (row.get("chat_template_kwargs") or {})
        return [
            common_prefix_length(self.tokenizer.apply_chat_template(messages[:i], **options)["input_ids"], tokens)
            for i in begins
        ]

    def _reference_labels(self, tokens: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
        """
        Labels as in the public code, and rows without its EOS: all messages of the assistant with their headers and ends of
        turns; of the others, and before the first, BOS and the special tokens of headers and ends of turns.
        """
        eos = self.tokenizer.eos_token_id
        while tokens and tokens[-1] == eos:
            tokens, labels = tokens[:-1], labels[:-1]
        if self.args.plain_captions:
            return tokens, labels
        ids = {name: self.tokenizer.convert_tokens_to_ids(token) for name, token in HEADER_TOKENS.items()}
        special, labels, is_answer = {*ids.values(), self.tokenizer.bos_token_id}, [], False
        for place, token in enumerate(tokens):
            if token == ids["start"]:
                end = tokens.index(ids["end"], place) if ids["end"] in tokens[place:] else place
                is_answer = self.tokenizer.decode(tokens[place + 1 : end]).strip() == "assistant"
            labels.append(token if is_answer or token in special else -100)
            if token == ids["turn"]:
                is_answer = False
        return tokens, labels

    def cut(self, dataset: Dataset, name: str) -> Dataset:
        """Cuts rows at `max_length`, and drops those whose images do not fit into it. Both are said."""
        limit, lengths = self.args.max_length, row_lengths(dataset)
        if isinstance(self.args.eos_fill, int):
            limit = self.args.eos_fill if limit is None else limit
        too_long = [] if limit is None else np.flatnonzero(lengths > limit).tolist()
        if not too_long:
            return dataset
        if self.args.max_length is None:
            raise ValueError(
                f"`{name}` must have rows of at most `eos_fill={self.args.eos_fill}` tokens, but "
                f"{numbered_rows(too_long, dataset)} are longer. Raise it, or set `max_length`."
            )
        ends = {row: self._end_of(dataset[row], limit) for row in too_long}
        dropped = [row for row, end in ends.items() if end is None]
        if len(dropped) == len(dataset):
            raise ValueError(
                f"`max_length={limit}` is too short for the images of all {len(dataset)} rows of `{name}`; the shortest row "
                f"has {lengths.min()} tokens. Raise it, or set `image_aspect_ratio` to pad or square, one tile an image."
            )
        if dropped:
            say(
                f"{numbered_rows(dropped, dataset)} of `{name}` have images that `max_length={limit}` would cut, and are "
                f"dropped. The longest has {lengths.max()} tokens. Raise `max_length`, or make fewer tiles."
            )
        cut = [row for row in too_long if ends[row] is not None]
        if cut:
            say(
                f"{numbered_rows(cut, dataset)} of `{name}` are longer than `max_length={limit}` and are cut: they have no "
                "end, and teach the model not to stop. Raise `max_length`, or shorten or drop these rows."
            )
        kept = dataset.select(np.setdiff1d(np.arange(len(dataset)), dropped))

        def cut_row(row: dict[str, Any]) -> dict[str, Any]:
            end = self._end_of(row, limit)
            starts = [start for start in row[TURN_STARTS] if start < end]
            return {column: row[column][:end] for column in TOKENS} | {TURN_STARTS: starts}

        with PartialState().main_process_first():
            return kept.map(cut_row, num_proc=self.args.dataset_num_proc, desc=f"Cutting {name}")

    def _end_of(self, row: dict[str, Any], limit: int) -> int | None:
        """How many tokens of a row fit into a length, or `None` if an image does not."""
        ends = np.cumsum(repeats(row, self.image_token_id))
        end = int(np.searchsorted(ends, limit, side="right"))
        return None if self.image_token_id in row["input_ids"][end:] else end


def repeats(row: dict[str, Any], image_token_id: int) -> np.ndarray:
    """How often each token of a row is repeated: an image token as often as its image has features."""
    counts = np.ones(len(row["input_ids"]), dtype=np.int64)
    counts[np.array(row["input_ids"]) == image_token_id] = row[IMAGE_LENGTHS]
    return counts


def row_lengths(dataset: Dataset) -> np.ndarray:
    """The lengths of rows with the tokens of their images."""
    lengths = []
    for _, batch in arrow_batches(dataset, ["input_ids", IMAGE_LENGTHS]):
        features, rows, num_images = flat_values(batch, IMAGE_LENGTHS)
        num_features = np.bincount(rows, weights=features, minlength=len(num_images)).astype(np.int64)
        lengths.append(flat_values(batch, "input_ids")[2] - num_images + num_features)
    return np.concatenate(lengths)


def check_trained_rows(dataset: Dataset, name: str, args: LLaDASFTConfig) -> None:
    """Raises a `ValueError` for rows on which none of the parts that train would act: those without images."""
    if args.trained_parts is None or "language_model" in args.trained_parts:
        return
    wrong = [row for row, lengths in enumerate(dataset[IMAGE_LENGTHS][:]) if not lengths]
    if wrong:
        raise ValueError(
            f"`trained_parts={args.trained_parts}` trains nothing on rows without images, but {numbered_rows(wrong, dataset)} "
            f"of `{name}` have none. Drop them, or train the language part too."
        )


def check_placeholders(dataset: Dataset, name: str, config: PreTrainedConfig) -> None:
    """Raises a `ValueError` for rows with tokens that stand for images or videos which the rows do not have."""
    has_images = IMAGE_LENGTHS in dataset.column_names  # as many as image tokens
    missing = [config.video_token_id] if has_images else list(config.placeholder_token_ids)
    wrong = []
    for first, batch in arrow_batches(dataset, ["input_ids"]):
        tokens, rows, _ = flat_values(batch, "input_ids")
        wrong += (first + np.unique(rows[np.isin(tokens, missing)])).tolist()
    if wrong:
        raise ValueError(
            f"`{name}` must have no tokens of images or videos that are not there, as a text with <video> has, but "
            f"{numbered_rows(wrong, dataset)} have. Write it differently, or drop these rows."
        )


def _check_faults(rows: Dataset, name: str) -> None:
    faults = rows[FAULT][:]
    wrong = [number for number, fault in enumerate(faults) if fault is not None]
    if wrong:
        raise ValueError(
            f"`{name}` must have rows whose images the chat template of `processing_class` writes, but "
            f"{numbered_rows(wrong, rows)} have {faults[wrong[0]]}. Pass the processor of the model, or a template that writes "
            "parts of the type image."
        )
