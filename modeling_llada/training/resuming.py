# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Resumes a run from its last complete checkpoint. A file can be cut or empty after a power failure or on a full disk."""

import json
import re
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers.utils import logging

from ..writing import check_writable


logger = logging.get_logger(__name__)

# The parts of a checkpoint. Trainer would go on without the last three, with new ones.
PARTS = {
    "trainer_state.json": ["trainer_state.json"],
    "model.safetensors": ["model*.safetensors", "pytorch_model*", "adapter_model.*", "*/adapter_model.*"],
    "optimizer.pt": ["optimizer*", "rank*-optimizer.pt"],
    "scheduler.pt": ["scheduler.pt"],
    "rng_state.pth": ["rng_state*.pth"],
}


class CompleteCheckpoints:
    """
    A mixin for trainers, placed before [`Trainer`] in the bases: a damaged checkpoint is skipped, or refused by name, and a
    folder that cannot be written is noticed before the first step.
    """

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs):
        """
        Trains; see [`Trainer.train`].

        Args:
            resume_from_checkpoint (`str` or `bool`, *optional*):
                A checkpoint folder, or `True` for the last complete one in `args.output_dir`.

        Raises:
            `ValueError`: if the checkpoint is not complete, or if there is none.
            `OSError`: if nothing can be written to `args.output_dir`.
        """
        if self.args.should_save:
            check_writable(Path(self.args.output_dir, "training_args.bin"))
        if resume_from_checkpoint is True:
            resume_from_checkpoint = find_last_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise ValueError(
                    f"`resume_from_checkpoint=True` needs a complete checkpoint in {self.args.output_dir!r}, but there is "
                    "none. Leave it out to start from the beginning."
                )
        elif resume_from_checkpoint:
            check_checkpoint(resume_from_checkpoint)
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        # PEFT loads an adapter in float32, but TRL trains it in bfloat16 if the model is quantized.
        dtypes = {
            name: parameter.dtype for name, parameter in self.model.named_parameters() if parameter.requires_grad
        }
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, parameter in self.model.named_parameters():
            if dtypes.get(name, parameter.dtype) != parameter.dtype:
                parameter.data = parameter.data.to(dtypes[name])


def find_last_checkpoint(output_dir: str | Path) -> str | None:
    """The last complete checkpoint in a folder, or `None`. A warning names each later one that is damaged, and its file."""
    for folder in checkpoints_of(output_dir):
        problem = problem_of(folder)
        if problem is None:
            return str(folder)
        logger.warning(f"{folder} is no complete checkpoint and is skipped: {problem}.")
    return None


def check_checkpoint(folder: str | Path) -> None:
    """Raises a `ValueError` that names the damaged file of a checkpoint, and the last complete one beside it."""
    problem = problem_of(Path(folder))
    if problem is None:
        return
    complete = next((str(other) for other in checkpoints_of(Path(folder).parent) if problem_of(other) is None), None)
    raise ValueError(
        f"`resume_from_checkpoint` must be a complete checkpoint, but in {str(folder)!r} {problem}. "
        + (f"The last complete one is {complete!r}." if complete else "There is no complete one beside it.")
    )


def checkpoints_of(output_dir: str | Path) -> list[Path]:
    """The checkpoints of a run, the last one first. Folders with other names, such as checkpoint-best, do not belong to it."""
    steps = {path: re.fullmatch(r"checkpoint-([0-9]+)", path.name) for path in Path(output_dir).glob("checkpoint-*/")}
    return sorted((path for path, step in steps.items() if step), key=lambda path: int(steps[path][1]), reverse=True)


def problem_of(folder: Path) -> str | None:
    """What a checkpoint lacks, or its first damaged file. Only beginnings and ends of large files are read."""
    # DeepSpeed has all but the state of the trainer in a folder of its own.
    names = ["trainer_state.json"] if any(folder.glob("global_step*")) else PARTS
    for name in names:
        if not any(any(folder.glob(pattern)) for pattern in PARTS[name]):
            return f"{name} is missing" + " (`save_only_model=True` writes none)" * (name == "optimizer.pt")
    damaged = next((path.name for path in sorted(folder.rglob("*")) if not is_undamaged(path)), None)
    return None if damaged is None else f"{damaged} is damaged"


def is_undamaged(path: Path) -> bool:
    """Whether a file can be opened, and has all the files that it names."""
    try:
        if path.name.endswith(".index.json"):
            return all((path.parent / name).is_file() for name in json.loads(path.read_bytes())["weight_map"].values())
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".safetensors":
            with safe_open(path, "pt"):
                pass
        elif path.suffix in (".pt", ".pth", ".bin"):
            return zipfile.is_zipfile(path)  # as `torch.save` writes it, with the table of contents at the end
    except (OSError, ValueError, KeyError, SafetensorError):
        return False
    return True
