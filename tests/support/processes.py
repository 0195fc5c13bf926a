# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Further processes for a test, with a time limit.

They are forked from a server that has imported what they need and does nothing else. A fork of the test's own process
could hang: it copies the locks of torch's threads, but not the threads.
"""

import multiprocessing
import os
import socket
import time
from multiprocessing.connection import wait

import pytest
import torch


# The imports may have asked for a GPU, and CUDA does not survive a fork.
CONTEXT = multiprocessing.get_context("spawn" if torch.accelerator.is_available() else "forkserver")
# Those that cannot be imported are left out.
CONTEXT.set_forkserver_preload(["modeling_llada.training.sft.trainer", "modeling_llada.training"])


def start_process(function, *args, **environment: str) -> multiprocessing.Process:
    """Runs a function of tests/support in a process of its own."""
    process = CONTEXT.Process(target=_call, args=(function, args, environment), daemon=True)
    process.start()
    return process


def exit_codes_of(*processes, seconds: float = 300) -> list[int]:
    """Waits for processes. Once one has failed, the others are killed, as they would wait for it."""
    deadline = time.monotonic() + seconds
    running = {process.sentinel: process for process in processes}
    while running and (ended := wait(running, timeout=max(0, deadline - time.monotonic()))):
        exit_codes = [running.pop(sentinel).exitcode for sentinel in ended]
        if any(exit_codes):
            break
    else:
        if running:
            kill(*running.values())
            pytest.fail(f"{len(running)} of {len(processes)} processes still ran after {seconds} seconds: killed.")
    kill(*running.values())
    return [process.exitcode for process in processes]


def kill(*processes) -> None:
    """Ends processes at once."""
    for process in processes:
        process.kill()
        process.join()


def run_together(function, *args, num_processes: int = 2) -> None:
    """Runs a function on processes that find each other as those of `torchrun` do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    group = {"WORLD_SIZE": str(num_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(num_processes)]
    processes = [start_process(function, *args, **group, **rank) for rank in ranks]
    exit_codes = exit_codes_of(*processes)
    assert not any(exit_codes), f"exit codes of the processes: {exit_codes}"


def _call(function, args, environment) -> None:
    torch.set_num_threads(1)
    os.environ.update(environment, CI="1")
    function(*args)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
