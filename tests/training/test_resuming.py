# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A run that is killed and goes on, and the best checkpoint of a run."""

import signal

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback


pytest.importorskip("trl", reason="TRL is not part of this environment")

from peft import LoraConfig
from support.processes import exit_codes_of, start_process
from support.sft_runs import (
    MESSAGES,
    largest_difference,
    losses_of,
    sft_trainer,
    train_until_killed,
    weights_of,
)

from modeling_llada.training import find_last_checkpoint


LORA = LoraConfig(r=2, lora_dropout=0.2)
# Ten rows in batches of eight: two steps an epoch. The kill comes in the third epoch, the checkpoint before it in the
# middle of the second.
SETTINGS = {
    "max_steps": 7,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "save_strategy": "steps",
    "save_steps": 3,
}


@pytest.mark.parametrize("lora", [{}, {"peft_config": LORA}], ids=["full", "lora"])
def test_killed_and_resumed_equals_no_interruption(poet_folder, tmp_path, lora):
    settings = SETTINGS | lora
    killed = start_process(train_until_killed, poet_folder, tmp_path / "killed", settings)
    straight = sft_trainer(poet_folder, tmp_path / "straight", MESSAGES, **settings)
    straight.train()
    assert exit_codes_of(killed) == [-signal.SIGKILL]
    # What a kill in the middle of saving leaves does not count.
    (tmp_path / "killed" / "checkpoint-5").mkdir()
    assert find_last_checkpoint(tmp_path / "killed").endswith("checkpoint-3")

    torch.manual_seed(77)  # whatever else the new process has drawn
    resumed = sft_trainer(poet_folder, tmp_path / "killed", MESSAGES, **settings)
    for parameter in resumed.model.parameters():
        if parameter.requires_grad:
            torch.nn.init.constant_(parameter, 0.1)  # or a checkpoint that is not loaded would not be missed
    resumed.train(resume_from_checkpoint=True)
    assert losses_of(resumed) == losses_of(straight)
    assert largest_difference(weights_of(resumed), weights_of(straight)) == 0
    tokens = [trainer.state.log_history[-2]["num_tokens"] for trainer in (resumed, straight)]
    assert tokens[0] == tokens[1]


class FirstIsBest(TrainerCallback):
    """Says that the first evaluation was the best, and keeps the weights of then."""

    def on_evaluate(self, args, state, control, model=None, metrics=None, **kwargs):
        metrics["eval_loss"] = state.global_step
        if state.global_step == 1:
            self.weights = {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_best_model_is_loaded(poet_folder, tmp_path, kind):
    callback = FirstIsBest()
    trainer = sft_trainer(
        poet_folder,
        tmp_path,
        MESSAGES,
        eval_dataset=MESSAGES,
        callbacks=[callback],
        max_steps=2,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        **({"peft_config": LORA} if kind == "lora" else {}),
    )
    trainer.train()
    last = load_file(next((tmp_path / "checkpoint-2").glob("*model.safetensors")))
    first = load_file(next((tmp_path / "checkpoint-1").glob("*model.safetensors")))
    assert largest_difference(first, last) > 0
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-1")
    assert largest_difference(weights_of(trainer), callback.weights) == 0


def test_folders_of_other_names_are_no_checkpoints(tmp_path):
    for name in ("checkpoint-3", "checkpoint-20", "checkpoint-best", "checkpoint-4-copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").touch()
    assert find_last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")


def test_resume_without_a_checkpoint_is_an_error(poet_folder, tmp_path):
    with pytest.raises(ValueError, match="`resume_from_checkpoint=True` needs a complete checkpoint"):
        sft_trainer(poet_folder, tmp_path).train(resume_from_checkpoint=True)
