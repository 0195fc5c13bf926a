# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A run that is killed and goes on, and the best checkpoint of a run."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
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
from modeling_llada.training.resuming import check_checkpoint


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


@pytest.fixture
def checkpoints(tmp_path):
    """Two checkpoints with the files that Trainer writes, and the path of a file of the last one."""
    for step in (9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
        save_file({"weight": torch.ones(9)}, folder / "model.safetensors")
        for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
            torch.save({"step": step}, folder / name)
    return tmp_path / "checkpoint-10"


FILES = ["trainer_state.json", "model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"]
DAMAGES = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_skipped_and_its_file_named(checkpoints, caplog, name, damage):
    assert find_last_checkpoint(checkpoints.parent) == str(checkpoints)
    DAMAGES[damage](checkpoints / name)
    assert find_last_checkpoint(checkpoints.parent) == str(checkpoints.with_name("checkpoint-9"))
    assert f"{checkpoints} is no complete checkpoint and is skipped: {name} is" in caplog.text


def test_a_shard_is_missed(checkpoints):
    (checkpoints / "model.safetensors").rename(checkpoints / "model-00001-of-00002.safetensors")
    files = {"first": "model-00001-of-00002.safetensors", "second": "model-00002-of-00002.safetensors"}
    (checkpoints / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    assert find_last_checkpoint(checkpoints.parent).endswith("checkpoint-9")
    save_file({"second": torch.ones(9)}, checkpoints / files["second"])
    assert find_last_checkpoint(checkpoints.parent).endswith("checkpoint-10")


def test_a_checkpoint_of_the_model_alone_cannot_be_resumed(checkpoints):
    """`save_only_model=True`. Trainer would go on with a new optimizer."""
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (checkpoints / name).unlink()
    with pytest.raises(ValueError, match=r"optimizer.pt is missing \(`save_only_model=True` writes none\)"):
        check_checkpoint(checkpoints)


def test_deepspeed_keeps_its_own_files(checkpoints):
    for name in FILES[1:]:
        (checkpoints / name).unlink()
    (checkpoints / "global_step10").mkdir()
    check_checkpoint(checkpoints)


def test_folders_of_other_names_are_no_checkpoints(checkpoints):
    for name in ("checkpoint-best", "checkpoint-11-copy"):
        shutil.copytree(checkpoints, checkpoints.with_name(name))
    assert find_last_checkpoint(checkpoints.parent) == str(checkpoints)


def test_a_damaged_checkpoint_that_was_asked_for_is_an_error(poet_folder, checkpoints):
    (checkpoints / "optimizer.pt").write_bytes(b"")
    trainer = sft_trainer(poet_folder, checkpoints.parent)
    with pytest.raises(ValueError, match="in '.*checkpoint-10' optimizer.pt is damaged. .* one is '.*checkpoint-9'"):
        trainer.train(resume_from_checkpoint=str(checkpoints))
    shutil.rmtree(checkpoints.with_name("checkpoint-9"))
    with pytest.raises(ValueError, match="There is no complete one beside it"):
        trainer.train(resume_from_checkpoint=str(checkpoints))


def test_a_full_disk_is_noticed_before_the_first_step(poet_folder, tmp_path, small_files):
    trainer = sft_trainer(poet_folder, tmp_path)
    with small_files(), pytest.raises(OSError, match=f"'{tmp_path}/training_args.bin'"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_resume_without_a_checkpoint_is_an_error(poet_folder, tmp_path):
    with pytest.raises(ValueError, match="`resume_from_checkpoint=True` needs a complete checkpoint"):
        sft_trainer(poet_folder, tmp_path).train(resume_from_checkpoint=True)
