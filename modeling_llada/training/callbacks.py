# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A time limit for training."""

import time

from transformers import TrainerCallback
from transformers.utils import logging


logger = logging.get_logger(__name__)


class TimeLimitCallback(TrainerCallback):
    """Stops training some minutes after the creation of the callback, and leaves a checkpoint to resume from."""

    def __init__(self, minutes: float):
        if minutes <= 0:
            raise ValueError(f"`minutes` must be positive, but got {minutes}.")
        self.minutes = minutes
        self.started = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        if time.monotonic() - self.started >= 60 * self.minutes and not control.should_training_stop:
            logger.info(f"The time limit of {self.minutes:g} minutes is reached at step {state.global_step}.")
            control.should_training_stop = True
            control.should_log = True
            control.should_save = True
        return control
