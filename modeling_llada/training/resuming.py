# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Finds the last complete checkpoint of a run, and loads checkpoints whose weights have the official names."""

import re
from pathlib import Path

from accelerate.utils import is_peft_model
from transformers import PreTrainedModel


class OfficialCheckpoints:
    """
    A mixin for trainers, placed before [`Trainer`] in the bases.

    Trainer loads tensors by the names in the file, and only warns if none fits. Saved models have the official names, which
    `from_pretrained` translates. Adapters, and the shards of FSDP and DeepSpeed, are loaded by Trainer itself.
    """

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs):
        """
        Trains; see [`Trainer.train`].

        Args:
            resume_from_checkpoint (`str` or `bool`, *optional*):
                A checkpoint folder, or `True` for the last complete one in `args.output_dir`.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = find_last_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise ValueError(
                    f"`resume_from_checkpoint=True` needs a complete checkpoint in {self.args.output_dir!r}, but there is "
                    "none. Leave it out to start from the beginning."
                )
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: PreTrainedModel | None = None) -> None:
        model = self.model if model is None else model
        if self._has_files_of_its_own(model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(model, resume_from_checkpoint)

    def _load_best_model(self) -> None:
        if self._has_files_of_its_own(self.model):
            super()._load_best_model()
        else:
            load_weights(self.model, self.state.best_model_checkpoint)

    def _has_files_of_its_own(self, model) -> bool:
        return self.is_fsdp_enabled or self.is_deepspeed_enabled or is_peft_model(model)


def load_weights(model: PreTrainedModel, folder: str) -> None:
    """Copies the weights of a saved checkpoint into a model of the same shape."""
    saved = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())


def find_last_checkpoint(output_dir: str | Path) -> str | None:
    """The last complete checkpoint in a folder, or `None`."""
    # Trainer writes trainer_state.json last, so a checkpoint without it is not complete.
    folders = [state.parent for state in Path(output_dir).glob("checkpoint-*/trainer_state.json")]
    # Folders with other names, such as checkpoint-best, do not belong to the run.
    steps = {re.fullmatch(r"checkpoint-([0-9]+)", folder.name): folder for folder in folders}
    steps = {int(found[1]): folder for found, folder in steps.items() if found}
    return str(steps[max(steps)]) if steps else None
