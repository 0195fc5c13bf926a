# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The processes of an evaluation, which `accelerate launch` or `torchrun` starts."""

import os
from datetime import timedelta

import torch


def join_processes(device: str | None):
    """The `Accelerator` of a run with several processes, or `None`."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    # Processes wait for the slowest one, which may take hours.
    patient = InitProcessGroupKwargs(timeout=timedelta(weeks=1))
    # Without `cpu=True`, each process of a machine without GPU would run on its own.
    on_cpu = device == "cpu" or not torch.accelerator.is_available()
    return Accelerator(cpu=on_cpu, kwargs_handlers=[patient])
