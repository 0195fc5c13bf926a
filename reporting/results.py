# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Files of results: the machine and the command that made them, and the results so far of a run that can be resumed."""

import json
import os
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from modeling_llada.reading import read_json
from modeling_llada.writing import write_atomically


def describe_machine(device: torch.device | str) -> dict:
    """The name of the processor that does the work, and what its speed depends on."""
    device, cpu = torch.device(device), platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    machine = {"name": cpu, "cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        machine |= {"name": torch.cuda.get_device_name(device), "memory_gib": round(memory / 2**30, 1)}
    return machine


def find_versions(*packages: str) -> dict[str, str]:
    """The versions of Python, of what every run needs, and of further packages, where they are installed."""
    versions = {"Python": platform.python_version()}
    for name in ("torch", "transformers", "torchao", "modeling-llada", *packages):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def command_of(module: str, arguments: list[str]) -> str:
    """The command line of a run. Of a full path only the name is kept, since the folder means nothing elsewhere."""
    names = [Path(one).name if Path(one).is_absolute() else one for one in arguments]
    return shlex.join(["python", "-m", module, *names])


def rounded(value, digits: int = 5):
    """The value with every float in it rounded to some significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def load(path: Path | None, settings: dict, **values) -> dict:
    """
    The results so far of a run with these settings. Without a file they are the settings, no seconds, and the given values.

    Exits if the file has no results or other settings, because results of two runs must not be mixed.
    """
    if path is None or not path.exists():
        return {"settings": settings, "seconds": 0.0, **values}
    try:
        found = read_json(path, dict)
    except ValueError as error:
        raise SystemExit(f"`--json` must name a file of results: {error}") from error
    if found.get("settings") != settings:
        raise SystemExit(
            f"`--json` must name a file of the same run: {path} has {found.get('settings')}, but got {settings}. "
            "Name another file, or delete it."
        )
    return found


def save(path: Path, values: dict | list) -> None:
    """Writes results as JSON. The file is complete at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(values, ensure_ascii=False, indent=1) + "\n")
