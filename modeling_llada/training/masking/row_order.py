# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The order of an epoch, and rows that know their place in it.

Samplers return [`RowKey`]s instead of indices. The keys pass through the batch samplers of torch and accelerate, so each row
knows its epoch and its place in the order wherever it is loaded: on any process, in a worker, after a restart.

A row is one document, or several documents packed together. Places are counted in documents, so that the mask rates of
consecutive packed rows are spread as evenly as those of single documents.
"""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import accumulate
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from .mask_sources import COMMIT_STEPS
from .noise import RowNoise


class RowKey(NamedTuple):
    """The epoch (in evaluation: the noise sample), the documents before it in its order, and the index of the row."""

    epoch: int
    position: int
    index: int | None  # None: a filler of the last batch, on which nothing is trained


class NumberedRow(NamedTuple):
    """
    A clean row, or a document of a packed row, with its noise; what its images are made of, the turn of each token, the
    share of the tokens without a mask that are replaced, and where its mask comes from, with the step of each token.
    """

    input_ids: list[int]
    labels: list[int]
    rate: float
    generator: torch.Generator
    images: dict[str, torch.Tensor] | None = None
    turns: list[int] | None = None
    corruption_rate: float = 0.0
    mask_source: str = "uniform"
    commit_steps: list[int] | None = None


@dataclass(eq=False)
class EpochSampler(Sampler[RowKey]):
    """
    The rows of an epoch, in an order that follows from the seed and the epoch.

    With the `lengths` of the rows, `group_size` neighbours have similar lengths. The keys are filled up to a `multiple`;
    otherwise accelerate would add rows from the beginning of the epoch, and the last step would depend on the number of
    processes. `documents` are the numbers of documents in the rows, by default one each.
    """

    num_rows: int
    _: KW_ONLY
    seed: int = 0
    shuffle: bool = True
    lengths: Sequence[int] | None = None
    group_size: int = 1
    multiple: int = 1
    documents: Sequence[int] | None = None
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.num_rows // self.multiple) * self.multiple

    def order(self, epoch: int) -> list[int]:
        """The rows in the order of an epoch."""
        if not self.shuffle:
            return list(range(self.num_rows))
        generator = RowNoise(self.seed, "order").generator(epoch, 0)
        if self.lengths is not None:
            return get_length_grouped_indices(self.lengths, self.group_size, generator=generator)
        return torch.randperm(self.num_rows, generator=generator).tolist()

    def __iter__(self) -> Iterator[RowKey]:
        epoch, order = self.epoch, self.order(self.epoch)
        indices = order + [None] * (len(self) - self.num_rows)
        for position, index in zip(_places(indices, self.documents), indices, strict=True):
            yield RowKey(epoch, position, index)


@dataclass(eq=False)
class EvaluationSampler(Sampler[RowKey]):
    """All rows in order, once for each noise sample; the rest as in [`EpochSampler`]."""

    num_rows: int
    num_samples: int = 1
    multiple: int = 1
    documents: Sequence[int] | None = None

    def __len__(self) -> int:
        return -(-self.num_rows * self.num_samples // self.multiple) * self.multiple

    def __iter__(self) -> Iterator[RowKey]:
        num_keys = self.num_rows * self.num_samples
        indices = [place % self.num_rows if place < num_keys else None for place in range(len(self))]
        for place, position in enumerate(_places(indices, self.documents)):
            yield RowKey(place // self.num_rows if place < num_keys else 0, position, indices[place])


def _places(indices: list[int | None], documents: Sequence[int] | None) -> Iterator[int]:
    """The number of documents before each row of an order."""
    counts = [1 if documents is None or index is None else documents[index] for index in indices]
    return accumulate(counts[:-1], initial=0) if counts else iter(())


class NumberedRows(Dataset):
    """
    A tokenized dataset that is indexed by [`RowKey`]s. Rows that fill up the last batch have the token `filler`.

    When a run resumes on several processes, accelerate tells the epoch only to the dataset, which passes it on to the
    `sampler`.
    """

    def __init__(self, dataset, noise: RowNoise, filler: int, sampler: EpochSampler | None = None):
        columns = [
            name for name in ("input_ids", "labels", "seq_lengths", COMMIT_STEPS) if name in dataset.column_names
        ]
        self.rows = dataset.select_columns(columns)
        self.noise = noise
        self.filler = filler
        self.sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        if self.sampler is not None:
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.rows)

    def lengths(self) -> Sequence[int]:
        """The number of tokens of each row."""
        return [len(tokens) for tokens in self.rows["input_ids"]]

    @property
    def documents(self) -> list[int] | None:
        """The number of documents in each row, if rows are packed."""
        if "seq_lengths" not in self.rows.column_names:
            return None
        return [len(lengths) for lengths in self.rows["seq_lengths"]]

    def __getitem__(self, key: RowKey) -> NumberedRow | list[NumberedRow]:
        """A row, or the documents of a packed row, whose masks are drawn one after the other from one generator."""
        if key.index is None:
            rate = self.noise.rate(key.epoch, key.position)
            return NumberedRow([self.filler], [-100], rate, self.noise.generator(key.epoch, -1))
        row, noise, generator = self.rows[key.index], self.noise, self.noise.generator(key.epoch, key.index)
        documents = [
            NumberedRow(
                *tokens,
                noise.rate(key.epoch, key.position + number),
                generator,
                corruption_rate=noise.corruption_rate,
                mask_source=noise.mask_source,
                commit_steps=row.get(COMMIT_STEPS),
            )
            for number, tokens in enumerate(documents_of(row))
        ]
        return documents if "seq_lengths" in row else documents[0]


def documents_of(row: dict[str, list[int]]) -> Iterator[tuple[list[int], list[int]]]:
    """The `input_ids` and the `labels` of each document of a row, packed or not."""
    input_ids = row["input_ids"]
    labels = row.get("labels", input_ids)
    ends = list(accumulate(row.get("seq_lengths", [len(input_ids)])))
    for start, end in zip([0, *ends], ends, strict=False):
        yield input_ids[start:end], labels[start:end]


def documents(dataset) -> Iterator[dict[str, list[int]]]:
    """The documents of tokenized rows, packed or not."""
    for row in dataset:
        for input_ids, labels in documents_of(row):
            yield {"input_ids": input_ids, "labels": labels}
