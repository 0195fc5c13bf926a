# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""On what a result was measured."""

import platform
from pathlib import Path

import torch


def describe_machine(device: torch.device | str) -> dict:
    """The name of the processor, and the threads of a CPU or the memory of a GPU."""
    device = torch.device(device)
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        return {"name": torch.cuda.get_device_name(device), "memory_gib": round(memory / 2**30, 1)}
    names = []
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"name": names[0] if names else platform.machine(), "threads": torch.get_num_threads()}
