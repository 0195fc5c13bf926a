# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks that processes train together, with one device each."""

import os

from transformers import TrainingArguments


def check_processes(args: TrainingArguments) -> None:
    """Refuses processes that would each train alone, and all write to the same folder."""
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != args.world_size:
        raise ValueError(
            f"`use_cpu` must be true for {launched} processes without GPUs, but got {args.use_cpu}: each of them would train "
            "alone. Set it, or start one process."
        )


def check_gpus(args: TrainingArguments) -> None:
    """Refuses one process for several GPUs, once the constructor of Trainer has seen whether the model is split over them."""
    if args.n_gpu > 1:
        raise ValueError(
            f"`args.n_gpu` must be 1, but got {args.n_gpu}: `nn.DataParallel` would split masked positions from their "
            "rows. Start a process for each GPU with `torchrun --nproc-per-node`, or show the script one GPU with "
            "`CUDA_VISIBLE_DEVICES=0`."
        )
