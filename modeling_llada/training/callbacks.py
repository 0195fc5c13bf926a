# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A time limit for training."""

import time

from transformers import TrainerCallback
from transformers.utils import logging


logger = logging.get_logger(__name__)


class TimeLimitCallback(TrainerCallback):
    """
    Stops training at a time limit and leaves a checkpoint to resume from.

    Args:
        minutes (`float`):
            The limit.
        started (`float`, *optional*):
            The `time.monotonic()` at which the time starts. By default now.
    """

    def __init__(self, minutes: float, started: float | None = None):
        if minutes <= 0:
            raise ValueError(f"`minutes` must be positive, but got {minutes}.")
        self.minutes = minutes
        self.started = time.monotonic() if started is None else started

    def on_step_end(self, args, state, control, **kwargs):
        if time.monotonic() - self.started >= 60 * self.minutes and not control.should_training_stop:
            logger.info(f"The time limit of {self.minutes:g} minutes is reached at step {state.global_step}.")
            control.should_training_stop = True
            control.should_log = True
            control.should_save = True
        return control
