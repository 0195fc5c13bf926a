# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The order of an epoch, and rows that know their place in it.

A sampler hands out [`RowKey`]s in place of bare indices. They pass through the batch samplers of torch and accelerate, so
each row learns its place in the order and its epoch wherever it is loaded: on any process, in a worker, after a restart.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from .noise import RowNoise


class RowKey(NamedTuple):
    """The epoch (in evaluation: the noise sample), the place in its order, and the index of the example."""

    epoch: int
    position: int
    index: int | None  # None: fills up the last batch and trains nothing


class NumberedRow(NamedTuple):
    """A clean row with the noise that belongs to it."""

    input_ids: list[int]
    labels: list[int]
    rate: float
    generator: torch.Generator


class EpochSampler(Sampler[RowKey]):
    """
    The rows of an epoch in an order that the seed and the epoch fix.

    Args:
        num_rows (`int`):
            Number of examples.
        seed (`int`, *optional*, defaults to 0):
            Fixes the orders.
        shuffle (`bool`, *optional*, defaults to `True`):
            Whether to shuffle.
        lengths (`list[int]`, *optional*):
            Lengths of the examples. Given: shuffles so that rows of similar lengths are neighbours.
        group_size (`int`, *optional*, defaults to 1):
            How many of them are neighbours: the rows of the global batch.
        multiple (`int`, *optional*, defaults to 1):
            The number of keys is filled up to a multiple of this. Otherwise accelerate would do so with rows from the
            beginning of the epoch, and the last step would depend on the number of processes.
    """

    def __init__(
        self,
        num_rows: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        lengths: Sequence[int] | None = None,
        group_size: int = 1,
        multiple: int = 1,
    ):
        self.num_rows = num_rows
        self.seed = seed
        self.shuffle = shuffle
        self.lengths = lengths
        self.group_size = group_size
        self.multiple = multiple
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_rows // self.multiple) * self.multiple

    def order(self, epoch: int) -> list[int]:
        """The examples in the order of an epoch."""
        if not self.shuffle:
            return list(range(self.num_rows))
        generator = RowNoise(self.seed, "order").generator(epoch, 0)
        if self.lengths is not None:
            return get_length_grouped_indices(self.lengths, self.group_size, generator=generator)
        return torch.randperm(self.num_rows, generator=generator).tolist()

    def __iter__(self) -> Iterator[RowKey]:
        epoch, order = self.epoch, self.order(self.epoch)
        for position in range(len(self)):
            yield RowKey(epoch, position, order[position] if position < self.num_rows else None)


class EvaluationSampler(Sampler[RowKey]):
    """
    All rows in order, once for each noise sample; always the same.

    Args:
        num_rows (`int`):
            Number of examples.
        num_samples (`int`, *optional*, defaults to 1):
            Noise samples of each.
        multiple (`int`, *optional*, defaults to 1):
            As in [`EpochSampler`].
    """

    def __init__(self, num_rows: int, num_samples: int = 1, multiple: int = 1):
        self.num_rows = num_rows
        self.num_samples = num_samples
        self.multiple = multiple

    def __len__(self) -> int:
        return -(-self.num_rows * self.num_samples // self.multiple) * self.multiple

    def __iter__(self) -> Iterator[RowKey]:
        for position in range(len(self)):
            sample, index = divmod(position, self.num_rows)
            yield RowKey(sample, position, index) if sample < self.num_samples else RowKey(0, position, None)


class NumberedRows(Dataset):
    """
    A tokenized dataset that is looked up by [`RowKey`]s.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows with `input_ids` and, unless every token is trained on, `labels`, -100 where a token is only given.
        noise ([`RowNoise`]):
            Where their noise comes from.
        filler (`int`):
            The token of rows that fill up the last batch.
        sampler ([`EpochSampler`], *optional*):
            Where keys come from. When a run resumes on several processes, accelerate announces the epoch to the dataset
            alone.
    """

    def __init__(self, dataset, noise: RowNoise, filler: int, sampler: EpochSampler | None = None):
        columns = [name for name in ("input_ids", "labels") if name in dataset.column_names]
        self.rows = dataset.select_columns(columns)
        self.noise = noise
        self.filler = filler
        self.sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        if self.sampler is not None:
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: RowKey) -> NumberedRow:
        rate = self.noise.rate(key.epoch, key.position)
        if key.index is None:
            return NumberedRow([self.filler], [-100], rate, self.noise.generator(key.epoch, -1))
        row = self.rows[key.index]
        input_ids = row["input_ids"]
        return NumberedRow(input_ids, row.get("labels", input_ids), rate, self.noise.generator(key.epoch, key.index))
