# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Masks of random canvases, of blocks, and of the canvases that a run of `generate` came through."""

import pytest
import torch


pytest.importorskip("datasets", reason="datasets is not part of this environment")

from datasets import Dataset

from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer
from modeling_llada.training.masking.collator import MaskingCollator
from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import NumberedRow


MASK, EOS, PAD = 98, 1, 0


def row(rate, index=0, **fields):
    """A prompt of two tokens, and a response of twelve with EOS."""
    response = [*range(10, 21), EOS]
    generator = RowNoise(0, "train").generator(0, index)
    return NumberedRow([5, 6, *response], [-100, -100, *response], rate, generator, **fields)


def collate(*rows, **options):
    return MaskingCollator(MASK, EOS, PAD, **options)(rows)


class TestBlocks:
    def test_what_is_before_is_there_and_what_is_behind_is_masked(self):
        batch = collate(*(row(1.0, index, mask_source="block") for index in range(32)), block_length=5)
        masked, predicted = batch["input_ids"] == MASK, batch["labels"] != -100
        starts = predicted.byte().argmax(-1)
        assert set(starts.tolist()) == {2, 7, 12}
        places = torch.arange(14)
        assert torch.equal(masked, places >= starts[:, None])
        assert torch.equal(predicted, masked & (places < starts[:, None] + 5))
        assert torch.equal(batch["response_lengths"], predicted.sum(-1))

    def test_complementary_masks_share_the_block(self):
        batch = collate(row(0.3, mask_source="block"), block_length=5, complementary_masks=True)
        first, second = batch["labels"] != -100
        assert not (first & second).any()
        assert (first | second).sum() == batch["response_lengths"][0] == batch["response_lengths"][1]
        assert batch["rates"].tolist() == pytest.approx([0.3, 0.7])


class TestTrajectories:
    STEPS = [-1, -1, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, -1]  # the EOS was added

    @pytest.mark.parametrize("rate, first", [(0.01, 5), (0.08, 5), (0.17, 4), (0.2, 4), (0.25, 3), (0.6, 2), (1.0, 0)])
    def test_what_was_committed_last_is_masked(self, rate, first):
        batch = collate(row(rate, mask_source="trajectory", commit_steps=self.STEPS))
        steps = torch.tensor(self.STEPS)
        steps[-1] = 5
        assert torch.equal(batch["input_ids"][0] == MASK, steps >= first)
        assert torch.equal(batch["labels"][0] != -100, steps >= first)
        assert batch["rates"].tolist() == pytest.approx([(steps >= first).sum().item() / 12])
        assert batch["response_lengths"].tolist() == [12]

    def test_it_is_trained_on(self, poet_folder, tmp_path):
        """Rows of tokens keep their steps, also where they are cut, and evaluation does not read them."""
        rows = [{"input_ids": [5, 6, 7, 8, 9, 10], "labels": [-100, -100, 7, 8, 9, 10]}] * 4
        rows = [one | {"commit_steps": [-1, -1, 2, 0, 1, 3]} for one in rows]
        args = LLaDASFTConfig(
            str(tmp_path), mask_source="trajectory", max_length=6, max_steps=1, report_to="none", use_cpu=True, rate_eps=0.45,
            rate_max=0.55, confidence_weight=2.0, loss_weighting="none", per_device_train_batch_size=4,
        )  # fmt: skip
        dataset = Dataset.from_list(rows)
        trainer = LLaDASFTTrainer(str(poet_folder), args, train_dataset=dataset, eval_dataset=dataset)
        (batch,) = trainer.get_train_dataloader()
        mask = trainer.processing_class.mask_token_id
        assert batch["input_ids"].tolist() == [[5, 6, mask, 8, 9, mask]] * 4
        assert not torch.equal(next(iter(trainer.get_eval_dataloader()))["input_ids"], batch["input_ids"])
        trainer.train()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mask_source": "random"}, "`mask_source` must be one of uniform, block, trajectory, but got 'random'"),
        ({"mask_source": "block"}, '`mask_source="block"` needs `block_length`'),
        ({"mask_source": "trajectory", "complementary_masks": True}, "`complementary_masks` does not go with"),
        ({"mask_source": "trajectory", "packing": True}, "`packing` does not go with"),
    ],
    ids=str,
)
def test_bad_arguments(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        LLaDASFTConfig(str(tmp_path), use_cpu=True, **options)


TOKENS = {"input_ids": [5, 6, 7], "labels": [-100, 6, 7], "commit_steps": [-1, 0, 1]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "春", "completion": "风"},
        {"prompt": "春", "completion": "风", "commit_steps": [0]},
        TOKENS | {"seq_lengths": [2, 1]},
    ],
    ids=["no steps", "text", "packed"],
)
def test_rows_that_are_no_trajectories(poet_folder, tmp_path, row):
    args = LLaDASFTConfig(str(tmp_path), mask_source="trajectory", use_cpu=True, report_to="none")
    with pytest.raises(ValueError, match="needs a column `commit_steps` beside `input_ids` and `labels`"):
        LLaDASFTTrainer(str(poet_folder), args, train_dataset=Dataset.from_list([row]))
