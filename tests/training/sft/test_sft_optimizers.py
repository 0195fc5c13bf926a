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


def test_states_are_small(trainer_of):
    """In bytes of those of AdamW; tensors of less than 4096 elements stay in 32 bits."""
    pytest.importorskip("torchao", reason="the optimizer")
    sizes = []
    for optim in ("adamw_torch", "adamw_torch_8bit"):
        trainer = trainer_of(optim, max_steps=1)
        trainer.train()
        sizes.append(size_of(trainer.optimizer.state_dict()["state"]))
    assert sizes[1] < 0.35 * sizes[0]


def size_of(states):
    """Bytes of all tensors, those inside of quantized ones too."""
    total = 0
    for value in states.values():
        if isinstance(value, dict):
            total += size_of(value)
        elif hasattr(value, "__tensor_flatten__"):
            total += size_of({name: getattr(value, name) for name in value.__tensor_flatten__()[0]})
        elif hasattr(value, "nbytes"):
            total += value.nbytes
    return total


@pytest.mark.skipif(importlib.util.find_spec("galore_torch") is not None, reason="GaLore is there")
def test_a_library_that_is_missing(trainer_of):
    with pytest.raises(ImportError, match="pip install"):
        trainer_of("galore_adamw").train()


def test_an_unknown_name(trainer_of):
    with pytest.raises(ValueError, match="adamw_torch_fused"):
        trainer_of("adam_8bit")
