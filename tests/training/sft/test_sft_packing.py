# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fine-tuning on packed rows: the same loss as with a row for each document, and less padding."""

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset, concatenate_datasets
from support.sft_runs import MESSAGES, largest_difference, losses_of, sft_trainer, weights_of
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from modeling_llada.training.masking.collator import MaskingCollator
from modeling_llada.training.masking.row_order import NumberedRow, documents_of


@pytest.fixture
def trainer_of(poet_folder, tmp_path):
    """Makes a trainer that packs; keyword arguments change the training arguments."""
    defaults = {"packing": True, "max_length": 40}
    return lambda *args, **settings: sft_trainer(poet_folder, tmp_path / "run", *args, **(defaults | settings))


def documents(dataset):
    return [document for row in dataset for document in documents_of(row)]


class TestData:
    def test_rows_hold_whole_documents(self, trainer_of):
        packed, plain = trainer_of(MESSAGES), trainer_of(MESSAGES, packing=False)
        rows = packed.train_dataset
        assert sorted(documents(rows)) == sorted(documents(plain.train_dataset))
        assert len(rows) <= len(MESSAGES) / 2 and all(len(tokens) <= 40 for tokens in rows["input_ids"])
        assert all(
            sum(lengths) == len(row) for lengths, row in zip(rows["seq_lengths"], rows["input_ids"], strict=True)
        )

    def test_what_is_too_long_is_cut_as_without_packing(self, trainer_of):
        settings = {"max_length": 20, "truncation_mode": "keep_end"}
        packed, plain = (trainer_of(MESSAGES, packing=packing, **settings) for packing in (True, False))
        assert sorted(documents(packed.train_dataset)) == sorted(documents(plain.train_dataset))

    def test_or_split_into_documents(self, trainer_of):
        trainer = trainer_of(MESSAGES, max_length=16, packing_strategy="bfd_split")
        plain = trainer_of(MESSAGES, packing=False)
        responses = [
            sum(label != -100 for row in each.train_dataset["labels"] for label in row) for each in (trainer, plain)
        ]
        assert responses[0] == responses[1] and len(documents(trainer.train_dataset)) > len(MESSAGES)
        assert trainer.train().global_step == 3

    @pytest.mark.parametrize("strategy", ["bfd_split", "wrapped"])
    def test_pieces_of_a_prompt_are_left_out(self, trainer_of, strategy, caplog):
        rows = Dataset.from_list([{"prompt": "明" * 23, "completion": "月" * 20}] * 2)
        caplog.set_level("WARNING", logger="modeling_llada")
        trainer = trainer_of(rows, max_length=8, packing_strategy=strategy)
        assert all(any(label not in (-100, 0) for label in labels) for _, labels in documents(trainer.train_dataset))
        responses = [label for _, labels in documents(trainer.train_dataset) for label in labels if label != -100]
        assert len(responses) == 42, "no token of a response is lost"
        assert "pieces, 4 of which have nothing of a response" in caplog.text
        assert trainer.train().global_step == 3

    def test_rows_that_were_packed_before(self, trainer_of):
        rows = trainer_of(MESSAGES).train_dataset
        for options in ({}, {"dataset_kwargs": {"skip_prepare_dataset": True}}):
            trainer = trainer_of(rows, packing=False, **options)
            assert trainer.train_dataset[:] == rows[:]
            assert "cu_seq_lens_q" in next(iter(trainer.get_train_dataloader()))

    def test_evaluation_alone(self, trainer_of):
        trainer = trainer_of(MESSAGES, eval_dataset={"a": MESSAGES}, packing=False, eval_packing=True)
        assert "seq_lengths" not in trainer.train_dataset.column_names
        assert "seq_lengths" in trainer.eval_dataset["a"].column_names
        assert trainer.evaluate()["eval_a_loss"] == trainer.evaluate({"a": MESSAGES})["eval_a_loss"] > 0

    def test_prompts_of_samples_are_those_of_documents(self, trainer_of):
        trainer = trainer_of(MESSAGES, eval_dataset=MESSAGES, sample_every=1)
        (callback,) = [each for each in trainer.callback_handler.callbacks if hasattr(each, "prompts")]
        decode = trainer.processing_class.decode
        pairs = {(row["messages"][0]["content"], row["messages"][1]["content"]) for row in MESSAGES}
        assert {(decode(prompt["input_ids"]), prompt["reference"]) for prompt in callback.prompts} < pairs


class TestLoss:
    @pytest.fixture
    def batches(self, trainer_of):
        """One document a row, and the same ones packed, on the same noise."""
        rows = trainer_of(MESSAGES).train_dataset
        one_each, packed = [], []
        for i, row in enumerate(rows):
            first, second = (torch.Generator().manual_seed(i) for _ in range(2))
            rates = [0.1 + (0.37 * (3 * i + j)) % 0.9 for j in range(len(row["seq_lengths"]))]
            parts = list(zip(documents_of(row), rates, strict=True))
            # The masks of a row are drawn from one generator, document after document.
            one_each += [NumberedRow(*document, rate, first) for document, rate in parts]
            packed.append([NumberedRow(*document, rate, second) for document, rate in parts])
        collate = MaskingCollator(2, 0, 0)
        return collate(one_each), collate(packed)

    @pytest.mark.parametrize("normalization", ["token", "sequence"])
    @pytest.mark.parametrize("attention", ["sdpa", "eager"])
    def test_equals_that_of_a_row_for_each(self, trainer_of, batches, attention, normalization):
        trainer = trainer_of(MESSAGES, loss_normalization=normalization)
        trainer.model.train().set_attn_implementation(attention)
        plain, packed = batches
        assert torch.equal(plain["rates"], packed["rates"])
        assert torch.equal(plain["response_lengths"], packed["response_lengths"])
        assert packed["input_ids"].numel() < plain["input_ids"].numel()

        losses, gradients, metrics = [], [], []
        for batch in (plain, packed):
            trainer.model.zero_grad()
            loss = trainer.compute_loss(trainer.model, batch)
            loss.backward()
            losses.append(loss.item())
            gradients.append({name: value.grad.clone() for name, value in trainer.model.named_parameters()})
            metrics.append(trainer._meters["train"].read(trainer.accelerator))
        assert losses[1] == pytest.approx(losses[0], rel=1e-6)
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-5, msg=name)
        assert metrics[1] == pytest.approx(metrics[0], rel=1e-5)
        assert {"loss_t_0_25", "loss_t_25_50", "loss_t_50_75", "loss_t_75_100"} < metrics[0].keys()

    def test_documents_of_a_row_have_rates_of_their_own(self, trainer_of):
        trainer = trainer_of(MESSAGES, per_device_train_batch_size=2)
        batches = list(trainer.get_train_dataloader())
        assert all(len(batch["rates"].unique()) == len(batch["rates"]) > 2 for batch in batches[:-1])
        rates = torch.cat([batch["rates"] for batch in batches])
        assert len(rates) == len(MESSAGES)
        # Together they are as even as those of ten rows.
        assert (torch.histc(rates, bins=5, min=0, max=1) - 2).abs().max() <= 1


def test_a_run_that_resumes_equals_no_interruption(poet_folder, tmp_path):
    """The order is that of packed rows, and the checkpoint lies in the middle of an epoch."""
    rows = concatenate_datasets([MESSAGES] * 3)
    settings = {"packing": True, "max_length": 40, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    settings |= {"lr_scheduler_type": "constant", "save_strategy": "steps", "save_steps": 5}
    straight = sft_trainer(poet_folder, tmp_path / "straight", rows, max_steps=9, **settings)
    straight.train()
    assert 5 % (len(straight.train_dataset) / 4) > 0
    sft_trainer(poet_folder, tmp_path / "cut", rows, max_steps=5, **settings).train()
    resumed = sft_trainer(poet_folder, tmp_path / "cut", rows, max_steps=9, **settings)
    resumed.train(resume_from_checkpoint=True)
    assert losses_of(resumed) == losses_of(straight)
    assert largest_difference(weights_of(resumed), weights_of(straight)) == 0


def test_a_batch_of_trl_is_understood(poet_folder, trainer_of):
    """What its collator makes of packed rows keeps documents apart as well."""
    model, rows = trainer_of(MESSAGES).model, trainer_of(MESSAGES).train_dataset
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)(list(rows))
    batch.pop("labels")
    with torch.no_grad():
        together = model(**batch).logits[0]
        alone = [model(torch.tensor([tokens])).logits[0] for tokens, _ in documents(rows)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
