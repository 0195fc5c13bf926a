# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Experts of LLaDA2 that are balanced by the biases of their routers."""

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from support.block_runs import block_trainer
from support.expert_runs import new_llada2, new_llada_moe, tokens_of
from transformers import AutoTokenizer, Trainer, TrainingArguments

from modeling_llada import LLaDA2MoeForMaskedLM
from modeling_llada.training import ExpertBiasCallback, LLaDAPretrainer, LLaDAPretrainingConfig
from modeling_llada.training.expert_bias import balance_by_bias


ALONE = SimpleNamespace(world_size=1)


@pytest.fixture
def model():
    return new_llada2(vocab_size=99, mask_token_id=98).train()


def bias_of(model):
    return model.model.layers[1].mlp.gate.expert_bias.clone()


def loads_of(model, input_ids, **inputs):
    """The number of real tokens that each expert is sent, by the router's own choice."""
    chosen = []
    with model.model.layers[1].mlp.gate.register_forward_hook(lambda gate, args, outputs: chosen.append(outputs[2])):
        model(input_ids, **inputs)
    is_real = inputs.get("attention_mask", torch.ones_like(input_ids)).bool().flatten()
    return torch.bincount(chosen[0][is_real].flatten(), minlength=4)


def step(model, callback, *batches):
    """A step of training without its optimizer."""
    callback.on_train_begin(ALONE, None, None, model=model)
    for inputs in batches:
        model(**inputs)
    callback.on_optimizer_step(ALONE, None, None)
    callback.on_train_end(ALONE, None, None)


def as_expected(loads, rate):
    return rate * (loads.double().mean() - loads).sign()


class TestCallback:
    def test_moves_each_bias_against_its_load(self, model, random_ids):
        """The tokens of all micro-batches count, without padding."""
        first, second = random_ids(3, 8), random_ids(2, 5, seed=1)
        mask = torch.ones(3, 8, dtype=torch.long)
        mask[1:, 2:] = 0
        loads = loads_of(model, first, attention_mask=mask) + loads_of(model, second)
        assert loads.sum() == 2 * (12 + 10) and len({*loads.tolist()}) > 1
        step(model, ExpertBiasCallback(0.01), {"input_ids": first, "attention_mask": mask}, {"input_ids": second})
        torch.testing.assert_close(bias_of(model), as_expected(loads, 0.01).float())

    def test_padding_of_a_4d_mask(self, model, random_ids):
        input_ids, mask = random_ids(2, 8), torch.ones(2, 8, dtype=torch.long)
        mask[0, 3:] = 0
        sees = (mask[:, None] & mask[..., None]).bool()[:, None]
        loads = loads_of(model, input_ids, attention_mask=mask)
        step(model, ExpertBiasCallback(0.01), {"input_ids": input_ids, "attention_mask": sees})
        torch.testing.assert_close(bias_of(model), as_expected(loads, 0.01).float())

    def test_each_step_counts_anew(self, model, random_ids):
        callback = ExpertBiasCallback(0.01)
        for seed in range(2):
            before, loads = bias_of(model), loads_of(model, random_ids(3, 8, seed=seed))
            step(model, callback, {"input_ids": random_ids(3, 8, seed=seed)})
            torch.testing.assert_close(bias_of(model) - before, as_expected(loads, 0.01).float())

    def test_passes_of_an_evaluation_do_not_count(self, model, random_ids):
        callback = ExpertBiasCallback(0.01)
        callback.on_train_begin(ALONE, None, None, model=model)
        model.eval()(random_ids(3, 8))
        callback.on_optimizer_step(ALONE, None, None)
        assert not bias_of(model).any()

    def test_balances(self, model, random_ids):
        """Without any gradient: the largest load comes near to the mean."""
        input_ids, callback = random_ids(4, 16), ExpertBiasCallback(0.02)
        bias = model.model.layers[1].mlp.gate.expert_bias
        bias[2] += 0.6
        assert loads_of(model, input_ids).max() > 50  # of 64 tokens
        for _ in range(40):
            step(model, callback, {"input_ids": input_ids})
        assert loads_of(model, input_ids).max() < 40

    def test_a_rate_that_moves_nothing_is_an_error(self):
        with pytest.raises(ValueError, match="`update_rate` must be positive, but got 0"):
            ExpertBiasCallback(0)
        with pytest.raises(ValueError, match=r"`expert_bias_update_rate` must be in \[0, 1\), but got -1"):
            LLaDAPretrainingConfig("unused", max_steps=1, use_cpu=True, expert_bias_update_rate=-1)


def is_balanced(model, update_rate=1e-3, ram_efficient=False):
    """Whether a trainer of a model adds the callback."""
    added = []
    state = SimpleNamespace(fsdp_plugin=SimpleNamespace(cpu_ram_efficient_loading=ram_efficient))
    balance_by_bias(
        SimpleNamespace(
            model=model,
            args=SimpleNamespace(expert_bias_update_rate=update_rate),
            accelerator=SimpleNamespace(state=state),
            add_callback=added.append,
        )
    )
    return len(added) == 1


class TestWhatIsBalanced:
    def test_models_with_trained_routers_that_have_a_bias(self, model):
        assert is_balanced(model)
        assert not is_balanced(model, 0.0)
        assert not is_balanced(new_llada_moe(vocab_size=99, mask_token_id=98))
        without = new_llada2(vocab_size=99, mask_token_id=98, moe_router_enable_expert_bias=False)
        assert not is_balanced(without)

    @pytest.mark.parametrize(
        "targets", [{"target_modules": "all-linear"}, {"target_parameters": ["mlp.experts.down_proj"]}], ids=str
    )
    def test_not_below_an_adapter(self, model, random_ids, targets):
        """What is saved of it could not hold a bias."""
        adapted = get_peft_model(model, LoraConfig(r=2, **targets)).train()
        assert not is_balanced(adapted)
        step(adapted, ExpertBiasCallback(0.01), {"input_ids": random_ids(2, 8)})
        assert not bias_of(model).any()

    def test_accelerate_cannot_distribute_them_from_one_process(self, model):
        assert is_balanced(new_llada_moe(vocab_size=99, mask_token_id=98), ram_efficient=True) is False
        with pytest.raises(ValueError, match="`fsdp_cpu_ram_efficient_loading` must be false for LLaDA2"):
            is_balanced(model, 0.0, ram_efficient=True)


class TestFineTuning:
    @pytest.fixture
    def trainer(self, poet_folder, tmp_path):
        """A trainer whose step does not change the weights, of a LLaDA2 with two layers of experts."""
        tokens = tokens_of(AutoTokenizer.from_pretrained(poet_folder))
        settings = {"learning_rate": 0.0, "max_steps": 1, "save_strategy": "steps", "save_steps": 1}
        return block_trainer(poet_folder, tmp_path, model=new_llada2(**tokens, num_hidden_layers=3), **settings)

    def test_counts_noisy_and_clean_tokens_without_padding(self, trainer, tmp_path):
        """The last layer computes the noisy ones only."""
        batch = next(iter(trainer.get_train_dataloader()))
        is_real = batch["attention_mask"].bool()
        assert not is_real.all()
        routers, chosen = [layer.mlp.gate for layer in trainer.model.model.layers[1:]], []
        hooks = [one.register_forward_hook(lambda gate, args, outputs: chosen.append(outputs[2])) for one in routers]
        trainer.compute_loss(trainer.model, batch)
        for hook in hooks:
            hook.remove()
        trainer.train()
        for router, index, is_seen in zip(routers, chosen, (is_real.repeat(1, 2), is_real), strict=True):
            loads = torch.bincount(index[is_seen.flatten()].flatten(), minlength=4)
            torch.testing.assert_close(router.expert_bias, as_expected(loads, 1e-3).float())
        saved = LLaDA2MoeForMaskedLM.from_pretrained(tmp_path / "checkpoint-1")
        assert torch.equal(bias_of(saved), bias_of(trainer.model)) and bias_of(saved).any()


def test_pre_training_moves_them(model, random_ids, pretraining_settings):
    settings = pretraining_settings | {"max_steps": 1, "tokens_per_step": 128, "block_length": 4}
    LLaDAPretrainer(model, LLaDAPretrainingConfig(**settings), random_ids(8, 16)).train()
    assert set(bias_of(model).abs().unique().tolist()) <= {0.0, torch.tensor(1e-3).item()} and bias_of(model).any()


@pytest.mark.slow
def test_compiled_pre_training_moves_them_alike(random_ids, pretraining_settings, monkeypatch):
    """The hooks that count are a part of the graph."""
    compile_function = torch.compile
    # Traces as the default backend does, without the minutes of C++ compilation.
    monkeypatch.setattr(
        torch, "compile", lambda function, **kwargs: compile_function(function, backend="eager", **kwargs)
    )
    biases = []
    for is_compiled in (False, True):
        model = new_llada2(vocab_size=99, mask_token_id=98)
        model.set_experts_implementation("grouped_mm")
        settings = pretraining_settings | {"max_steps": 2, "tokens_per_step": 128, "block_length": 4}
        args = LLaDAPretrainingConfig(**settings, compile_loss=is_compiled)
        LLaDAPretrainer(model, args, random_ids(8, 16)).train()
        biases.append(bias_of(model))
    assert biases[0].any() and torch.equal(*biases)


class TestTrainer:
    """[`ExpertBiasCallback`] in a plain trainer of transformers, whose loss it does not change."""

    @pytest.fixture
    def trainer_of(self, random_ids, tmp_path):
        def make(callbacks=(), **changes):
            rows = [{"input_ids": row, "labels": row} for row in random_ids(16, 12).tolist()]
            settings = {"max_steps": 4, "per_device_train_batch_size": 4, "save_steps": 2, "save_strategy": "steps"}
            settings |= {"use_cpu": True, "report_to": "none", "disable_tqdm": True, "logging_steps": 1, "seed": 1}
            args = TrainingArguments(str(tmp_path), **settings | changes)
            model = new_llada2(vocab_size=99, mask_token_id=98)
            return Trainer(model, args, train_dataset=Dataset.from_list(rows), callbacks=list(callbacks))

        return make

    def test_is_resumed_with_the_checkpoint(self, trainer_of, tmp_path):
        whole = trainer_of([ExpertBiasCallback(0.01)])
        whole.train()
        assert bias_of(whole.model).any()
        resumed = trainer_of([ExpertBiasCallback(0.01)])
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
        torch.testing.assert_close(bias_of(resumed.model), bias_of(whole.model), rtol=0, atol=1e-7)

    def test_checkpointed_layers(self, trainer_of):
        """They count their tokens twice, all of them."""
        biases = []
        for settings in (
            {},
            {"gradient_checkpointing": True},
            {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
        ):
            trainer = trainer_of(
                [ExpertBiasCallback(0.01)], max_steps=2, save_strategy="no", learning_rate=0.0, **settings
            )
            trainer.train()
            biases.append(bias_of(trainer.model))
        assert biases[0].any() and torch.equal(biases[0], biases[1]) and torch.equal(biases[0], biases[2])
