# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From the rows of a user to batches with images: the steps of [`LLaDASFTTrainer`] that differ for a LLaDA-V."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedConfig, PreTrainedTokenizerBase, ProcessorMixin

from ..masking.noise import RowNoise
from ..masking.row_order import NumberedRows
from .configuration import LLaDASFTConfig
from .formats import IMAGE_DATA, IMAGE_LENGTHS, ROW_NUMBER
from .vision_batches import NumberedVisionRows, RowPixels, VisionCollator, as_stored, expanded
from .vision_formats import read_vision_rows
from .vision_rows import VisionRows, check_trained_rows


@dataclass
class VisionInputs:
    """
    Reads, tokenizes and collates rows that may have images.

    Args:
        processor (`ProcessorMixin`):
            The processor of the model. Its tokenizer renders messages with its chat template.
        config ([`LLaDAVConfig`]):
            The config of the model.
        args ([`LLaDASFTConfig`]):
            The arguments.
    """

    processor: ProcessorMixin
    config: PreTrainedConfig
    args: LLaDASFTConfig

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, with the chat template of the processor, which TRL may have changed."""
        tokenizer = self.processor.tokenizer
        tokenizer.chat_template = self.processor.chat_template or tokenizer.chat_template
        return tokenizer

    @cached_property
    def pixels(self) -> RowPixels:
        return RowPixels(self.processor, self.config, self.args.image_folder)

    def read(self, dataset: Dataset, name: str) -> Dataset:
        """Checks a dataset of the user, and puts it into the form that TRL reads."""
        return read_vision_rows(dataset, name, self.args, self.processor.image_token)

    def prepare(self, dataset: Dataset, name: str, tokenize: Callable[[Dataset], Dataset]) -> Dataset:
        """Finishes rows that were read, of which `tokenize` tokenizes the texts and marks the responses."""
        texts = dataset.remove_columns([column for column in (IMAGE_DATA,) if column in dataset.column_names])
        tokens = tokenize(texts.add_column(ROW_NUMBER, np.arange(len(texts))))
        finished = self.rows.finish(tokens, name)
        if name == "train_dataset":
            check_trained_rows(finished, name, self.args)
        numbers = finished[ROW_NUMBER]
        finished = finished.remove_columns(ROW_NUMBER)
        if IMAGE_DATA not in dataset.column_names:
            return finished
        # Images are not copied, unless the rows of the user are a selection.
        images = dataset.select_columns(IMAGE_DATA)
        images = images if len(numbers) == len(images) else images.select(numbers)
        return concatenate_datasets([finished, images], axis=1)

    @property
    def rows(self) -> VisionRows:
        return VisionRows(self.tokenizer, self.config.image_token_id, self.pixels.count_features, self.args)

    def numbered_rows(self, dataset: Dataset, noise: RowNoise) -> NumberedRows:
        if IMAGE_LENGTHS not in dataset.column_names:  # rows of tokens
            return NumberedRows(dataset, noise, self.tokenizer.pad_token_id)
        return NumberedVisionRows(dataset, noise, self.tokenizer.pad_token_id, self.pixels)

    def documents(self, dataset: Dataset) -> Iterator[dict[str, Any]]:
        """The prepared rows with all of their tokens and their images."""
        rows = as_stored(dataset)
        return (expanded(rows, index, self.pixels) for index in range(len(rows)))

    def collator(self, *options) -> VisionCollator:
        args, tower = self.args, self.config.vision_config
        return VisionCollator(
            *options,
            tile_shape=(tower.num_channels, tower.image_size, tower.image_size),
            dialogue_mask=args.dialogue_mask,
            fills_all=args.reference_labels,
        )
