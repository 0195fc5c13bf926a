# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Masked fine-tuning: data, loss, evaluation, logs and adapters."""

import subprocess
import sys

import pytest
import torch
from transformers import AutoTokenizer


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset
from peft import LoraConfig
from support.sft_runs import (
    MESSAGES,
    POEMS,
    PROMPTS_AND_COMPLETIONS,
    largest_difference,
    losses_of,
    sft_trainer,
    weights_of,
)

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer
from modeling_llada.training.sft.checks import PROJECTIONS


EOT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + '：' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|unk|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|unk|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant：' }}{% endif %}"
)


@pytest.fixture
def trainer_of(poet_folder, tmp_path):
    """Makes a trainer of the tiny poet; keyword arguments change the training arguments."""
    return lambda *args, **settings: sft_trainer(poet_folder, tmp_path / "run", *args, **settings)


@pytest.fixture(scope="module")
def tokenizer(poet_folder):
    return AutoTokenizer.from_pretrained(poet_folder)


def parts(trainer, row=0):
    """The texts of the prompt and of the response of a prepared row, special tokens included."""
    tokens, labels = (trainer.train_dataset[row][name] for name in ("input_ids", "labels"))
    assert all(label in (-100, token) for token, label in zip(tokens, labels, strict=True))
    decode = trainer.processing_class.decode
    response = [token for token, label in zip(tokens, labels, strict=True) if label != -100]
    return decode([token for token, label in zip(tokens, labels, strict=True) if label == -100]), decode(response)


class TestData:
    """Only the response is trained on, and one EOS ends it."""

    def test_messages(self, trainer_of):
        assert parts(trainer_of(MESSAGES)) == ("床前明月光，", "疑是地上霜。<|endoftext|>")

    def test_prompt_and_completion(self, trainer_of):
        assert parts(trainer_of(PROMPTS_AND_COMPLETIONS)) == ("床前明月光，", "疑是地上霜。<|endoftext|>")

    def test_prompt_and_completion_of_messages(self, trainer_of):
        rows = Dataset.from_list(
            [{"prompt": row["messages"][:1], "completion": row["messages"][1:]} for row in MESSAGES]
        )
        assert parts(trainer_of(rows), 3) == ("春眠不觉晓，", "处处闻啼鸟。夜来风雨声，花落知多少。<|endoftext|>")

    def test_text(self, trainer_of):
        rows = Dataset.from_dict({"poem": ["".join(poem) for poem in POEMS]})
        assert parts(trainer_of(rows, dataset_text_field="poem")) == ("", "床前明月光，疑是地上霜。<|endoftext|>")

    def test_conversations_of_other_tools(self, trainer_of):
        talk = [{"from": "user", "value": "明"}, {"from": "assistant", "value": "月"}]
        assert parts(trainer_of(Dataset.from_list([{"conversations": talk}]))) == ("明", "月<|endoftext|>")

    @pytest.mark.parametrize("assistant_only_loss", [False, True])
    def test_conversations_of_roles(self, trainer_of, assistant_only_loss):
        rows = MESSAGES.rename_column("messages", "conversations")
        trainer = trainer_of(rows, rows, assistant_only_loss=assistant_only_loss)
        assert parts(trainer) == ("床前明月光，", "疑是地上霜。<|endoftext|>")

    @pytest.mark.parametrize("rows", [MESSAGES, PROMPTS_AND_COMPLETIONS], ids=["messages", "texts"])
    def test_a_dataset_of_tensors(self, trainer_of, rows):
        assert parts(trainer_of(rows.with_format("torch"))) == ("床前明月光，", "疑是地上霜。<|endoftext|>")
        trainer = trainer_of(trainer_of(rows).train_dataset.with_format("torch"))
        assert parts(trainer) == ("床前明月光，", "疑是地上霜。<|endoftext|>") and trainer.train().global_step == 3

    @pytest.mark.parametrize("assistant_only_loss", [False, True])
    @pytest.mark.parametrize("in_block", [False, True])
    def test_a_line_break_after_eos(self, trainer_of, poet_folder, assistant_only_loss, in_block):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        inside, outside = ("+ '\n'", "") if in_block else ("", "{{ '\n' }}")
        tokenizer.chat_template = (
            "{% for message in messages %}{% if message['role'] == 'assistant' %}"
            "{% generation %}{{ message['content'] + eos_token " + inside + " }}{% endgeneration %}" + outside +
            "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
        )  # fmt: skip
        messages = MESSAGES[0]["messages"] + MESSAGES[1]["messages"]
        rows = Dataset.from_list([{"messages": messages}])
        trainer = trainer_of(rows, processing_class=tokenizer, assistant_only_loss=assistant_only_loss)
        first = "疑是地上霜。<|endoftext|>"
        prompt, response = parts(trainer)
        assert response == (first if assistant_only_loss else "") + "低头思故乡。<|endoftext|>"
        assert prompt == "床前明月光，" + ("" if assistant_only_loss else first) + "\n举头望明月，"

    def test_tokens(self, trainer_of):
        rows = Dataset.from_dict(
            {"input_ids": [[10, 11, 12, 0], [10, 11, 12]], "labels": [[-100, 11, 12, 0]] + [[-100, 11, 12]]}
        )
        trainer = trainer_of(rows)
        assert trainer.train_dataset["labels"][:] == [[-100, 11, 12, 0]] * 2
        trainer = trainer_of(rows, dataset_kwargs={"skip_prepare_dataset": True})
        assert trainer.train_dataset["labels"][:] == [[-100, 11, 12, 0], [-100, 11, 12]]

    def test_a_formatting_function(self, trainer_of):
        rows = Dataset.from_dict({"title": ["明", "月"]})
        trainer = trainer_of(rows, formatting_func=lambda row: row["title"] + "光")
        assert parts(trainer) == ("", "明光<|endoftext|>")

    @pytest.mark.parametrize(
        ("assistant_only_loss", "response"),
        [(False, "低头思故乡。<|endoftext|>"), (True, "疑是地上霜。<|endoftext|>低头思故乡。<|endoftext|>")],
    )
    def test_several_turns(self, trainer_of, assistant_only_loss, response):
        lines = ["床前明月光，", "疑是地上霜。", "举头望明月，", "低头思故乡。"]
        messages = [
            {"role": role, "content": line} for role, line in zip(["user", "assistant"] * 2, lines, strict=True)
        ]
        trainer = trainer_of(Dataset.from_list([{"messages": messages}]), assistant_only_loss=assistant_only_loss)
        assert parts(trainer)[1] == response

    @pytest.mark.parametrize("assistant_only_loss", [False, True])
    def test_the_end_of_a_turn_is_another_token_than_eos(
        self, trainer_of, tokenizer, poet_folder, assistant_only_loss
    ):
        tokenizer = AutoTokenizer.from_pretrained(poet_folder)
        tokenizer.chat_template = EOT_TEMPLATE
        trainer = trainer_of(MESSAGES, processing_class=tokenizer, assistant_only_loss=assistant_only_loss)
        assert parts(trainer)[1] == "疑是地上霜。<|unk|><|endoftext|>"

    def test_the_whole_conversation_if_asked_for(self, trainer_of):
        assert parts(trainer_of(MESSAGES, completion_only_loss=False))[0] == ""

    def test_what_is_cut_has_no_eos(self, trainer_of):
        trainer = trainer_of(MESSAGES.select([3, 0]), max_length=13)
        assert parts(trainer, 0) == ("春眠不觉晓，", "处处闻啼鸟。夜")
        assert parts(trainer, 1) == ("床前明月光，", "疑是地上霜。<|endoftext|>"), "thirteen tokens fit"

    def test_evaluate_prepares_what_it_is_given(self, trainer_of):
        trainer = trainer_of(MESSAGES)
        metrics = trainer.evaluate(MESSAGES.select(range(4)))
        assert metrics["eval_loss"] == trainer.evaluate(PROMPTS_AND_COMPLETIONS.select(range(4)))["eval_loss"] > 0


def loss_by_hand(model, batch, normalization):
    """Eq. 5, one row and one token after another."""
    sums, lengths = [], batch["response_lengths"].tolist()
    for row, (noisy, labels, seen) in enumerate(
        zip(batch["input_ids"], batch["labels"], batch["attention_mask"].bool(), strict=True)
    ):
        log_probs = model(noisy[seen][None]).logits[0].log_softmax(-1)
        total = sum(-log_probs[i, label] for i, label in enumerate(labels[seen].tolist()) if label != -100)
        sums.append(total / batch["rates"][row])
    if normalization == "token":
        return sum(sums) / sum(lengths)
    return sum(total / length for total, length in zip(sums, lengths, strict=True)) / len(sums)


class TestLoss:
    @pytest.mark.parametrize("eos_fill", [None, "longest", 40])
    @pytest.mark.parametrize("normalization", ["token", "sequence"])
    def test_equals_equation_5_written_by_hand(self, trainer_of, normalization, eos_fill):
        trainer = trainer_of(
            MESSAGES, loss_normalization=normalization, eos_fill=eos_fill, max_length=40, loss_chunk_size=7
        )
        batch = next(iter(trainer.get_train_dataloader()))
        loss = trainer.compute_loss(trainer.model, batch)
        assert loss.item() == pytest.approx(loss_by_hand(trainer.model, batch, normalization).item(), rel=1e-5)

    @pytest.mark.parametrize("normalization", ["token", "sequence"])
    def test_is_unbiased(self, trainer_of, normalization):
        """With uniform predictions every token costs log(vocabulary), whatever the masks of a row."""
        model = LLaDAForMaskedLM.from_pretrained(trainer_of().model.name_or_path)
        torch.nn.init.zeros_(model.model.norm.weight)
        trainer = trainer_of(
            MESSAGES,
            model=model,
            loss_normalization=normalization,
            eval_num_samples=800,
            per_device_eval_batch_size=500,
        )
        metrics = trainer.evaluate(MESSAGES)
        assert metrics["eval_loss"] == pytest.approx(torch.tensor(model.config.vocab_size).log().item(), rel=0.02)

    def test_falls_while_all_weights_change(self, trainer_of):
        trainer = trainer_of(MESSAGES, eval_dataset=MESSAGES, max_steps=40)
        before, loss = weights_of(trainer), trainer.evaluate()["eval_loss"]
        trainer.train()
        for name, value in weights_of(trainer).items():
            assert not torch.equal(value, before[name]), f"Parameter {name} has not changed."
        assert trainer.evaluate()["eval_loss"] < loss - 2

    def test_a_batch_with_nothing_masked_is_zero(self, trainer_of):
        trainer = trainer_of(MESSAGES)
        batch = next(iter(trainer.get_train_dataloader()))
        batch |= {"labels": torch.full_like(batch["labels"], -100), "masked_positions": torch.full((64,), -1)}
        assert trainer.compute_loss(trainer.model, batch).item() == 0

    @pytest.mark.parametrize(
        "settings",
        [
            {"gradient_checkpointing": True},
            {"loss_chunk_size": 3},
            {"dataloader_num_workers": 2},
            {"train_sampling_strategy": "sequential", "pad_to_multiple_of": 16},
            {"bf16": True},
        ],
        ids=str,
    )
    def test_options_that_change_nothing(self, trainer_of, settings):
        sequential = {key: settings[key] for key in settings if key == "train_sampling_strategy"}
        plain, changed = (trainer_of(MESSAGES, optim="sgd", **options) for options in (sequential, settings))
        plain.train()
        changed.train()
        tolerance = 0.05 if "bf16" in settings else 1e-5
        assert losses_of(changed) == pytest.approx(losses_of(plain), rel=tolerance)

    def test_grouping_by_length(self, trainer_of):
        trainer = trainer_of(MESSAGES, train_sampling_strategy="group_by_length", per_device_train_batch_size=2)
        assert trainer.train().global_step == 3


class TestEvaluation:
    def test_noise_is_the_same_every_time(self, trainer_of):
        trainer = trainer_of(MESSAGES, eval_dataset=MESSAGES)
        first = trainer.evaluate()
        torch.rand(3)
        second = trainer.evaluate()
        for name in ("eval_loss", "eval_masked_accuracy", "eval_num_masked_tokens", "eval_loss_t_0_25"):
            assert first[name] == second[name]
        for settings in ({"eval_seed": 1}, {"eval_num_samples": 2}):
            assert (
                trainer_of(MESSAGES, eval_dataset=MESSAGES, **settings).evaluate()["eval_loss"] != first["eval_loss"]
            )

    def test_predict_prepares_what_it_is_given(self, trainer_of):
        trainer = trainer_of(MESSAGES, eval_dataset=MESSAGES)
        assert trainer.predict(MESSAGES).metrics["test_loss"] == trainer.evaluate()["eval_loss"] > 0
        with pytest.raises(ValueError, match="must have a column `input_ids`"):
            trainer.get_test_dataloader(MESSAGES)

    def test_reads_the_last_batch(self, trainer_of):
        whole, dropped = (
            trainer_of(MESSAGES, MESSAGES.select(range(3)), dataloader_drop_last=drop, per_device_eval_batch_size=32)
            for drop in (False, True)
        )
        assert dropped.evaluate()["eval_loss"] == whole.evaluate()["eval_loss"] > 0
        assert dropped.args.dataloader_drop_last and len(dropped.get_train_dataloader()) == 1

    def test_tokenized_rows_that_are_given_later(self, trainer_of):
        """Nothing prepares them, but their masks are read all the same."""
        rows = trainer_of(MESSAGES).train_dataset
        trainer = trainer_of(rows, dataset_kwargs={"skip_prepare_dataset": True})
        masks = [[int(label != -100) for label in labels] for labels in rows["labels"]]
        masked = rows.remove_columns("labels").add_column("completion_mask", masks)
        expected = trainer.evaluate(rows)["eval_loss"]
        assert trainer.evaluate(masked)["eval_loss"] == trainer.evaluate({"a": masked})["eval_a_loss"] == expected
        assert trainer.predict(masked).metrics["test_loss"] == expected

    def test_leaves_training_alone(self, trainer_of):
        plain = trainer_of(MESSAGES)
        evaluated = trainer_of(
            MESSAGES, eval_dataset={"a": MESSAGES, "b": MESSAGES}, eval_strategy="steps", eval_steps=1
        )
        plain.train()
        evaluated.train()
        assert largest_difference(weights_of(plain), weights_of(evaluated)) == 0
        history = [entry for entry in evaluated.state.log_history if "eval_a_loss" in entry]
        assert [entry["step"] for entry in history] == [1, 2, 3]
        assert len({entry["eval_a_loss"] for entry in history}) == 3

    def test_metrics_by_hand(self, trainer_of):
        trainer = trainer_of(MESSAGES, eval_dataset=MESSAGES, eval_num_samples=2, per_device_eval_batch_size=3)
        metrics = trainer.evaluate()
        quarters, correct = [[] for _ in range(4)], []
        weighted, tokens = 0.0, 0
        for batch in trainer.get_eval_dataloader():
            with torch.no_grad():
                logits = trainer.model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            for row, t in enumerate(batch["rates"].tolist()):
                masked = batch["labels"][row] != -100
                scores, labels = logits[row][masked], batch["labels"][row][masked]
                losses = torch.nn.functional.cross_entropy(scores, labels, reduction="none")
                quarters[min(int(t * 4), 3)] += losses.tolist()
                correct += (scores.argmax(-1) == labels).tolist()
                weighted += losses.sum().item() / t
                tokens += int(batch["response_lengths"][row])
        assert metrics["eval_loss"] == pytest.approx(weighted / tokens, rel=1e-4)
        assert metrics["eval_masked_accuracy"] == pytest.approx(sum(correct) / len(correct))
        assert metrics["eval_num_masked_tokens"] == len(correct)
        for name, losses in zip(("0_25", "25_50", "50_75", "75_100"), quarters, strict=True):
            assert metrics[f"eval_loss_t_{name}"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


class TestLogs:
    def test_a_line_has_all_of_it(self, trainer_of):
        trainer = trainer_of(MESSAGES, max_steps=4, logging_steps=2)
        trainer.train()
        first, second = (entry for entry in trainer.state.log_history if "loss" in entry)
        wanted = {"masked_accuracy", "loss_t_0_25", "loss_t_25_50", "loss_t_50_75", "loss_t_75_100"}
        wanted |= {"num_tokens", "tokens_per_second", "masked_tokens_per_second", "grad_norm"}
        assert wanted <= first.keys() and wanted <= second.keys()
        tokens = sum(len(row) for row in trainer.train_dataset["input_ids"])
        assert (first["num_tokens"], second["num_tokens"]) == (tokens, 2 * tokens)
        assert 0 < second["masked_tokens_per_second"] < second["tokens_per_second"]


class TestModel:
    def test_from_a_folder(self, poet_folder, tmp_path):
        args = LLaDASFTConfig(
            str(tmp_path), max_steps=1, report_to="none", save_strategy="no", model_init_kwargs={"dtype": "float32"}
        )
        trainer = LLaDASFTTrainer(str(poet_folder), args, train_dataset=MESSAGES)
        assert isinstance(trainer.model, LLaDAForMaskedLM)
        assert trainer.args.model_init_kwargs == {"dtype": "float32"}
        assert trainer.train().global_step == 1

    def test_a_cpu_needs_no_settings(self, tmp_path, poet_folder):
        """TRL's bfloat16 is refused on a machine without GPU."""
        assert LLaDASFTConfig(str(tmp_path), use_cpu=True).bf16 is False
        assert LLaDASFTConfig(str(tmp_path), use_cpu=True, bf16=True).bf16 is True

    def test_saves_what_loads_and_generates(self, trainer_of, tmp_path):
        trainer = trainer_of(MESSAGES)
        trainer.train()
        trainer.save_model(str(tmp_path / "saved"))
        model = LLaDAForMaskedLM.from_pretrained(tmp_path / "saved")
        assert largest_difference(weights_of(trainer), dict(model.named_parameters())) == 0
        prompt = trainer.processing_class("床前明月光，", return_tensors="pt")
        expected = trainer.model.eval().generate(**prompt, max_new_tokens=5)
        assert torch.equal(model.generate(**prompt, max_new_tokens=5), expected)


class TestAdapters:
    def test_default_targets_are_the_projections(self, trainer_of):
        config = LoraConfig(r=4)
        trainer = trainer_of(MESSAGES, peft_config=config)
        trainable = {name.split(".")[-4] for name, value in trainer.model.named_parameters() if value.requires_grad}
        assert trainable == set(PROJECTIONS)
        assert config.target_modules is None, "that of the caller stays"

    def test_trains_the_adapter_alone(self, trainer_of):
        """Also with gradient checkpointing, where the input of the first layer needs gradients."""
        trainer = trainer_of(
            MESSAGES, eval_dataset=MESSAGES, peft_config=LoraConfig(r=4), gradient_checkpointing=True, max_steps=30
        )
        before, loss = weights_of(trainer), trainer.evaluate()["eval_loss"]
        trainer.train()
        for name, value in weights_of(trainer).items():
            assert torch.equal(value, before[name]) != ("lora" in name), name
        assert trainer.evaluate()["eval_loss"] < loss - 0.3


def test_importing_pre_training_needs_no_trl():
    """And who wants to fine-tune without it learns which extra to install."""
    script = """
import sys
for name in ("trl", "datasets"):
    sys.modules[name] = None
import modeling_llada.training as training
assert training.LLaDAPretrainer
try:
    training.LLaDASFTTrainer
except ImportError as error:
    assert "'.[train]'" in str(error), error
else:
    raise AssertionError
assert not hasattr(training, "LLaDASFTTrainers")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
