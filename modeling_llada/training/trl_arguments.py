# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the arguments of all trainers on TRL have in common: defaults that fit the machine, and JSON that is named in errors."""

import json

import torch
from transformers import TrainingArguments
from transformers.utils import is_torch_bf16_gpu_available


def check_json(args: TrainingArguments) -> None:
    """Transformers reads dictionaries of the command line without naming the argument that is wrong."""
    for name in args._VALID_DICT_FIELDS:
        value = getattr(args, name)
        if isinstance(value, str) and value.startswith("{"):
            try:
                json.loads(value)
            except ValueError as error:
                raise ValueError(f"`{name}` must be JSON, but got {value[:80]}: {error}.") from error


def fit_machine(args: TrainingArguments) -> None:
    """Sets what TRL's defaults would refuse or warn of on this machine, before TRL's own `__post_init__`."""
    if args.bf16 is None:
        args.bf16 = not (args.fp16 or args.use_cpu) and is_torch_bf16_gpu_available()
    if args.use_cpu or not torch.accelerator.is_available():
        args.dataloader_pin_memory = False  # torch would warn that there is no accelerator
    if hasattr(args, "activation_checkpointing"):
        # transformers >= 5.24 would warn of the old name, which TRL sets to True by default.
        if args.activation_checkpointing is None:
            args.activation_checkpointing = args.gradient_checkpointing
        args.gradient_checkpointing = None
