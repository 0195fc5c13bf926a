# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Timing in turns (A B C, C B A, A B C...) in one process, so that a slow minute of the machine affects all contenders."""

import time
import warnings
from collections.abc import Callable

import torch

from reporting.results import rounded


def seconds_of(work: Callable[[], object], device: torch.device) -> tuple[float, object]:
    """The wall-clock seconds until the device has finished, and the result of the work."""
    synchronize(device)
    started = time.perf_counter()
    result = work()
    synchronize(device)
    return time.perf_counter() - started, result


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def take_turns(works: dict[str, Callable], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """The seconds of each work in each round; every other round runs in the opposite order."""
    seconds = {name: [] for name in works}
    for round_index in range(repeats):
        names = list(works) if round_index % 2 == 0 else list(reversed(works))
        for name in names:
            seconds[name].append(seconds_of(works[name], device)[0])
    return seconds


def count_synchronizations(work: Callable[[], object], device: torch.device) -> int | None:
    """How often the host waits for the device; `None` on a CPU."""
    if device.type != "cuda":
        return None
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum("synchronizing CUDA operation" in str(one.message) for one in caught)


def with_peak_memory(work: Callable[[], object], device: torch.device) -> tuple[object, int | None]:
    """The result of the work, and the largest growth of the allocated memory in bytes."""
    if device.type != "cuda":
        return work(), None
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    result = work()
    return result, torch.cuda.max_memory_allocated(device) - before


def summary(values: list[float]) -> dict[str, float]:
    """The median, and the 10th and 90th percentile."""
    p10, median, p90 = (
        torch.tensor(values, dtype=torch.double).quantile(torch.tensor([0.1, 0.5, 0.9]).double()).tolist()
    )
    return rounded({"median": median, "p10": p10, "p90": p90})
