# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Training that ends before its last step: Ctrl-C."""

import signal
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback

from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig, find_last_checkpoint
from modeling_llada.training.callbacks import InterruptCallback


class PressCtrlC(TrainerCallback):
    """Interrupts the third step."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    """Ctrl-C raises `KeyboardInterrupt`, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_step_is_kept(tiny_model, pretraining_settings, capfd):
    args = LLaDAPretrainingConfig(**pretraining_settings)
    callbacks = [PressCtrlC(), InterruptCallback("`--resume`")]
    trainer = LLaDAPretrainer(tiny_model(), args, torch.full((8, 32), 20), callbacks=callbacks)
    with pytest.raises(KeyboardInterrupt, match="checkpoint-3 is kept. Go on with `--resume`."):
        trainer.train()
    assert find_last_checkpoint(args.output_dir).endswith("checkpoint-3")
    assert "Stopping with a checkpoint after this step" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture
def interrupted(tmp_path):
    """A callback that has been interrupted once, and the arguments of its run."""
    callback, args = InterruptCallback("`--resume`"), SimpleNamespace(output_dir=str(tmp_path))
    callback.on_train_begin(args, state=None, control=None)
    signal.raise_signal(signal.SIGINT)
    return callback, args


def test_the_second_time_stops_at_once(interrupted):
    with pytest.raises(KeyboardInterrupt, match="There is no checkpoint yet."):
        signal.raise_signal(signal.SIGINT)


def test_a_run_in_its_last_step_ends_as_ever(interrupted):
    callback, args = interrupted
    callback.on_train_end(args, state=SimpleNamespace(global_step=6, max_steps=6), control=None)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
