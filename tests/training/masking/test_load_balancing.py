# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The load-balancing loss of LLaDA-MoE in both trainers: its value, its weight, and where it is left out."""

import json

import pytest
import torch
from accelerate import Accelerator
from support.block_runs import block_trainer
from support.expert_runs import new_llada2, new_llada_moe, tokens_of
from support.sft_runs import MESSAGES, sft_trainer
from transformers import AutoTokenizer

from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig
from modeling_llada.training.masking.load_balancing import LoadBalancing


def by_hand(router_logits, is_real, top_k=2):
    """E sum_e f_e P_e over the real tokens of all layers."""
    probabilities = torch.cat([logits[is_real.flatten().bool()] for logits in router_logits]).softmax(-1)
    chosen = torch.zeros_like(probabilities).scatter(-1, probabilities.topk(top_k).indices, 1.0)
    return probabilities.shape[1] * (chosen.mean(0) * probabilities.mean(0)).sum()


@pytest.fixture
def tiny_moe(poet_folder):
    """Makes a tiny LLaDA-MoE with the vocabulary of the tiny poet; keyword arguments change config fields."""
    tokens = tokens_of(AutoTokenizer.from_pretrained(poet_folder))
    return lambda **fields: new_llada_moe(**tokens | {"router_aux_loss_coef": 0.5} | fields)


@pytest.fixture
def balancing():
    return LoadBalancing(new_llada_moe(vocab_size=9, mask_token_id=8).config, 0.5, torch.device("cpu"))


def passes(balancing, *shares):
    """The weighted losses of passes with some padding, and the losses by hand."""
    torch.manual_seed(0)
    for share in shares:
        logits, is_real = tuple(torch.randn(2, 6, 4)), torch.tensor([[1, 1, 0], [1, 1, 1]])
        yield balancing.weighted_loss(logits, is_real, share), by_hand(logits, is_real)


class TestLoss:
    def test_equals_the_definition_over_real_tokens(self, balancing):
        for share, (weighted, expected) in zip((1.0, 0.25), passes(balancing, 1.0, 0.25), strict=True):
            assert weighted.item() == pytest.approx(0.5 * share * expected.item())

    def test_the_metric_is_the_mean_weighted_by_the_shares(self, balancing):
        (_, first), (_, second) = passes(balancing, 0.75, 0.25)
        assert balancing.read(Accelerator(cpu=True)) == {
            "aux_loss": pytest.approx((0.75 * first + 0.25 * second).item())
        }
        assert balancing.read(Accelerator(cpu=True)) == {}

    def test_a_pass_without_a_token_that_counts_adds_nothing(self, balancing):
        logits = torch.randn(6, 4, requires_grad=True)
        balancing.weighted_loss((logits,), torch.zeros(2, 3), 0.0).backward()
        assert torch.equal(logits.grad, torch.zeros(6, 4))


class TestFineTuning:
    @pytest.mark.parametrize("packing", [False, True])
    def test_is_added_without_padding(self, poet_folder, tiny_moe, tmp_path, packing):
        trainer = sft_trainer(poet_folder, tmp_path, model=tiny_moe(), packing=packing, max_length=40)
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.model.train()
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["response_lengths"].sum())
        trainer._balancing = None
        plain = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["response_lengths"].sum())
        names = ("input_ids", *(["cu_seq_lens_q", "position_ids"] if packing else ["attention_mask"]))
        outputs = trainer.model(**{name: batch[name] for name in names}, output_router_logits=True)
        is_real = batch["documents"] >= 0
        assert not is_real.all()
        assert (loss - plain).item() == pytest.approx(0.5 * by_hand(outputs.router_logits, is_real).item(), rel=1e-4)

    def test_is_logged_and_no_part_of_the_evaluation(self, poet_folder, tiny_moe, tmp_path):
        """The loss of a step has it, and that of the evaluation is the bound."""
        results = {}
        for coefficient in (0.0, 0.5):
            trainer = sft_trainer(
                poet_folder, tmp_path, eval_dataset=MESSAGES.select(range(3)), model=tiny_moe(), learning_rate=0.0,
                router_aux_loss_coef=coefficient, per_device_train_batch_size=4, gradient_accumulation_steps=2, max_steps=1,
            )  # fmt: skip
            trainer.train()
            results[coefficient] = trainer.state.log_history[0], trainer.evaluate()["eval_loss"]
        (plain, plain_bound), (balanced, bound) = results.values()
        assert "aux_loss" not in plain and balanced["aux_loss"] >= 2
        assert balanced["loss"] == pytest.approx(plain["loss"] + 0.5 * balanced["aux_loss"], rel=1e-4)
        assert bound == plain_bound

    def test_checkpointed_layers(self, poet_folder, tiny_moe, tmp_path):
        """They are computed twice, and recorded once."""
        logs = []
        for is_checkpointed in (False, True):
            settings = {
                "gradient_checkpointing": is_checkpointed,
                "max_steps": 2,
                "optim": "sgd",
                "learning_rate": 0.1,
            }
            trainer = sft_trainer(poet_folder, tmp_path, model=tiny_moe(), **settings)
            trainer.train()
            logs.append([line[name] for line in trainer.state.log_history[:2] for name in ("loss", "aux_loss")])
        assert logs[0] == pytest.approx(logs[1], rel=1e-6)

    def test_routers_are_not_recorded_in_what_is_saved(self, poet_folder, tiny_moe, tmp_path):
        """The coefficient of the arguments becomes that of the model, as TRL has it."""
        trainer = sft_trainer(poet_folder, tmp_path / "run", model=tiny_moe(), router_aux_loss_coef=0.25)
        trainer.save_model(tmp_path / "saved")
        config = json.loads((tmp_path / "saved" / "config.json").read_text())
        assert (config["output_router_logits"], config["router_aux_loss_coef"]) == (False, 0.25)

    def test_other_families_refuse_the_coefficient(self, poet_folder, tmp_path):
        with pytest.raises(ValueError, match="`router_aux_loss_coef` must be left out for a LLaDAConfig"):
            sft_trainer(poet_folder, tmp_path, router_aux_loss_coef=0.1)

    def test_a_file_of_llada2_with_the_coefficient(self, poet_folder, tmp_path):
        """Its routers have sigmoids, and are balanced by biases."""
        tokens = tokens_of(AutoTokenizer.from_pretrained(poet_folder))
        model = new_llada2(**tokens, router_aux_loss_coef=0.5)
        trainer = block_trainer(poet_folder, tmp_path, model=model, max_steps=1, logging_steps=1)
        trainer.train()
        assert "loss" in trainer.state.log_history[0] and "aux_loss" not in trainer.state.log_history[0]
        with pytest.raises(ValueError, match="`router_aux_loss_coef` must be left out for a LLaDA2MoeConfig"):
            block_trainer(poet_folder, tmp_path, model=model, router_aux_loss_coef=0.5)


class TestPretraining:
    @pytest.fixture
    def trainer_of(self, tiny_moe, tmp_path):
        """Makes a trainer on rows of random tokens; keyword arguments change the training arguments."""

        def make(model=None, **changes):
            rows = torch.randint(10, 97, (50, 16), generator=torch.Generator().manual_seed(0))
            settings = {"max_steps": 2, "tokens_per_step": 128, "warmup_steps": 0, "logging_steps": 1, "use_cpu": True}
            settings |= {"learning_rate": 0.0, "random_length_ratio": 0.0, "save_strategy": "no", "disable_tqdm": True}
            return LLaDAPretrainer(
                model or tiny_moe(), LLaDAPretrainingConfig(str(tmp_path), **settings | changes), rows
            )

        return make

    @pytest.mark.parametrize("ratio", [0.0, 1.0], ids=["whole rows", "cut rows"])
    def test_is_added(self, trainer_of, ratio):
        trainer = trainer_of(random_length_ratio=ratio)
        batch = next(iter(trainer.get_train_dataloader()))
        mask = batch.get("attention_mask", torch.ones_like(batch["labels"]))
        assert mask.all() == (ratio == 0)
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
        outputs = trainer.model(batch["input_ids"], attention_mask=mask, output_router_logits=True)
        trainer._balancing = None
        plain = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
        assert (loss - plain).item() == pytest.approx(0.5 * by_hand(outputs.router_logits, mask).item(), rel=1e-4)

    def test_micro_batches_count_by_their_tokens(self, trainer_of, tiny_moe):
        """Without the load-balancing loss a step is the same however it is cut. With it, it has the mean of the passes."""
        plain = trainer_of(tiny_moe(router_aux_loss_coef=0.0))
        plain.train()
        for accumulation in (1, 4):
            trainer = trainer_of(gradient_accumulation_steps=accumulation)
            trainer.train()
            for entry, without in zip(trainer.state.log_history[:2], plain.state.log_history[:2], strict=True):
                assert entry["loss"] == pytest.approx(without["loss"] + 0.5 * entry["aux_loss"], rel=1e-4)
                assert "aux_loss" not in without

    @pytest.mark.slow
    def test_compiled(self, trainer_of, tiny_moe, monkeypatch):
        small = {"num_hidden_layers": 1, "num_experts": 2, "num_experts_per_tok": 1}
        eager = trainer_of(tiny_moe(**small))
        eager.train()
        compile_function = torch.compile
        # Traces as the default backend does, without the minutes of C++ compilation.
        monkeypatch.setattr(
            torch, "compile", lambda function, **kwargs: compile_function(function, backend="eager", **kwargs)
        )
        compiled = trainer_of(tiny_moe(**small), compile_loss=True)
        compiled.train()
        for name in ("loss", "aux_loss"):
            assert compiled.state.log_history[1][name] == pytest.approx(eager.state.log_history[1][name], rel=1e-5)

    def test_a_file_of_llada2_with_the_coefficient(self, trainer_of):
        trainer = trainer_of(new_llada2(vocab_size=99, mask_token_id=98, router_aux_loss_coef=0.5), max_steps=1)
        trainer.train()
        assert "loss" in trainer.state.log_history[0] and "aux_loss" not in trainer.state.log_history[0]

    def test_balances(self, trainer_of, tiny_moe):
        """The loss falls towards its least value, the number of experts of a token."""
        trainer = trainer_of(tiny_moe(router_aux_loss_coef=10.0), max_steps=12, learning_rate=2e-2, logging_steps=4)
        trainer.train()
        values = [entry["aux_loss"] for entry in trainer.state.log_history if "aux_loss" in entry]
        assert values[-1] < values[0] - 0.05 and values[-1] < 2.1
