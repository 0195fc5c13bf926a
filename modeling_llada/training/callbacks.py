# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Ends of training before its last step, each with a checkpoint to resume from: a time limit, and Ctrl-C."""

import os
import signal
import threading
import time

import torch
from transformers import TrainerCallback

from .resuming import find_last_checkpoint


class StoppingCallback(TrainerCallback):
    """
    Stops training at the end of a step, and leaves a checkpoint to resume from.

    Several processes have to stop at the same step. They ask each other where they log, because that waits for the device.
    """

    def wants_to_stop(self) -> bool:
        """Whether this process wants training to stop."""
        raise NotImplementedError

    def on_step_end(self, args, state, control, **kwargs):
        if not control.should_training_stop and self._agree_to_stop(args, state):
            control.should_training_stop = control.should_log = control.should_save = True
        return control

    def _agree_to_stop(self, args, state) -> bool:
        if args.world_size == 1:
            return self.wants_to_stop()
        if state.global_step % max(state.logging_steps, 1):
            return False
        wanted = torch.tensor(int(self.wants_to_stop()), device=args.device)
        torch.distributed.all_reduce(wanted, torch.distributed.ReduceOp.MAX)
        return bool(wanted)


class TimeLimitCallback(StoppingCallback):
    """Stops training some minutes after the creation of the callback. Several processes stop at their next log line."""

    def __init__(self, minutes: float):
        if minutes <= 0:
            raise ValueError(f"`minutes` must be positive, but got {minutes}.")
        self.minutes = minutes
        self.started = time.monotonic()

    def wants_to_stop(self) -> bool:
        return time.monotonic() - self.started >= 60 * self.minutes


class InterruptCallback(StoppingCallback):
    """
    Lets Ctrl-C stop training at the end of the step, and raises `KeyboardInterrupt` when the checkpoint is written. A second
    Ctrl-C stops at once.

    Args:
        way_on (`str`):
            How the user continues, as the message of the error says it.
    """

    def __init__(self, way_on: str):
        self.way_on = way_on
        self.interrupted = False
        self.old_handler = None
        self.output_dir = ""

    def on_train_begin(self, args, state, control, **kwargs):
        self.output_dir = args.output_dir
        # A process in the background ignores Ctrl-C, and only the main thread may set a handler.
        is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if is_default and threading.current_thread() is threading.main_thread():
            self.old_handler = signal.signal(signal.SIGINT, self._interrupt)

    def wants_to_stop(self) -> bool:
        return self.interrupted

    def on_train_end(self, args, state, control, **kwargs):
        if self.old_handler is not None:
            signal.signal(signal.SIGINT, self.old_handler)
        if self.interrupted and state.global_step < state.max_steps:
            raise KeyboardInterrupt(self._what_is_kept())

    def _interrupt(self, number, frame) -> None:
        if self.interrupted:
            raise KeyboardInterrupt(self._what_is_kept())
        self.interrupted = True
        # `print` may be what was interrupted.
        os.write(2, b"\nStopping with a checkpoint after this step. Press Ctrl-C again to stop at once.\n")

    def _what_is_kept(self) -> str:
        checkpoint = find_last_checkpoint(self.output_dir)
        return f"{checkpoint} is kept. Go on with {self.way_on}." if checkpoint else "There is no checkpoint yet."
