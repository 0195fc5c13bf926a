# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The model card that a trainer writes beside what it saves."""

import functools
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import ModelCard
from peft import PeftModel

from ..export.model_card import PAPER, TAGS, fill_card
from ..models.families_llada import TITLES
from ..prompt_fields import find_file
from ..writing import write_atomically


TRAINING = """## Training

Trained with `{trainer}` on {objective},
{start}. Steps: {steps:,}. Versions: {versions}."""
LIBRARIES = ("transformers", "torch", "peft")


class TrainingModelCard:
    """
    A mixin for trainers, placed before [`Trainer`] in the bases. A model that is saved on request, and a repository of the
    Hub, get a card that says what was trained and how it is loaded.
    """

    objective = f"the masked diffusion loss of {PAPER}"

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves the model with a model card; see [`Trainer.save_model`]."""
        super().save_model(output_dir, _internal_call=_internal_call)
        if not _internal_call:
            self.write_model_card(output_dir or self.args.output_dir)

    def create_model_card(
        self,
        model_name: str | None = None,
        dataset_name: str | None = None,
        tags: str | list[str] | None = None,
        license: str | None = None,
    ) -> None:
        """
        Writes the model card of the output folder, which `push_to_hub` uploads.

        Args:
            model_name (`str`, *optional*):
                The title. By default the name of the repository or of the folder.
            dataset_name (`str`, *optional*):
                The dataset that was trained on. A local file or folder is not named.
            tags (`str` or `list[str]`, *optional*):
                More tags.
            license (`str`, *optional*):
                The licence. By default that of the base model, if its card has one.
        """
        tags = [tags] if isinstance(tags, str) else list(tags or [])
        self.write_model_card(self.args.output_dir, model_name, dataset_name, tags, license)

    def write_model_card(
        self,
        folder: str,
        title: str | None = None,
        dataset: str | None = None,
        tags: list[str] | tuple[()] = (),
        license: str | None = None,
    ) -> None:
        """Writes the model card of a folder, with the arguments of `create_model_card`. An autoregressive twin gets none."""
        model, base = self.model, self.model.config._name_or_path
        if not self.is_world_process_zero() or model.config.model_type not in TITLES:
            return
        is_adapter = isinstance(model, PeftModel)
        metadata = {
            "tags": [
                *TAGS,
                *([model.active_peft_config.peft_type.value.lower()] if is_adapter else []),
                *getattr(self, "_tag_names", ()),
                *tags,
            ],
            "license": license or license_of(base),
            "base_model": base if base and not Path(base).is_dir() else None,
            "datasets": dataset if dataset and not Path(dataset).exists() else None,
        }
        origin = TRAINING.format(
            trainer=type(self).__name__,
            objective=self.objective,
            steps=self.state.global_step,
            start=f"from {Path(base).name}" if base else "from random weights",
            versions=", ".join(f"{library} {version(library)}" for library in LIBRARIES),
        )
        layout, name = "adapter" if is_adapter else "transformers", self.hub_model_id or str(folder)
        card = fill_card(model, self.processing_class, name, layout, origin, metadata, title)
        write_atomically(Path(folder) / "README.md", card)


@functools.cache
def license_of(checkpoint: str) -> str | None:
    """The licence in the card of a checkpoint, if it has both."""
    path = find_file(checkpoint, "README.md") if checkpoint else None
    return None if path is None else ModelCard.load(path).data.license
