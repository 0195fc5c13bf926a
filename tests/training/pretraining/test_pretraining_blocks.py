# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pre-training by block diffusion, and its noise: rates, weights, replaced tokens, confidence."""

from unittest import mock

import pytest
import torch
from support.made_up_corpus import BOS, EOS, MASK
from support.tiny_llada2 import block_by_block, tiny_llada2
from torch.nn import functional as F

from modeling_llada.training import (
    AutoregressivePretrainer,
    BlockLengthCallback,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    autoregressive_twin,
)
from modeling_llada.training.pretraining.batches import TensorRows, TrainingBatches


ROWS = torch.randint(10, 97, (64, 11), generator=torch.Generator().manual_seed(0))
ROWS[::2, 0] = ROWS[::3, 6] = BOS


@pytest.fixture
def trainer_of(tmp_path):
    """Makes a trainer of a tiny LLaDA2 with blocks of 4 tokens; keyword arguments change the training arguments."""

    def make(model=None, callbacks=None, trainer_class=LLaDAPretrainer, **changes):
        settings = {
            "max_steps": 3,
            "tokens_per_step": 88,
            "block_length": 4,
            "random_length_ratio": 0.0,
            "optim": "sgd",
            "learning_rate": 0.1,
            "warmup_steps": 1,
            "use_cpu": True,
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 1,
            "eval_num_samples": 2,
        }
        args = LLaDAPretrainingConfig(str(tmp_path / "run"), **(settings | changes))
        model = tiny_llada2(initializer_range=0.1) if model is None else model
        return trainer_class(model, args, ROWS, ROWS[:6], callbacks)

    return make


def loss_of(trainer, batch):
    trainer.model.train()
    return trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"]).item()


def first_batch(trainer):
    return next(iter(trainer.get_train_dataloader()))


@torch.no_grad()
def losses_by_hand(model, batch, documents=None):
    """The cross-entropy of each position, `(rows, length)`, from each block as it is in generation."""
    losses = torch.zeros(batch["labels"].shape)
    documents = torch.ones_like(batch["labels"]) if documents is None else documents
    for row, numbers in enumerate(documents):
        for number in numbers.unique():
            if number > 0:
                own = numbers == number
                noisy, clean = (batch[name][row : row + 1, own] for name in ("input_ids", "labels"))
                logits = block_by_block(model, noisy, clean, 4)[0]
                losses[row, own] = F.cross_entropy(logits, clean[0], reduction="none")
    return losses


def rates_of(batch):
    """The rate of each predicted position, and 0 elsewhere."""
    rates, found = torch.zeros(batch["labels"].numel()), batch["masked_positions"] >= 0
    rates[batch["masked_positions"][found]] = batch["rates"][found]
    return rates.view(batch["labels"].shape)


class TestLoss:
    def test_is_that_of_each_block_in_generation(self, trainer_of):
        trainer = trainer_of()
        batch = first_batch(trainer)
        rates, losses = rates_of(batch), losses_by_hand(trainer.model, batch)
        assert torch.equal(rates > 0, batch["input_ids"] == MASK)
        expected = (losses / rates)[rates > 0].sum() / 88
        assert loss_of(trainer, batch) == pytest.approx(expected.item(), rel=1e-4)

    def test_of_separate_documents_and_cut_rows(self, trainer_of):
        trainer = trainer_of(
            model=tiny_llada2(bos_token_id=BOS, eos_token_id=EOS), separate_documents=True, random_length_ratio=1.0
        )
        batch = first_batch(trainer)
        documents = ((batch["labels"] == BOS).cumsum(1) + 1) * batch["attention_mask"]
        rates, losses = rates_of(batch), losses_by_hand(trainer.model, batch, documents)
        assert (documents.amax(1) > documents[:, 0]).any() and (documents == 0).any()
        expected = (losses / rates)[rates > 0].sum() / batch["num_items"]
        assert loss_of(trainer, batch) == pytest.approx(expected.item(), rel=1e-4)

    def test_without_weights_and_with_replaced_tokens(self, trainer_of):
        """All tokens are predicted: masks, what was replaced, and what was not."""
        settings = {"corruption_rate": 0.3, "rate_eps": 0.3, "rate_max": 0.8}
        trainer = trainer_of(loss_weighting="none", **settings)
        batch = first_batch(trainer)
        losses, noisy = losses_by_hand(trainer.model, batch), batch["input_ids"]
        replaced = (noisy != batch["labels"]) & (noisy != MASK)
        assert replaced.any() and batch["num_items"] == 88
        assert loss_of(trainer, batch) == pytest.approx(losses.mean().item(), rel=1e-4)
        trainer = trainer_of(**settings)
        batch = first_batch(trainer)
        rates = rates_of(batch)
        assert torch.equal(batch["input_ids"], noisy) and (rates[noisy != MASK] == 1).all()
        assert rates[noisy == MASK].min() > 0.3 and rates[noisy == MASK].max() <= 0.8
        assert loss_of(trainer, batch) == pytest.approx((losses / rates).sum().item() / 88, rel=1e-4)

    def test_confidence_of_right_predictions(self, trainer_of):
        plain, sharp = trainer_of(), trainer_of(confidence_weight=2.0)
        batch = first_batch(plain)
        with torch.no_grad():
            logits = plain.model(batch["input_ids"], clean_ids=batch["labels"], block_length=4).logits
        # Embeddings of the noisy tokens do not change with the labels of the last block, which no other block sees.
        batch["labels"][:, 8:] = logits.argmax(-1)[:, 8:]
        is_right = (batch["input_ids"] == MASK) & (logits.argmax(-1) == batch["labels"])
        entropy = torch.distributions.Categorical(logits=logits).entropy()
        expected = loss_of(plain, batch) + (2.0 * entropy / rates_of(batch))[is_right].sum().item() / 88
        assert is_right.any()
        assert loss_of(sharp, batch) == pytest.approx(expected, rel=1e-4)


class TestRuns:
    @pytest.mark.parametrize(
        "settings", [{}, {"loss_weighting": "none", "confidence_weight": 1.0}], ids=["1/t", "none"]
    )
    def test_accumulation_equals_one_batch(self, trainer_of, settings):
        results = []
        for accumulation in (1, 4):
            trainer = trainer_of(gradient_accumulation_steps=accumulation, random_length_ratio=0.5, **settings)
            trainer.train()
            losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
            results.append((losses, torch.cat([weight.flatten() for weight in trainer.model.state_dict().values()])))
        assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
        torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=1e-5)

    @pytest.mark.slow
    def test_compiled_with_a_schedule(self, trainer_of):
        """One graph for each length. Blocks of whole rows have a pass without the clean half."""
        compile_function = torch.compile
        trace = lambda function, **kwargs: compile_function(function, backend="eager", **kwargs)  # noqa: E731
        schedules = []
        for is_compiled in (False, True):
            torch._dynamo.reset()
            with mock.patch("torch.compile", trace):
                schedule = BlockLengthCallback.warmup_stable_decay(16, shortest=4, warmup=0.4, decay=0.2)
                # Without experts, whose loop would take most of the time to compile.
                model = tiny_llada2(initializer_range=0.1, first_k_dense_replace=2)
                trainer = trainer_of(model, [schedule], max_steps=5, compile_loss=is_compiled)
            trainer.train()
            schedules.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
            assert trainer.args.block_length == trainer.model.generation_config.block_length == 4
        assert schedules[0] == pytest.approx(schedules[1], rel=1e-4)

    def test_evaluation_is_that_of_the_likelihood(self, trainer_of):
        """Evaluation masks rows, and the likelihood each block by itself, which is exact for one token. The mean is the same."""
        trainer = trainer_of(block_length=1, eval_num_samples=128)
        score = trainer.model.log_likelihood(ROWS[:6], ROWS[:6], num_samples=1, block_length=1).log_likelihood
        assert trainer.evaluate()["eval_loss"] == pytest.approx(-score.mean().item() / 11, rel=0.04)


class TestBatches:
    def batches_of(self, **options):
        return TrainingBatches(
            TensorRows(ROWS), mask_token_id=MASK, max_steps=1, tokens_per_step=8800, device="cpu",
            random_length_ratio=0.0, **options,
        )  # fmt: skip

    def test_every_masked_token_has_a_slot(self):
        for options in ({}, {"eps": 0.3, "highest": 0.8}, {"eps": 0.7, "highest": 0.9}, {"accumulation_steps": 4}):
            batches = self.batches_of(**options)
            batch = batches.at(0)[0]
            assert batches.num_dropped == 0
            assert (batch["masked_positions"] >= 0).sum() == (batch["input_ids"] == MASK).sum()

    def test_a_share_of_the_tokens_without_a_mask_is_replaced(self):
        batch = self.batches_of(corruption_rate=0.2, vocab_size=99).at(0)[0]
        others = batch["input_ids"] != MASK
        share = ((batch["input_ids"] != batch["labels"]) & others).sum() / others.sum()
        assert 0.18 < share < 0.22
        assert (batch["masked_positions"] >= 0).all() and len(batch["masked_positions"]) == 8800

    @pytest.mark.parametrize("accumulation_steps", [1, 4])
    def test_complementary_masks(self, accumulation_steps):
        """Each row is beside its copy, in which the other tokens are masked, however the step is split."""
        batches = self.batches_of(complementary_masks=True, accumulation_steps=accumulation_steps)
        parts = batches.at(0)
        noisy, clean = (torch.cat([part[name] for part in parts]) for name in ("input_ids", "labels"))
        assert noisy.numel() == 8800 and torch.equal(clean[::2], clean[1::2])
        assert torch.equal(noisy[::2] == MASK, noisy[1::2] != MASK)
        assert torch.equal(
            noisy, torch.cat([part["input_ids"] for part in self.batches_of(complementary_masks=True).at(0)])
        )
        positions = [part["masked_positions"] for part in parts]
        assert batches.num_dropped == 0 and sum(int((one >= 0).sum()) for one in positions) == 4400
        rates = parts[0]["rates"].view(-1)
        assert rates.min() >= 1e-3 and parts[0]["num_items"] == 8800


class TestBadInput:
    def test_blocks_for_a_model_without_any(self, trainer_of, tiny_model):
        with pytest.raises(ValueError, match="`block_length` is for models of blocks.*LLaDAForMaskedLM"):
            trainer_of(tiny_model())

    def test_annealing_of_causal_attention(self, trainer_of):
        with pytest.raises(ValueError, match="`causal_annealing_ratio` must be 0 for a model of blocks"):
            trainer_of(causal_annealing_ratio=0.5)

    @pytest.mark.parametrize(
        "settings", [{"rate_max": 0.5}, {"complementary_masks": True}, {"block_length": 4}], ids=str
    )
    def test_noise_of_an_autoregressive_twin(self, trainer_of, tiny_config, settings):
        twin = autoregressive_twin(tiny_config())
        with pytest.raises(
            ValueError, match="has no meaning for an autoregressive model, which is trained without noise"
        ):
            trainer_of(twin, trainer_class=AutoregressivePretrainer, **{"block_length": None} | settings)
