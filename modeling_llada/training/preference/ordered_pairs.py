# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pairs that know their place in the epoch, and the data loaders that they come from.

The noise of a pair follows from the seed, the epoch and the number of the pair: accumulation, processes and restarts do not change
it. Trainer's private `_get_dataloader`, `_get_train_sampler` and `_get_eval_sampler` are overridden.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ..masking.noise import RowNoise
from ..masking.row_order import EpochSampler, EvaluationSampler, RowKey


TOKENS = ("prompt_ids", "chosen_ids", "rejected_ids")


class NumberedPair(NamedTuple):
    """A pair of responses to a prompt, and the source of its noise."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    generator: torch.Generator


class NumberedPairs(TorchDataset):
    """
    A tokenized dataset of pairs that is indexed by [`RowKey`]s.

    When a run resumes on several processes, accelerate tells the epoch only to the dataset, which passes it on to the
    `sampler`.
    """

    def __init__(self, dataset: Dataset, noise: RowNoise):
        self.pairs = dataset.select_columns(list(TOKENS))
        self.noise = noise
        self.sampler: EpochSampler | None = None

    def set_epoch(self, epoch: int) -> None:
        if self.sampler is not None:
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.pairs)

    def lengths(self) -> list[int]:
        """The number of tokens of the prompt and the longer response."""
        prompts, chosen, rejected = (self.pairs[column] for column in TOKENS)
        return [
            len(prompt) + max(len(one), len(other))
            for prompt, one, other in zip(prompts, chosen, rejected, strict=True)
        ]

    def __getitem__(self, key: RowKey) -> NumberedPair:
        pair = self.pairs[key.index]
        return NumberedPair(*(pair[column] for column in TOKENS), self.noise.generator(key.epoch, key.index))


class FilledSampler(EpochSampler):
    """
    An epoch whose last step is filled up with pairs from its beginning. So all steps have the same number of pairs, and the mean
    over them does not depend on how they are cut into micro-batches.
    """

    def __iter__(self) -> Iterator[RowKey]:
        epoch, order = self.epoch, self.order(self.epoch)
        for place in range(len(self)):
            yield RowKey(epoch, place, order[place % len(order)])


class OrderedPairs:
    """A mixin for [`~trl.DPOTrainer`], placed before it in the bases: pairs are loaded with their noise."""

    def _get_dataloader(
        self, dataset: Dataset, description: str, *args, is_training: bool = False, **kwargs
    ) -> DataLoader:
        own = self.args
        noise = RowNoise(own.seed, "train") if is_training else RowNoise(own.eval_seed, "eval")
        pairs = NumberedPairs(dataset, noise)
        return super()._get_dataloader(pairs, description, *args, is_training=is_training, **kwargs)

    def _get_train_sampler(self, train_dataset: NumberedPairs) -> FilledSampler:
        args = self.args
        pairs_a_step = self._train_batch_size * args.world_size * args.gradient_accumulation_steps
        by_length = args.train_sampling_strategy == "group_by_length"
        train_dataset.sampler = FilledSampler(
            len(train_dataset),
            seed=args.seed if args.data_seed is None else args.data_seed,
            shuffle=args.train_sampling_strategy != "sequential",
            lengths=train_dataset.lengths() if by_length else None,
            group_size=pairs_a_step,
            multiple=pairs_a_step,
        )
        return train_dataset.sampler

    def _get_eval_sampler(self, eval_dataset: NumberedPairs) -> EvaluationSampler:
        return EvaluationSampler(len(eval_dataset))
