# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Fine-tuning of models of blocks, and the noise of their reports: complementary masks, replaced tokens, confidence."""

import json

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import concatenate_datasets
from peft import LoraConfig
from support.block_runs import block_trainer, train_block_pairs
from support.golden_families import golden_of
from support.processes import run_together
from support.sft_runs import PROMPTS_AND_COMPLETIONS, largest_difference, losses_of, sft_trainer, weights_of
from support.tiny_llada2 import block_by_block, tiny_llada2

from modeling_llada import LLaDA2MoeForMaskedLM
from modeling_llada.models.diffusion_llada import diffusion_loss
from modeling_llada.training import BlockLengthCallback, LLaDASFTConfig
from modeling_llada.training.sft.objective import ResponseObjective


@pytest.fixture
def trainer_of(poet_folder, tmp_path):
    """Makes a trainer of a tiny LLaDA2 with blocks of four tokens; keyword arguments change the training arguments."""
    return lambda *args, **settings: block_trainer(poet_folder, tmp_path / "run", *args, **settings)


def first_batch(trainer):
    return next(iter(trainer.get_train_dataloader()))


def loss_of(trainer, batch):
    trainer.model.eval()  # without the confidence term, and what else is for training
    return trainer.compute_loss(trainer.model, batch).item()


def losses_by_hand(model, batch, block_length):
    """The cross-entropy of each position, from each block as it is in generation."""
    losses = torch.zeros(batch["labels"].shape)
    for document in range(len(batch["rates"])):
        row, places = (batch["documents"] == document).nonzero(as_tuple=True)
        noisy, clean = (batch[name][row[0], places][None] for name in ("input_ids", "clean_ids"))
        with torch.no_grad():
            log_probs = block_by_block(model, noisy, clean, block_length)[0].log_softmax(-1)
        losses[row[0], places] = -log_probs.gather(1, clean[0, :, None])[:, 0]
    return losses


class TestLoss:
    @pytest.mark.parametrize("packing", [False, True])
    def test_is_that_of_each_block_in_generation(self, trainer_of, packing):
        trainer = trainer_of(packing=packing, max_length=40)
        batch = first_batch(trainer)
        loss = loss_of(trainer, batch)
        rates = batch["rates"][batch["documents"]]
        is_masked = batch["labels"] != -100
        expected = (losses_by_hand(trainer.model, batch, 4) / rates)[is_masked].sum() / batch["response_lengths"].sum()
        assert loss == pytest.approx(expected.item(), rel=1e-4)

    def test_of_dfactory(self, tmp_path):
        """The mean over masked tokens, without weights, on the golden batch."""
        golden = golden_of("llada2")
        noisy, clean, labels = (golden.tensors[f"train.{name}"] for name in ("noisy_ids", "clean_ids", "labels"))
        args = LLaDASFTConfig(str(tmp_path), loss_weighting="none", block_length=8, use_cpu=True)
        objective = ResponseObjective(args, golden.values["special_ids"]["mask"], has_blocks=True)
        batch = {"input_ids": noisy, "clean_ids": clean, "labels": labels, "rates": torch.tensor([0.4, 0.5])}
        batch["documents"] = torch.arange(2)[:, None].expand_as(noisy)
        batch["masked_positions"] = (labels != -100).flatten().nonzero().flatten()
        batch["num_predicted"] = batch["response_lengths"] = (labels != -100).sum(-1)
        with torch.no_grad():
            outputs = golden.model(**objective.model_inputs(batch, is_training=True))
        weighed = objective.weigh(batch, outputs, is_training=True)
        loss = diffusion_loss(weighed.losses, weighed.rates, objective.num_items(batch))
        assert loss.item() == pytest.approx(golden.values["train"]["loss"], abs=1e-4)

    def test_without_weights(self, trainer_of):
        """Each row divides by the number of its predicted tokens, or all by that of all."""
        for normalization in ("token", "sequence"):
            trainer = trainer_of(loss_weighting="none", rate_eps=0.3, rate_max=0.8, loss_normalization=normalization)
            batch = first_batch(trainer)
            assert batch["rates"].min() > 0.3 and batch["rates"].max() <= 0.8
            is_masked = batch["labels"] != -100
            losses = losses_by_hand(trainer.model, batch, 4) * is_masked
            expected = losses.sum() / is_masked.sum()
            if normalization == "sequence":
                expected = (losses.sum(1) / is_masked.sum(1))[is_masked.any(1)].mean()
            assert loss_of(trainer, batch) == pytest.approx(expected.item(), rel=1e-4)

    def test_confidence_of_right_predictions(self, trainer_of):
        """The entropy of masked tokens that are predicted right. Those that may have been replaced have none."""
        plain, sharp = (
            trainer_of(confidence_weight=weight, corruption_rate=0.5, loss_weighting="none") for weight in (0.0, 2.0)
        )
        batch = first_batch(sharp)
        with torch.no_grad():
            inputs = {"attention_mask": batch["documents"] + 1, "clean_ids": batch["clean_ids"], "block_length": 4}
            logits = sharp.model(batch["input_ids"], **inputs).logits
        is_right = (torch.arange(8)[:, None] < 4) & (batch["labels"] != -100)  # in four of the eight rows
        batch["labels"] = batch["labels"].where(~is_right, logits.argmax(-1))
        is_right &= batch["input_ids"] == sharp.processing_class.mask_token_id
        entropy = torch.distributions.Categorical(logits=logits).entropy()[is_right].sum()
        expected = loss_of(plain, batch) + 2.0 * entropy.item() / batch["num_predicted"].sum().item()
        sharp.model.train()
        assert sharp.compute_loss(sharp.model, batch).item() == pytest.approx(expected, rel=1e-4)
        assert loss_of(sharp, batch) == pytest.approx(loss_of(plain, batch)), "not in evaluation"


class TestRuns:
    @pytest.mark.parametrize(
        "settings",
        [{"complementary_masks": True, "corruption_rate": 0.1, "confidence_weight": 1.0}, {"loss_weighting": "none"}],
        ids=["1/t", "none"],
    )
    def test_accumulation_equals_one_batch(self, trainer_of, settings):
        results = []
        for rows, accumulation in ((8, 1), (2, 4)):
            split = {"per_device_train_batch_size": rows, "gradient_accumulation_steps": accumulation}
            trainer = trainer_of(**split, **settings)
            trainer.train()
            results.append((weights_of(trainer), losses_of(trainer)))
        assert largest_difference(results[0][0], results[1][0]) < 1e-5
        assert results[0][1] == pytest.approx(results[1][1], rel=1e-4)

    @pytest.mark.slow
    def test_two_processes_equal_one(self, poet_folder, tmp_path):
        train_block_pairs(poet_folder, tmp_path, rows=8)
        run_together(train_block_pairs, poet_folder, tmp_path, 4)
        one, two = (json.loads((tmp_path / f"{number}.json").read_text()) for number in (1, 2))
        assert one == pytest.approx(two, rel=1e-4)

    def test_packed_documents_and_an_adapter(self, trainer_of):
        rows = concatenate_datasets([PROMPTS_AND_COMPLETIONS] * 2)
        trainer = trainer_of(
            rows,
            packing=True,
            max_length=40,
            peft_config=LoraConfig(r=2),
            gradient_checkpointing=True,
            eval_dataset=rows,
        )
        before = weights_of(trainer)
        trainer.train()
        changed = [name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])]
        assert changed and all("lora_" in name for name in changed)
        assert trainer.evaluate()["eval_loss"] > 0

    def test_resumes_with_the_same_losses_and_lengths(self, trainer_of, tmp_path):
        lengths = []

        class Watched(BlockLengthCallback):
            def on_step_begin(self, args, state, control, **kwargs):
                super().on_step_begin(args, state, control, **kwargs)
                lengths.append(args.block_length)

        def run(**settings):
            schedule = Watched({0.0: 1, 0.25: 2, 0.5: 64, 0.75: 4})
            saving = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "callbacks": [schedule]}
            return trainer_of(**saving, corruption_rate=0.2)

        whole = run()
        whole.train()
        assert lengths == [1, 2, 64, 4]
        resumed = run()
        resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
        assert lengths[4:] == [64, 4]
        assert losses_of(resumed) == pytest.approx(losses_of(whole), rel=1e-5)

    def test_generation_gets_the_length_of_blocks(self, trainer_of, tmp_path):
        trainer = trainer_of(max_steps=1)
        trainer.train()
        trainer.save_model(tmp_path / "saved")
        saved = LLaDA2MoeForMaskedLM.from_pretrained(tmp_path / "saved")
        assert saved.generation_config.block_length == 4
        assert trainer_of(block_length=None, model=saved).args.block_length == 4
        saved.generation_config.block_length = None  # as in a generation_config.json that does not name it
        assert trainer_of(block_length=None, model=saved).args.block_length == 32
        assert saved.generation_config.block_length == 32


class TestBadInput:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"rate_max": 0.0}, r"`rate_max` must be in \(`rate_eps`, 1\]"),
            ({"rate_max": "x"}, "`rate_max` must be a number"),
            ({"loss_weighting": "t"}, '`loss_weighting` must be "1/t" or "none"'),
            ({"corruption_rate": 1.0}, r"`corruption_rate` must be in \[0, 1\)"),
            ({"confidence_weight": -1.0}, "`confidence_weight` must be at least 0"),
            ({"block_length": 0}, "`block_length` must be a positive integer"),
            ({"eos_fill": "blocks"}, '`eos_fill` must be `None`, "longest", "block"'),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_arguments(self, settings, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            LLaDASFTConfig(str(tmp_path), use_cpu=True, **settings)

    def test_blocks_for_a_model_without_any(self, poet_folder, tmp_path):
        for settings in ({"block_length": 4}, {"eos_fill": "block"}):
            with pytest.raises(ValueError, match=f"`{next(iter(settings))}.* for models of blocks"):
                sft_trainer(poet_folder, tmp_path, **settings)

    def test_blocks_that_cannot_be(self, trainer_of):
        model = tiny_llada2()
        model.set_attn_implementation("flex_attention")
        with pytest.raises(ValueError, match="`attn_implementation` must be sdpa or eager"):
            trainer_of(model=model)
        with pytest.raises(ValueError, match="`block_length` must be 4 for this model"):
            trainer_of(model=tiny_llada2(expert_capacity=4, block_size=4), block_length=8)

    def test_a_schedule_that_does_not_fit(self, trainer_of, poet_folder, tmp_path):
        schedule = {"callbacks": [BlockLengthCallback({0: 8})]}
        with pytest.raises(ValueError, match="`lengths` must end with `block_length`, that of generation, 4"):
            trainer_of(**schedule).train()
        with pytest.raises(ValueError, match="`BlockLengthCallback` is for models of blocks"):
            sft_trainer(poet_folder, tmp_path, **schedule).train()
