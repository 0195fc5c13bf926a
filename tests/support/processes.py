# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Further processes for a test. Where it is possible they are forked, which saves them the imports."""

import multiprocessing
import os
import socket

import torch


# CUDA does not survive a fork.
CONTEXT = multiprocessing.get_context("spawn" if torch.accelerator.is_available() else "fork")


def start_process(function, *args, **environment: str) -> multiprocessing.Process:
    """Runs a function, which must be importable, in a process of its own."""
    process = CONTEXT.Process(target=_call, args=(function, args, environment), daemon=True)
    process.start()
    return process


def run_together(function, *args, num_processes: int = 2) -> None:
    """Runs a function on processes that find each other as those of `torchrun` do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"WORLD_SIZE": str(num_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(num_processes)]
    processes = [start_process(function, *args, **group, **rank) for rank in ranks]
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0] * num_processes


def _call(function, args, environment) -> None:
    from accelerate.state import AcceleratorState

    torch.set_num_threads(1)
    os.environ.update(environment, CI="1")
    AcceleratorState._reset_state(reset_partial_state=True)
    function(*args)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
