# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The data loaders of masked fine-tuning, whose rows know their place in the epoch.

Trainer's private `_get_dataloader`, `_get_train_sampler` and `_get_eval_sampler` are overridden.
"""

from datasets import Dataset
from torch.utils.data import DataLoader

from ..masking.noise import RowNoise
from ..masking.row_order import EpochSampler, EvaluationSampler, NumberedRows


class OrderedBatches:
    """A mixin for [`~trl.SFTTrainer`], placed before it in the bases: rows are loaded with the noise of their place."""

    def _get_dataloader(
        self, dataset: Dataset, description: str, *args, is_training: bool = False, **kwargs
    ) -> DataLoader:
        if "input_ids" not in dataset.column_names:
            raise ValueError(
                f"The dataset for {description.lower()} must have a column `input_ids`, but has "
                f"{sorted(dataset.column_names)}. `evaluate` and `predict` prepare what they are given."
            )
        own, rates = self.args, (self.args.rate_eps, self.args.rate_max)
        if is_training:
            noise = RowNoise(own.seed, "train", *rates, own.corruption_rate, own.mask_source)
        else:
            noise = RowNoise(own.eval_seed, "eval", *rates)
        rows = self.numbered_rows(dataset, noise)
        return super()._get_dataloader(rows, description, *args, is_training=is_training, **kwargs)

    def numbered_rows(self, dataset: Dataset, noise: RowNoise) -> NumberedRows:
        """The rows that a loader is made of."""
        return NumberedRows(dataset, noise, filler=self.processing_class.pad_token_id)

    def _get_train_sampler(self, train_dataset: NumberedRows) -> EpochSampler:
        args = self.args
        global_batch = self._train_batch_size * args.world_size
        by_length = args.train_sampling_strategy == "group_by_length"
        train_dataset.sampler = EpochSampler(
            len(train_dataset),
            seed=args.seed if args.data_seed is None else args.data_seed,
            shuffle=args.train_sampling_strategy != "sequential",
            lengths=train_dataset.lengths() if by_length else None,
            group_size=global_batch * args.gradient_accumulation_steps,
            multiple=global_batch if args.world_size > 1 and not args.dataloader_drop_last else 1,
            documents=train_dataset.documents,
        )
        return train_dataset.sampler

    def _get_eval_sampler(self, eval_dataset: NumberedRows) -> EvaluationSampler:
        args = self.args
        # All batches are full, so that `dataloader_drop_last` drops no row of an evaluation.
        is_filled = args.world_size > 1 or args.dataloader_drop_last
        multiple = args.eval_batch_size * args.world_size if is_filled else 1
        return EvaluationSampler(len(eval_dataset), args.eval_num_samples, multiple, eval_dataset.documents)
