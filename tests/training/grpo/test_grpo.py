# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Policy gradients on rewards: the scores of answers, their ratios, the divergence, and what is learned."""

import signal
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, CompileConfig


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset
from peft import LoraConfig
from support.expert_runs import new_llada_moe, tokens_of
from support.grpo_runs import (
    PROMPTS,
    grpo_trainer,
    logs_of,
    train_on_two_processes,
    train_until_killed,
)
from support.processes import exit_codes_of, run_together, start_process
from support.sft_runs import largest_difference, losses_of, weights_of

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.models.engine_llada import recordings_of
from modeling_llada.training.grpo.noise import LIKELIHOODS, WrittenRow
from modeling_llada.training.masking.evidence_bound import bound_terms


LORA = LoraConfig(r=2)


@pytest.fixture
def trainer_of(poet_folder, tmp_path):
    """Makes a trainer of the tiny poet; keyword arguments change the training arguments."""
    return lambda **settings: grpo_trainer(poet_folder, tmp_path / "run", **settings)


def answers_of(trainer):
    """The parts of the first generation batch, in TRL's shuffled order, with the old scores."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    return trainer._buffered_inputs


def scores_of(trainer, part):
    trainer._noise_seeds, trainer._steps = part["noise_seeds"], part["commit_steps"]
    ids = torch.cat([part["prompt_ids"], part["completion_ids"]], dim=1)
    mask = torch.cat([part["prompt_mask"], part["completion_mask"]], dim=1)
    return trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, part["completion_ids"].shape[1])[0]


def bounds_of(trainer, part):
    """The evidence bounds of canvases of six tokens, by hand: answers, and EOS behind them."""
    config = trainer.model.config
    ids = torch.cat([part["prompt_ids"], part["completion_ids"]], dim=1)
    start, missing = ids.shape[1] - part["completion_ids"].shape[1], 6 - part["completion_ids"].shape[1]
    counts = torch.cat([part["prompt_mask"], part["completion_mask"]], dim=1).bool()
    canvas = (torch.arange(start + 6) >= start).expand(len(ids), -1)
    ids, counts = (torch.nn.functional.pad(it, (0, missing)) for it in (ids, counts))
    ids = ids.masked_fill(canvas & ~counts, config.eos_token_id)
    draws = [torch.Generator().manual_seed(seed) for seed in part["noise_seeds"].tolist()]
    rows = zip(canvas, draws, strict=True)
    weights = torch.stack([LIKELIHOODS["elbo"](WrittenRow(~row, row, row), 2, draw)[1] for row, draw in rows])
    positions = weights.flatten().nonzero().flatten()
    return bound_terms(trainer.model, ids, (counts | canvas).long(), weights, positions, config.mask_token_id).bounds


class TestNoise:
    """Of five tokens of a prompt, and a canvas of eight, six of which belong to the answer."""

    places = torch.arange(15)
    prompt, canvas = (places >= 2) & (places < 7), places >= 7
    answer = canvas & (places < 13)

    def draw(self, likelihood, num_samples=400):
        steps = torch.full((15,), -1).masked_scatter(self.canvas, torch.tensor([0, 3, 3, 1, 2, 4, 5, -1]))
        row = WrittenRow(self.prompt, self.canvas, self.answer, steps)
        return LIKELIHOODS[likelihood](row, num_samples, torch.Generator().manual_seed(0))

    def test_bound(self):
        masks, weights = self.draw("elbo")
        counts = masks.sum(-1)  # antithetic: pairs of l and L + 1 - l
        assert (counts.view(-1, 2).sum(-1) == 9).all()
        assert not masks[:, ~self.canvas].any() and set(counts.tolist()) == set(range(1, 9))
        assert torch.equal(weights, masks * (8 / counts)[:, None]), "of the whole canvas"

    def test_one_step(self):
        masks, weights = self.draw("one_step")
        assert masks[:, self.canvas].all() and not masks[:, :2].any()
        assert masks[:, self.prompt].float().mean() == pytest.approx(0.15, abs=0.03)
        assert torch.equal(weights, self.answer.float().expand(400, -1))

    def test_coupled(self):
        masks, weights = self.draw("coupled")
        first, second = masks.view(200, 2, 15).unbind(1)
        assert torch.equal(first ^ second, self.canvas.expand(200, -1))
        assert first[:, self.canvas].float().mean() == pytest.approx(0.5, abs=0.05)
        assert torch.equal(weights.view(200, 2, 15).mean(1), self.answer.float().expand(200, -1)), "once in each pair"

    def test_trace(self):
        """Two groups of three steps. The last token was never committed, and the one before it is behind the EOS."""
        masks, weights = self.draw("trace", num_samples=2)
        assert masks[0, 7:].tolist() == [True] * 8 and masks[1, 7:].tolist() == [
            False,
            True,
            True,
            False,
            False,
            True,
            True,
            True,
        ]
        assert weights[0, 7:].tolist() == [2, 0, 0, 2, 2, 0, 0, 0] and weights[1, 7:].tolist() == [
            0,
            2,
            2,
            0,
            0,
            2,
            0,
            0,
        ]
        assert torch.equal(weights.mean(0), self.answer.float()), "each token once"


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
class TestScores:
    def test_ratio_is_one_before_the_first_update(self, trainer_of, likelihood):
        """However answers are shuffled and cut after their old scores were computed."""
        trainer = trainer_of(
            likelihood=likelihood, per_device_train_batch_size=2, gradient_accumulation_steps=4, num_iterations=2
        )
        parts = answers_of(trainer)
        assert len(parts) == 4
        for part in parts:
            torch.testing.assert_close(scores_of(trainer, part), part["old_per_token_logps"], rtol=1e-5, atol=1e-5)

    def test_an_answer_has_its_own_score(self, trainer_of, likelihood):
        """Whatever answers and prompts are beside it, and however they are padded."""
        trainer = trainer_of(likelihood=likelihood)
        [part] = answers_of(trainer)
        part["completion_mask"][0, 4:] = 0  # one of four tokens
        together = scores_of(trainer, part)
        start, row = int((part["prompt_mask"][0] == 0).sum()), slice(0, 1)
        alone = {name: part[name][row] for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")}
        alone = {name: it[:, start:] if "prompt" in name else it[:, :4] for name, it in alone.items()}
        alone = scores_of(trainer, alone | {name: part[name][row] for name in ("noise_seeds", "commit_steps")})
        torch.testing.assert_close(together[row, :4], alone, rtol=1e-5, atol=1e-5)
        assert not together[0, 4:].any()


@pytest.mark.parametrize("likelihood", ["elbo", "trace"])
def test_each_token_that_ends_an_answer(trainer_of, poet_folder, likelihood):
    """A model may have several; the EOS of the tokenizer fills up the canvas."""
    model = LLaDAForMaskedLM.from_pretrained(poet_folder)
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    other = tokenizer.convert_tokens_to_ids("明")
    model.config.eos_token_id = model.generation_config.eos_token_id = [tokenizer.eos_token_id, other]
    trainer = trainer_of(model=model, processing_class=tokenizer, likelihood=likelihood, max_steps=1)
    filled = torch.tensor([[other, 5, 6, other, 7, 8, 9, 9]])
    assert trainer._canvas.completions(filled, filled[:, :2], None).tolist() == [
        [False] * 2 + [True] * 2 + [False] * 4
    ]
    trainer.train()
    assert logs_of(trainer, "grad_norm")[0] > 0


class TestMasksInPrompts:
    """Answers fill the masks of their prompts, as of a board."""

    prompts = Dataset.from_dict({"prompt": ["明[MASK]几时有，[MASK][MASK]问青天。", "白日[MASK]山尽。"]})

    def test_a_completion_is_what_was_filled(self, trainer_of):
        seen = []

        def reward(prompts, completions, completion_ids, **kwargs):
            seen.extend(zip(prompts, completion_ids, strict=True))
            return [float(len(set(text))) for text in completions]

        trainer = trainer_of(train_dataset=self.prompts, reward_funcs=reward, num_iterations=2)
        trainer.train()
        assert {(prompt.count("[MASK]"), len(ids)) for prompt, ids in seen} == {(3, 3), (1, 1)}
        assert losses_of(trainer).keys() == {1, 2} and logs_of(trainer, "clip_ratio/region_mean")[0] == 0

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_scores_are_those_of_the_filled_text(self, trainer_of, likelihood):
        trainer = trainer_of(train_dataset=self.prompts, likelihood=likelihood)
        [part] = answers_of(trainer)
        scores = scores_of(trainer, part)
        assert torch.equal(scores != 0, part["completion_mask"] == 1)
        row = int((part["completion_mask"].sum(-1) == 3).nonzero()[0])
        ids = part["prompt_ids"][row : row + 1]
        holes = ids == trainer.model.config.mask_token_id
        text = ids.masked_scatter(holes, part["completion_ids"][row, :3])
        steps = None
        if likelihood == "trace":
            steps = torch.full(ids.shape[1:], -1).masked_scatter(holes[0], part["commit_steps"][row])
            assert sorted(steps[holes[0]].tolist()) == [0, 1, 2], "one mask in each of three steps"
        masks, weights = LIKELIHOODS[likelihood](
            WrittenRow(~holes[0], holes[0], holes[0], steps),
            2,
            torch.Generator().manual_seed(part["noise_seeds"][row].item()),
        )
        positions = weights.flatten().nonzero().flatten()
        options = {"mask_token_id": trainer.model.config.mask_token_id, "masks": masks[None]}
        expected = bound_terms(trainer.model, text, torch.ones_like(text), weights[None], positions, **options)
        torch.testing.assert_close(scores[row, :3], expected.tokens[holes], rtol=1e-5, atol=1e-5)


class TestLoss:
    def test_gradient_of_a_bound_is_that_of_the_policy_gradient(self, trainer_of):
        """At a ratio of 1: the mean over answers of -A B / L, where L is the length of the canvas, also of a short answer."""
        trainer = trainer_of()
        [part] = answers_of(trainer)
        part["completion_mask"][0, 2:] = 0  # two of six tokens
        weight = trainer.model.model.layers[0].self_attn.q_proj.weight
        [gradient] = torch.autograd.grad(trainer.compute_loss(trainer.model, part), weight)
        [expected] = torch.autograd.grad(-(part["advantages"] * bounds_of(trainer, part) / 6).mean(), weight)
        assert part["advantages"][0] != 0
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7)

    def test_divergence_is_taken_of_bounds(self, trainer_of):
        trainer = trainer_of(beta=0.5, peft_config=LORA)
        [part] = answers_of(trainer)
        part["advantages"].zero_()
        part["completion_mask"][0, 2:] = 0  # two of six tokens
        with trainer.model.disable_adapter():
            part["ref_per_token_logps"] = scores_of(trainer, part).detach()
        assert trainer.compute_loss(trainer.model, part) == 0
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        part["old_per_token_logps"] = scores_of(trainer, part).detach()
        bounds = bounds_of(trainer, part)
        with trainer.model.disable_adapter():
            expected = 0.5 * ((bounds - bounds_of(trainer, part)) ** 2 / 2 / 6).mean()
        assert expected > 0
        torch.testing.assert_close(trainer.compute_loss(trainer.model, part), expected)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_better_answers_become_more_probable(trainer_of, likelihood):
    """In four updates on the same answers."""
    trainer = trainer_of(likelihood=likelihood, num_iterations=4, max_steps=4, learning_rate=3e-3)
    trainer.train()
    [part] = trainer._buffered_inputs
    changes = (scores_of(trainer, part) - part["old_per_token_logps"]).sum(-1)
    assert (part["advantages"] * changes).mean() > 0
    assert torch.corrcoef(torch.stack([part["advantages"], changes]))[0, 1] > 0.5
    assert {"frac_reward_zero_std", "entropy", "reward"} <= set(trainer.state.log_history[0])


def test_a_model_with_experts(trainer_of, poet_folder):
    tokenizer = AutoTokenizer.from_pretrained(poet_folder)
    trainer = trainer_of(model=new_llada_moe(**tokens_of(tokenizer)), processing_class=tokenizer, max_steps=1)
    trainer.train()
    assert logs_of(trainer, "grad_norm")[0] > 0


def test_evaluation_and_card(trainer_of, tmp_path):
    settings = {"eval_dataset": PROMPTS.select(range(2)), "per_device_eval_batch_size": 8, "max_steps": 1}
    trainer = trainer_of(peft_config=LORA, **settings)
    trainer.train()
    assert 0 < trainer.evaluate()["eval_reward"] < 1
    trainer.save_model(str(tmp_path / "saved"))
    assert "`LLaDAGRPOTrainer` on rewards (GRPO" in (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")


class TestRecordedAnswers:
    """Steps that are recorded and replayed write the same answers, also after the weights have changed."""

    def run(self, trainer_of, disable_compile, compile_config=None):
        seen = []

        def reward(completions, **kwargs):
            seen.append(completions)
            return [float(len(set(text))) for text in completions]

        options = {"steps": 3, "disable_compile": disable_compile}
        # Hardly a chance: the numbers that are drawn depend on the shape of a step.
        settings = {"temperature": 1e-6, "learning_rate": 0.1, "max_steps": 3, "lr_scheduler_type": "constant"}
        trainer = trainer_of(reward_funcs=reward, generation_kwargs=options, beta=0.0, **settings)
        trainer.generation_config.compile_config = compile_config
        # A gradient of its own, as equal answers have none.
        trainer.create_optimizer()
        for parameter in trainer.model.parameters():
            parameter.register_hook(torch.ones_like)
        trainer.train()
        return trainer, seen

    def test_on_a_cpu(self, trainer_of, monkeypatch):
        monkeypatch.setattr(torch, "compile", lambda function, **options: function)
        plain, expected = self.run(trainer_of, disable_compile=True)
        recorded, seen = self.run(trainer_of, False, CompileConfig(backend="eager"))
        assert recordings_of(recorded.model).by_key and not recordings_of(plain.model).by_key
        assert seen == expected and seen[0] != seen[-1]
        assert recorded.model.training and recorded.args.generation_kwargs["disable_compile"] is False

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("bf16", [False, True])
    def test_on_a_gpu(self, trainer_of, bf16):
        of = partial(trainer_of, bf16=bf16, use_cpu=False)
        recorded, seen = self.run(of, disable_compile=False)
        assert recordings_of(recorded.model).by_key
        if not bf16:
            assert seen == self.run(of, disable_compile=True)[1]


@pytest.mark.slow
def test_killed_and_resumed_equals_no_interruption(poet_folder, tmp_path):
    settings = {
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "peft_config": LORA,
        "gradient_checkpointing": True,
    }
    killed = start_process(train_until_killed, poet_folder, tmp_path / "killed", settings)
    straight = grpo_trainer(poet_folder, tmp_path / "straight", **settings)
    straight.train()
    assert exit_codes_of(killed) == [-signal.SIGKILL]
    torch.manual_seed(77)  # whatever else the new process has drawn
    resumed = grpo_trainer(poet_folder, tmp_path / "killed", **settings)
    resumed.train(resume_from_checkpoint=True)
    assert losses_of(resumed) == losses_of(straight)
    assert logs_of(resumed, "reward") == logs_of(straight, "reward")
    assert largest_difference(weights_of(resumed), weights_of(straight)) == 0


@pytest.mark.slow
def test_two_processes(poet_folder, tmp_path):
    settings = {"per_device_train_batch_size": 4, "num_iterations": 2, "peft_config": LORA}
    run_together(train_on_two_processes, poet_folder, tmp_path, settings)
    weights = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    assert largest_difference(*weights) == 0
