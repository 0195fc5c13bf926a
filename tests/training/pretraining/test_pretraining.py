# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pre-training: loss, trainer, evaluation, resuming, and the example script."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.made_up_corpus import EOS, MASK
from support.pretraining_runs import result_of, run_script, train, train_compiled
from support.processes import kill, run_together, start_process
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, LlamaForCausalLM, PreTrainedTokenizerFast

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig, RowEntry, find_last_checkpoint
from modeling_llada.training.pretraining.held_out_loss import fixed_noise, held_out_loss


REPO = Path(__file__).parents[3]


@pytest.fixture
def trainer_of(pretraining_settings, tiny_model, mixture):
    """Makes a trainer of a tiny model on the mixture; keyword arguments change the training arguments."""

    def make(train_dataset=mixture, eval_dataset=None, callbacks=None, **changes):
        args = LLaDAPretrainingConfig(**(pretraining_settings | changes))
        return LLaDAPretrainer(tiny_model(initializer_range=0.05), args, train_dataset, eval_dataset, callbacks)

    return make


def weights_of(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def largest_difference(first, second):
    return max((first[name] - second[name]).abs().max().item() for name in second)


class TestLoss:
    def test_equals_equation_3_written_by_hand(self, tiny_model, mixture, trainer_of):
        trainer = trainer_of(random_length_ratio=0.0)
        batch = next(iter(trainer.get_train_dataloader()))
        rows, width = batch["input_ids"].shape
        positions = batch["masked_positions"]
        pairs = zip(positions.tolist(), batch["rates"].tolist(), strict=True)
        rates = {position // width: rate for position, rate in pairs if position >= 0}
        by_hand = 0.0
        for row in range(rows):
            log_probs = trainer.model(batch["input_ids"][row : row + 1]).logits[0].log_softmax(-1)
            for position in range(width):
                if batch["input_ids"][row, position] == MASK:
                    by_hand -= log_probs[position, batch["labels"][row, position]] / rates[row]
        loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=batch["num_items"])
        assert loss.item() == pytest.approx(by_hand.item() / (rows * width), rel=1e-5)

    def test_uniform_predictions_cost_log_of_the_vocabulary(self, trainer_of):
        trainer = trainer_of(random_length_ratio=0.0, max_steps=30, learning_rate=0.0)
        torch.nn.init.zeros_(trainer.model.lm_head.weight)
        assert trainer.train().training_loss == pytest.approx(np.log(99), rel=0.05)

    def test_accumulation_equals_one_batch(self, trainer_of):
        results = []
        for accumulation in (1, 2, 4):
            # Plain SGD: AdamW would divide rounding errors by themselves.
            trainer = trainer_of(
                gradient_accumulation_steps=accumulation, optim="sgd", learning_rate=0.1,
                max_grad_norm=0.0, max_steps=4, random_length_ratio=0.5,
            )  # fmt: skip
            trainer.train()
            losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
            results.append((weights_of(trainer), losses))
        for weights, losses in results[1:]:
            assert largest_difference(weights, results[0][0]) < 1e-6
            assert losses == pytest.approx(results[0][1], rel=1e-5)

    def test_two_compiled_processes_equal_one_and_the_plain_loss(self, tiny_model, tmp_path):
        """Each process compiles the same graphs, of masked rows, as one that trains alone."""
        tiny_model(initializer_range=0.05).save_pretrained(tmp_path / "model")
        plain = result_of(train(tmp_path / "model", tmp_path, compiled=False))
        for folder, num_processes in (("one", 1), ("two", 2)):
            (tmp_path / folder).mkdir()
            run_together(train_compiled, tmp_path / "model", tmp_path / folder, num_processes=num_processes)
        results = [
            load_file(tmp_path / name) for name in ("one/0.safetensors", "two/0.safetensors", "two/1.safetensors")
        ]
        for result in results:
            assert result.pop("graphs") == 1
            assert result["losses"].tolist() == pytest.approx(plain["losses"].tolist(), rel=1e-5)
            assert largest_difference(plain, result) < 1e-6


class TestTrainer:
    def test_parameters_change_and_the_loss_falls(self, trainer_of, corpus):
        rows = torch.from_numpy(corpus.splits["test"].tokens[:960].astype(np.int64)).view(30, 32)
        trainer = trainer_of(max_steps=60, logging_steps=10, eval_dataset=rows)
        before, loss_before = weights_of(trainer), trainer.evaluate()["eval_loss"]
        trainer.train()
        for name, value in trainer.model.state_dict().items():
            assert not torch.equal(value, before[name]), f"Parameter {name} has not changed."
        assert trainer.evaluate()["eval_loss"] < loss_before - 0.1
        history = [entry for entry in trainer.state.log_history if "loss" in entry]
        assert len(history) == 6 and all(entry["tokens_per_second"] > 0 for entry in history)

    def test_the_schedule_warms_up_stays_and_decays(self, trainer_of):
        trainer = trainer_of(max_steps=10, warmup_steps=2, decay_ratio=0.4, learning_rate=1.0, weight_decay=0.0)
        optimizer = trainer.create_optimizer()
        scheduler = trainer.create_scheduler(10)
        rates = []
        for _ in range(10):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert rates == pytest.approx([0.01, 0.505, 1, 1, 1, 1, 1, 0.7525, 0.505, 0.2575])

    def test_weight_decay_spares_the_norms(self, trainer_of):
        optimizer = trainer_of().create_optimizer()
        assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
        assert all(parameter.ndim == 1 for parameter in optimizer.param_groups[1]["params"])
        assert all(parameter.ndim == 2 for parameter in optimizer.param_groups[0]["params"])

    def test_config_errors(self):
        for name, value in (("max_steps", -1), ("rate_eps", 1.0), ("decay_ratio", -0.1), ("eval_num_samples", 0)):
            with pytest.raises(ValueError, match=f"`{name}`"):
                LLaDAPretrainingConfig("unused", use_cpu=True, **({"max_steps": 5} | {name: value}))

    def test_several_gpus_of_one_process_are_an_error(self, trainer_of, monkeypatch):
        """Trainer would use `nn.DataParallel`."""
        monkeypatch.setattr(LLaDAPretrainingConfig, "n_gpu", 2)
        with pytest.raises(ValueError, match="`args.n_gpu` must be 1, but got 2.*torchrun"):
            trainer_of()

    def test_a_model_without_mask_token_is_an_error(self, tiny_model, mixture, tmp_path):
        model = tiny_model()
        model.config.mask_token_id = None
        with pytest.raises(ValueError, match="mask_token_id"):
            LLaDAPretrainer(model, LLaDAPretrainingConfig(str(tmp_path), max_steps=1, use_cpu=True), mixture)


class TestEvaluation:
    def test_fixed_noise_is_eq_6(self):
        num_masked = []
        for sample in range(4):
            mask, weights = fixed_noise(50, 20, sample, seed=0)
            assert torch.equal(mask.sum(1) * weights, torch.full((50,), 20.0))
            num_masked.append(mask.sum(1))
        counts = torch.cat(num_masked).bincount(minlength=21)
        assert counts[0] == 0 and (counts[1:] == 10).all()  # uniform in 1 .. L, evenly spread
        assert not torch.equal(num_masked[0], num_masked[1])

    def test_the_same_number_twice_and_with_another_batch_size(self, trainer_of):
        rows = torch.randint(10, 97, (33, 16), generator=torch.Generator().manual_seed(0))
        losses = []
        for batch_size in (64, 64, 7):
            trainer = trainer_of(eval_dataset=rows, per_device_eval_batch_size=batch_size, eval_num_samples=3)
            torch.rand(len(losses))  # other draws do not matter
            losses.append(trainer.evaluate()["eval_loss"])
        assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-6)
        assert losses[0] != trainer_of(eval_dataset=rows, eval_num_samples=3, eval_seed=1).evaluate()["eval_loss"]

    def test_value_written_by_hand(self, tiny_model, random_ids):
        model, rows = tiny_model(), random_ids(3, 8)
        total = 0.0
        with torch.no_grad():
            for sample in range(5):
                mask, weights = fixed_noise(3, 8, sample, seed=2)
                logits = model(rows.masked_fill(mask, MASK)).logits
                losses = F.cross_entropy(logits.transpose(1, 2), rows, reduction="none")
                total += (losses * mask).sum(1).mul(weights).sum().item()
        loss = held_out_loss(model, rows, num_samples=5, batch_size=2, seed=2)
        assert loss == pytest.approx(total / (5 * 24), rel=1e-5)

    def test_training_noise_and_evaluation_leave_each_other_alone(self, trainer_of):
        rows = torch.randint(10, 97, (8, 16), generator=torch.Generator().manual_seed(0))
        plain, evaluated = (
            trainer_of(),
            trainer_of(eval_dataset={"a": rows, "b": rows}, eval_strategy="steps", eval_steps=2),
        )
        plain.train()
        evaluated.train()
        assert largest_difference(weights_of(plain), weights_of(evaluated)) == 0
        history = [entry for entry in evaluated.state.log_history if "eval_a_loss" in entry]
        assert [entry["step"] for entry in history] == [2, 4, 6]
        assert len({entry["eval_a_loss"] for entry in history}) == 3

    def test_evaluation_without_data_is_an_error(self, trainer_of):
        with pytest.raises(ValueError, match="`eval_dataset`"):
            trainer_of().evaluate()


class TestExample:
    @pytest.fixture
    def recipe(self, corpus, tmp_path):
        """The arguments of a tiny run of 60 steps."""
        corpus.save(tmp_path / "corpus.safetensors.xz")
        config = REPO / "examples" / "configs" / "tiny.yaml"
        settings = ["training.save_steps=5", "training.logging_steps=5", "training.use_cpu=true"]
        corpus_file = tmp_path / "corpus.safetensors.xz"
        return ["--config", config, "--corpus", corpus_file, "--max-steps", 60, "--set", *settings]

    @pytest.fixture
    def tokenizer_folder(self, tmp_path):
        """A tokenizer of the made-up corpus: 99 words, the last of which masks."""
        words = {f"w{index}": index for index in range(99)}
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer(WordLevel(words)), bos_token="w0", eos_token="w1", mask_token="w98"
        )
        tokenizer.save_pretrained(tmp_path / "tokenizer")
        return tmp_path / "tokenizer"

    @pytest.fixture
    def call(self, monkeypatch, capsys):
        """Runs the script in this process and returns what it prints."""

        def run(*arguments):
            monkeypatch.setattr(sys, "argv", sys.argv)
            run_script(*arguments)
            return capsys.readouterr().out

        return run

    def test_killed_and_resumed_equals_straight(self, recipe, call, tmp_path):
        process = start_process(run_script, *recipe, "--output-dir", tmp_path / "killed")
        deadline = time.monotonic() + 300
        while find_last_checkpoint(tmp_path / "killed") is None and process.is_alive():
            assert time.monotonic() < deadline, "no checkpoint after 300 seconds"
            time.sleep(0.01)
        kill(process)
        killed_at = int(find_last_checkpoint(tmp_path / "killed").rsplit("-", 1)[1])
        assert 0 < killed_at < 60 and not (tmp_path / "killed" / "final").exists()

        out = call(*recipe, "--resume", "--output-dir", tmp_path / "killed")
        assert f"checkpoint-{killed_at} " in out and "at step 60 of 60" in out
        call(*recipe, "--output-dir", tmp_path / "straight")
        finals = [tmp_path / name / "final" / "model.safetensors" for name in ("killed", "straight")]
        assert finals[0].read_bytes() == finals[1].read_bytes()
        curves = [json.loads((tmp_path / name / "training_log.json").read_text()) for name in ("killed", "straight")]
        losses = [{entry["step"]: entry["loss"] for entry in curve if "loss" in entry} for curve in curves]
        assert losses[0] == losses[1]

    def test_two_processes_write_one_model(self, recipe, call, tmp_path):
        arguments = [*recipe, "training.max_steps=2", "training.optim=sgd", "--output-dir"]
        run_together(run_script, *arguments, tmp_path / "two")
        call(*arguments, tmp_path / "one")
        one, two = (
            LLaDAForMaskedLM.from_pretrained(tmp_path / name / "final").state_dict() for name in ("one", "two")
        )
        assert largest_difference(one, two) < 1e-4
        curves = [json.loads((tmp_path / name / "training_log.json").read_text()) for name in ("one", "two")]
        assert [entry["step"] for entry in curves[0]] == [entry["step"] for entry in curves[1]]

    def test_time_limit_final_model_and_curve(self, recipe, call, tokenizer_folder, tmp_path):
        options = ["--tokenizer", tokenizer_folder, "--output-dir", tmp_path / "run"]
        arguments = [*recipe, "training.max_minutes=1e-9", *options]
        assert "at step 1 of 60: go on with --resume" in call(*arguments)
        with pytest.raises(ValueError, match="Continue it with `--resume`"):
            call(*arguments, "--corpus", "missing: not asked for")
        assert "at step 2 of 60" in call(*arguments, "--resume")
        final = tmp_path / "run" / "final"
        model = LLaDAForMaskedLM.from_pretrained(final)
        assert model.dtype == torch.bfloat16 and model.config.mask_token_id == MASK
        assert (final / "tokenizer.json").exists() and not list(final.parent.glob(".final*"))
        curve = json.loads((tmp_path / "run" / "training_log.json").read_text())
        assert [entry["step"] for entry in curve if "loss" in entry] == [1, 2]

    def test_rehearsal_times_every_kind(self, recipe, call, tmp_path):
        out = call(*recipe, "--rehearse", 2, "--output-dir", tmp_path / "unused")
        for kind in ("windows", "documents", "spans", "exact"):
            assert any(line.startswith(kind) and "tokens/s" in line for line in out.splitlines())
        assert "the plan takes" in out and not (tmp_path / "unused" / "final").exists()

    def test_values_on_the_command_line(self, recipe, call, tmp_path):
        call(*recipe, "training.learning_rate=1e-3", "model.num_hidden_layers=1", "phases.0.fraction=1.0",
             "training.max_steps=1", "generation.max_new_tokens=11", "--output-dir", tmp_path / "run")  # fmt: skip
        assert LLaDAForMaskedLM.from_pretrained(tmp_path / "run" / "final").config.num_hidden_layers == 1
        written = json.loads((tmp_path / "run" / "final" / "generation_config.json").read_text())
        assert (written["max_new_tokens"], written["eos_token_id"], written["mask_token_id"]) == (11, EOS, MASK)

    @pytest.mark.parametrize(
        ("assignment", "message"),
        [
            ("max_steps=1", "`max_steps` is no value of a recipe"),
            ("training.max_step=1", "`training.max_step` is no value of a recipe: did you mean `max_steps`"),
            ("model.num_layers=1", "`model.num_layers`"),
            ("generation.max_tokens=1", "max_tokens"),
            ("phases.0.entries.0.knd=1", "`phases.0.entries.0.knd` is no value of a recipe: did you mean `kind`"),
            ("training.learning_rate=fast", "`training.learning_rate` must be float, but got 'fast'"),
            ("training.eval_strategy=no", "must be IntervalStrategy or str, but got False. YAML reads yes, no"),
            ("model.hidden_size=1.5", "`model.hidden_size` must be int, but got 1.5"),
            ("model.vocab_size=9", "`vocab_size` comes from the corpus"),
            ("phases=[3]", "`phases.0` must hold names and values, but got 3"),
            ("phases.9.fraction=1", "`--set` must be KEY=VALUE"),
            ("training.learning_rate", "`--set` must be KEY=VALUE"),
            ("eval_splits=[dev]", "`eval_splits` must be splits of the corpus, .* but got 'dev'"),
            ("eval_width=100000", "`eval_width` must be at most the tokens of an evaluation split"),
            ("phases.0.entries.0.width=100000", "windows rows of width 100000 .* has none. Give it more text"),
            ("training.gradient_accumulation_steps=0", "`gradient_accumulation_steps` must be a positive integer"),
        ],
    )
    def test_a_wrong_recipe_is_an_error(self, recipe, call, assignment, message):
        with pytest.raises(ValueError, match=message):
            call(*recipe, assignment)

    def test_a_missing_part_of_the_recipe_is_an_error(self, call, tmp_path):
        (tmp_path / "empty.yaml").write_text("model: {}")
        with pytest.raises(ValueError, match="empty.yaml: `training` is missing in the recipe"):
            call("--config", tmp_path / "empty.yaml")

    def test_a_file_that_is_no_yaml_is_an_error(self, call, tmp_path):
        (tmp_path / "broken.yaml").write_text("model:\n  a: [1\n  b: 2\n")
        with pytest.raises(ValueError, match="broken.yaml, line 3, is no YAML: expected"):
            call("--config", tmp_path / "broken.yaml")

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (("--config", "missing.yaml"), "there is no file missing.yaml"),
            (("--max-minutes", 0), "--max-minutes must be positive"),
            (("--rehearse", 0), "--rehearse must be positive"),
        ],
    )
    def test_wrong_flags(self, call, capsys, recipe, flags, message):
        with pytest.raises(SystemExit):
            call(*recipe, *flags)
        assert message in capsys.readouterr().err

    def test_a_missing_corpus_is_an_error(self, recipe, call):
        with pytest.raises(
            ValueError, match="must be a folder of `llada tokenize`, .* there is no missing.safetensors"
        ):
            call(*recipe, "--corpus", "missing.safetensors")

    def test_a_time_limit_shorter_than_loading_makes_one_step(self, recipe, call, tmp_path):
        out = call(*recipe, "--max-minutes", 1e-6, "--output-dir", tmp_path / "run")
        assert "at step 1 of 60: go on with --resume" in out

    def test_trains_the_autoregressive_twin(self, recipe, call, tmp_path):
        call(*recipe, "training.max_steps=1", "--twin", "--output-dir", tmp_path / "twin")
        twin = AutoModelForCausalLM.from_pretrained(tmp_path / "twin" / "final")
        assert isinstance(twin, LlamaForCausalLM) and twin.dtype == torch.bfloat16

    def test_the_recipes_are_consistent(self):
        for name in ("converted", "poet", "text", "tiny"):
            config = yaml.safe_load((REPO / "examples" / "configs" / f"{name}.yaml").read_text())
            args = LLaDAPretrainingConfig(**config["training"] | {"use_cpu": True})
            for phase in config["phases"]:
                assert sum(entry["share"] for entry in phase["entries"]) == pytest.approx(1)
                assert all(args.tokens_per_step % RowEntry(**entry).width == 0 for entry in phase["entries"])
