# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""The parts that a LLaDA-V is put together from: a SigLIP tower, and the projector of stage 1."""

import os
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import SiglipVisionModel

from .conversion_llada_v import rename_public_keys


PROJECTOR = "multi_modal_projector."


def read_tower(vision_model: str | os.PathLike | SiglipVisionModel, dtype: torch.dtype) -> SiglipVisionModel:
    """
    The vision tower of a SigLIP model. One with a head loses it, and the last layer, whose output only the head reads.

    Raises:
        `ValueError`: if the checkpoint lacks weights of the tower.
    """
    if not isinstance(vision_model, SiglipVisionModel):
        folder = vision_model
        vision_model, info = SiglipVisionModel.from_pretrained(folder, dtype=dtype, output_loading_info=True)
        if info["missing_keys"]:
            raise ValueError(
                f"`vision_model={str(folder)!r}` lacks {len(info['missing_keys'])} weights of a `SiglipVisionModel`, such as "
                f"{min(info['missing_keys'])}. Fetch it again, or pass a folder of a `SiglipModel` or `SiglipVisionModel`."
            )
    config = type(vision_model.config).from_dict(vision_model.config.to_dict())
    if getattr(config, "vision_use_head", True):
        config.vision_use_head = False
        config.num_hidden_layers -= 1
    tower = SiglipVisionModel(config).to(dtype)
    stored = vision_model.state_dict()
    tower.load_state_dict({name: stored[name] for name in tower.state_dict()})
    return tower


def read_projector(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """
    The weights of a projector under the names of its module, from a file or from the folder of stage 1.

    Raises:
        `ValueError`: if there is no such file, if it is damaged, if it has anything but tensors, or tensors of other modules.
    """
    found = Path(path).expanduser()
    if found.is_dir():
        names = ("mm_projector.bin", "mm_projector.safetensors")
        found = next((found / name for name in names if (found / name).is_file()), found / names[0])
    if not found.is_file():
        raise ValueError(f"`path` must be a file, or a folder with mm_projector.bin, but there is no {str(found)!r}.")
    try:
        # `weights_only` builds tensors and nothing else: a pickle can ask for any call.
        is_pickle = found.suffix != ".safetensors"
        tensors = torch.load(found, map_location="cpu", weights_only=True) if is_pickle else load_file(found)
    except Exception as error:  # a damaged file can make the libraries raise anything
        raise ValueError(
            f"`path={str(path)!r}` is damaged, or holds more than tensors, which is not read, since it could run code. Fetch "
            "it again, or save its tensors alone."
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ValueError(f"`path={str(path)!r}` must hold tensors by name, but holds other things.")
    weights = {name.removeprefix("model."): value for name, value in tensors.items()}
    rename_public_keys(weights, "")
    others = [name for name in weights if not name.startswith(PROJECTOR)]
    if others or not weights:
        raise ValueError(
            f"`path={str(path)!r}` must hold a projector alone (model.mm_projector.0.weight, ...), but has "
            f"{', '.join(sorted(others)[:4]) or 'no tensors'}. Load a whole checkpoint with `from_pretrained`."
        )
    return {name.removeprefix(PROJECTOR): value for name, value in weights.items()}


def check_projector(path: str | os.PathLike, weights: dict[str, torch.Tensor], module: torch.nn.Module) -> None:
    """Raises a `ValueError` unless the weights have the names and the shapes of the module."""
    expected, got = (
        {name: tuple(value.shape) for name, value in state.items()} for state in (module.state_dict(), weights)
    )
    if expected != got:
        wrong = sorted(name for name in expected | got if expected.get(name) != got.get(name))[0]
        raise ValueError(
            f"`path={str(path)!r}` does not fit this model: `{wrong}` has the shape {got.get(wrong)} there and "
            f"{expected.get(wrong)} here. It belongs to another vision tower or language model."
        )


__all__ = ["check_projector", "read_projector", "read_tower"]
