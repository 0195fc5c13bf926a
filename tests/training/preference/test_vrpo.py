# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Preference optimisation on evidence bounds: the score, the losses, the reference, and what is logged."""

import math

import pytest
import torch
from transformers import AutoTokenizer


pytest.importorskip("trl", reason="TRL is not part of this environment")

from peft import LoraConfig, PeftModel, get_peft_model
from support.expert_runs import new_llada2, new_llada_moe, tokens_of
from support.sft_runs import largest_difference, losses_of, weights_of
from support.vrpo_runs import PAIRS, vrpo_trainer

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training.preference.configuration import LOSSES
from modeling_llada.training.sft.checks import PROJECTIONS


LORA = LoraConfig(r=2, lora_dropout=0.2)


@pytest.fixture
def trainer_of(poet_folder, tmp_path):
    """Makes a trainer of the tiny poet; keyword arguments change the training arguments."""
    return lambda *args, **settings: vrpo_trainer(poet_folder, tmp_path / "run", *args, **settings)


@pytest.fixture(scope="module")
def tokenizer(poet_folder):
    return AutoTokenizer.from_pretrained(poet_folder)


def logs_of(trainer, name):
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def batch_of(trainer):
    """The first batch of an epoch, four pairs, and the four numbers of each that the score is made of."""
    inputs = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad(), trainer._reference() as reference:
        theirs = trainer._bound_terms(reference, inputs).bounds
    return inputs, theirs


class TestScore:
    @pytest.mark.parametrize(
        ("adapter", "bf16", "dtype"),
        [
            (False, False, torch.float32),
            (True, True, torch.bfloat16),
            pytest.param(True, False, torch.float32, marks=pytest.mark.slow),
            *(pytest.param(adapter, True, torch.float32, marks=pytest.mark.slow) for adapter in (False, True)),
            pytest.param(False, True, torch.bfloat16, marks=pytest.mark.slow),
        ],
        ids=str,
    )
    def test_is_zero_at_the_first_step(self, trainer_of, poet_folder, adapter, bf16, dtype):
        """In every precision, because both models see the same noise and add up in the same order."""
        model = LLaDAForMaskedLM.from_pretrained(poet_folder, dtype=dtype)
        settings = {"peft_config": LORA, "gradient_checkpointing": True} if adapter else {}
        trainer = trainer_of(model=model, max_steps=1, bf16=bf16, num_noise_samples=4, **settings)
        trainer.train()
        assert logs_of(trainer, "rewards/chosen") == logs_of(trainer, "rewards/rejected") == [0.0]
        assert logs_of(trainer, "rewards/margins_error") == [0.0]
        assert losses_of(trainer)[1] == pytest.approx(math.log(2), abs=1e-7)

    @pytest.mark.gpu
    @pytest.mark.parametrize("adapter", [False, True], ids=["all weights", "LoRA"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_is_zero_on_a_gpu(self, trainer_of, poet_folder, adapter, dtype):
        """Where the attention may take another kernel without gradients."""
        model = LLaDAForMaskedLM.from_pretrained(poet_folder, dtype=dtype)
        settings = {"peft_config": LORA, "gradient_checkpointing": True} if adapter else {}
        trainer = trainer_of(model=model, max_steps=1, use_cpu=False, **settings)
        trainer.train()
        assert logs_of(trainer, "rewards/chosen") == logs_of(trainer, "rewards/rejected") == [0.0]

    def test_is_not_zero_on_other_noise(self, trainer_of):
        trainer = trainer_of(max_steps=1, shared_noise=False)
        trainer.train()
        assert abs(logs_of(trainer, "rewards/margins")[0]) > 0.1

    def test_loss_is_that_of_dpo_on_bounds(self, trainer_of):
        trainer = trainer_of(num_noise_samples=6)
        inputs, theirs = batch_of(trainer)
        trainer.model.lm_head.weight.data.mul_(1.1)
        ours = trainer._bound_terms(trainer.model, inputs).bounds
        score = (ours - theirs)[:4] - (ours - theirs)[4:]
        expected = -torch.nn.functional.logsigmoid(0.2 * score).mean()
        assert score.abs().min() > 0
        torch.testing.assert_close(trainer.compute_loss(trainer.model, inputs), expected)

    def test_gradient_pushes_the_bounds_apart(self, trainer_of):
        """At score 0 the gradient of the loss is that of -beta/2 times the difference of the policy's bounds."""
        trainer = trainer_of()
        inputs, _ = batch_of(trainer)
        weight = trainer.model.model.layers[0].self_attn.q_proj.weight
        [gradient] = torch.autograd.grad(trainer.compute_loss(trainer.model, inputs), weight)
        chosen, rejected = trainer._bound_terms(trainer.model, inputs).bounds.chunk(2)
        [expected] = torch.autograd.grad(-0.1 * (chosen - rejected).mean(), weight)
        torch.testing.assert_close(gradient, expected)

    def test_learns(self, trainer_of):
        rows = PAIRS.map(lambda row: {"rejected": "明" + row["chosen"][::-1]})
        trainer = trainer_of(rows, max_steps=8, learning_rate=1e-2, per_device_train_batch_size=10)
        trainer.train()
        assert logs_of(trainer, "rewards/accuracies")[-1] >= 0.9 and losses_of(trainer)[8] < 0.3


class TestLosses:
    def test_each_takes_bounds(self, trainer_of):
        trainer = trainer_of(label_smoothing=0.1)
        inputs, _ = batch_of(trainer)
        weight = trainer.model.lm_head.weight
        weight.data.mul_(1.1)
        values = set()
        for loss in LOSSES:
            trainer.loss_types = [loss]
            value = trainer.compute_loss(trainer.model, inputs)
            [gradient] = torch.autograd.grad(value, weight)
            assert value.isfinite() and gradient.abs().max() > 0, loss
            values.add(value.item())
        assert len(values) == len(LOSSES), "no two are the same"

    def test_lengths_are_those_of_the_responses(self, trainer_of):
        """`ipo` and `sigmoid_norm` divide each bound by the tokens of its response."""
        trainer = trainer_of(loss_type="ipo")
        inputs, theirs = batch_of(trainer)
        trainer.model.lm_head.weight.data.mul_(1.1)
        ours = trainer._bound_terms(trainer.model, inputs).bounds
        chosen, rejected = ((ours - theirs) / inputs["completion_mask"].sum(-1)).chunk(2)
        expected = ((chosen - rejected - 1 / (2 * 0.2)) ** 2).mean()
        torch.testing.assert_close(trainer.compute_loss(trainer.model, inputs), expected)

    def test_sft_is_the_bound_of_the_chosen_response_a_token(self, trainer_of):
        trainer = trainer_of(loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5])
        inputs, theirs = batch_of(trainer)
        lengths = inputs["completion_mask"].sum(-1)
        expected = math.log(2) - 0.5 * (theirs / lengths)[:4].mean()
        torch.testing.assert_close(trainer.compute_loss(trainer.model, inputs), expected)

    def test_sft_alone(self, trainer_of):
        trainer = trainer_of(loss_type="sft")
        inputs, theirs = batch_of(trainer)
        expected = -(theirs / inputs["completion_mask"].sum(-1))[:4].mean()
        torch.testing.assert_close(trainer.compute_loss(trainer.model, inputs), expected)

    def test_a_response_without_a_prompt_counts_from_its_first_token(self, trainer_of):
        rows = PAIRS.map(lambda row: {"prompt": ""})
        trainer = trainer_of(rows, num_noise_samples=2)
        inputs, _ = batch_of(trainer)
        weighed = (inputs["weights"] > 0).any(1)
        assert weighed[:, 0].all(), "with two coupled samples each token is masked once"
        ours = trainer._bound_terms(trainer.model, inputs).bounds
        trainer.model.train()
        trainer.compute_loss(trainer.model, inputs)
        assert trainer._metrics["train"]["logps/chosen"][0] == pytest.approx(ours[:4].mean().item(), rel=1e-6)


class TestReference:
    def test_is_what_the_model_was(self, trainer_of, poet_folder):
        """Not what is in the folder that it came from."""
        model = LLaDAForMaskedLM.from_pretrained(poet_folder)
        torch.nn.init.normal_(model.model.layers[0].mlp.up_proj.weight)
        before = {name: value.clone() for name, value in model.named_parameters()}
        trainer = trainer_of(model=model)
        trainer.train()
        assert largest_difference(dict(trainer.ref_model.named_parameters()), before) == 0
        assert largest_difference(weights_of(trainer), before) > 0

    def test_given(self, trainer_of, poet_folder):
        other = LLaDAForMaskedLM.from_pretrained(poet_folder)
        other.lm_head.weight.data.mul_(1.5)
        trainer = trainer_of(ref_model=other, max_steps=1)
        trainer.train()
        assert trainer.ref_model is other and logs_of(trainer, "rewards/margins")[0] != 0

    def test_of_a_new_adapter(self, trainer_of):
        trainer = trainer_of(peft_config=LoraConfig(r=2))
        assert trainer.ref_model is None
        assert set(trainer.model.peft_config["default"].target_modules) == set(PROJECTIONS)
        trainer.train()
        _, theirs = batch_of(trainer)
        with trainer.model.disable_adapter():
            base = trainer._bound_terms(trainer.model, batch_of(trainer)[0]).bounds
        assert torch.equal(theirs, base)

    def test_of_an_adapter_that_was_trained_before(self, trainer_of, poet_folder):
        """A frozen copy of it, and not the model without it."""
        model = get_peft_model(
            LLaDAForMaskedLM.from_pretrained(poet_folder), LoraConfig(r=2, target_modules=PROJECTIONS)
        )
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        trainer = trainer_of(model=model, max_steps=2)
        trainer.train()
        assert logs_of(trainer, "rewards/margins")[0] == 0.0 != logs_of(trainer, "rewards/margins")[1]
        assert isinstance(trainer.model, PeftModel) and trainer.model.active_adapter == "default"

    @pytest.mark.slow
    def test_follows_the_policy(self, trainer_of):
        settings = {"sync_ref_model": True, "ref_model_sync_steps": 1, "ref_model_mixup_alpha": 1.0}
        trainer = trainer_of(max_steps=2, **settings)
        trainer.train()
        assert largest_difference(dict(trainer.ref_model.named_parameters()), weights_of(trainer)) == 0


class TestEvaluation:
    def test_has_fixed_noise(self, trainer_of):
        trainer = trainer_of(PAIRS.select(range(3)), PAIRS.select(range(5)), shared_noise=False)
        first, second = (trainer.evaluate() for _ in range(2))
        names = ("eval_loss", "eval_rewards/margins", "eval_rewards/accuracies", "eval_masked_accuracy")
        assert [first[name] for name in names] == [second[name] for name in names]
        trainer.args.eval_seed = 1
        assert trainer.evaluate()["eval_loss"] != first["eval_loss"]

    def test_batches_do_not_matter(self, trainer_of):
        trainer = trainer_of(eval_dataset={"all": PAIRS}, max_steps=1)
        trainer.train()
        losses = []
        for size in (4, 10):
            trainer.args.per_device_eval_batch_size = size
            losses.append(trainer.evaluate()["eval_all_loss"])
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        assert trainer.evaluate(PAIRS)["eval_loss"] == pytest.approx(losses[0], rel=1e-5)

    def test_metrics_of_next_tokens_are_left_out(self, trainer_of):
        trainer = trainer_of(max_steps=1, num_noise_samples=4)
        trainer.train()
        names = {"rewards/margins", "rewards/margins_error", "logps/chosen", "masked_accuracy"}
        assert names <= set(trainer.state.log_history[0])
        assert not {"entropy", "mean_token_accuracy", "logits/chosen"} & set(trainer.state.log_history[0])


@pytest.mark.parametrize("new_model", [pytest.param(new_llada_moe, marks=pytest.mark.slow), new_llada2])
def test_models_with_experts(trainer_of, tokenizer, new_model):
    """A LLaDA2 is scored block by block, in blocks of the length of generation."""
    model = new_model(**tokens_of(tokenizer))
    if new_model is new_llada2:
        model.generation_config.block_length = 8
    trainer = trainer_of(model=model, max_steps=2)
    trainer.train()
    assert logs_of(trainer, "rewards/margins")[0] == 0.0 != logs_of(trainer, "rewards/margins")[1]


@pytest.mark.slow
def test_saved_with_a_card(trainer_of, tmp_path):
    trainer = trainer_of(max_steps=1, peft_config=LoraConfig(r=2))
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    card = (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")
    assert "`LLaDAVRPOTrainer` on preferences by evidence bounds (VRPO" in card and "vrpo" in card
