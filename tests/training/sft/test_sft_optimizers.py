# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Optimizers whose states take less memory, by the usual `optim`: these run on the CPU too, and resume."""

import importlib.util

import pytest


pytest.importorskip("trl", reason="TRL is not part of this environment")

from peft import LoraConfig
from support.sft_runs import MESSAGES, losses_of, sft_trainer


LIBRARIES = {
    "adamw_torch": None,
    "adafactor": None,
    "adamw_bnb_8bit": "bitsandbytes",
    "paged_adamw_8bit": "bitsandbytes",
    "lion_8bit": "bitsandbytes",
    "adamw_torch_8bit": "torchao",
    "adamw_torch_4bit": "torchao",
}


def needs(optim):
    library = LIBRARIES[optim]
    missing = library is not None and importlib.util.find_spec(library) is None
    return pytest.param(optim, marks=pytest.mark.skipif(missing, reason=f"{library} is not part of this environment"))


@pytest.fixture
def trainer_of(poet_folder, tmp_path):
    """Makes a trainer with an optimizer; keyword arguments change the training arguments."""
    settings = {"max_steps": 4, "lr_scheduler_type": "constant"}
    return lambda optim, **changes: sft_trainer(
        poet_folder, tmp_path / "run", MESSAGES, optim=optim, **(settings | changes)
    )


@pytest.mark.parametrize("optim", [needs(optim) for optim in LIBRARIES])
def test_the_loss_falls(trainer_of, optim):
    learning_rate = {"lion_8bit": 3e-3}.get(optim, 1e-2)
    settings = {"max_steps": 30, "learning_rate": learning_rate, "peft_config": LoraConfig(r=4)}
    trainer = trainer_of(optim, eval_dataset=MESSAGES, **settings)
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    assert trainer.evaluate()["eval_loss"] < before - 0.3


@pytest.mark.parametrize("optim", [needs(optim) for optim in LIBRARIES])
def test_resumes_with_all_weights(trainer_of, tmp_path, optim):
    whole = trainer_of(optim, save_strategy="steps", save_steps=2)
    whole.train()
    resumed = trainer_of(optim)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert losses_of(resumed) == pytest.approx(losses_of(whole), rel=1e-5)
