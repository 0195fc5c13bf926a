# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The export: from a checkpoint to a complete folder.

An adapter is merged into the checkpoint below it. Both layouts have the official names in config.json and in the weights.
`"transformers"` adds the code of the model, for `trust_remote_code=True`. `"official"` is the folder that the official code
reads, and converters and engines that were written for it.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..loading import check_base, merge_adapter
from ..models.configuration_llada import LLaDAConfig
from ..models.modeling_llada import LLaDAForMaskedLM
from ..prompt_fields import FILE_NAME as PROMPT_FIELDS_FILE
from ..prompt_fields import find_base, find_file, read_fields
from ..writing import check_destination, complete_or_absent
from .model_card import write_model_card
from .source import check_generation_config, load_config, load_weights, read_file
from .tokenizer import load_tokenizer, save_tokenizer, set_chat_template
from .vision import load_processor, make_public, stored_tensors


LAYOUTS = ("transformers", "official")
DTYPES = ("auto", "bfloat16", "float16", "float32")
SHARD_SIZE = re.compile(r"\d+(\.\d+)?(KB|MB|GB|TB)")


@dataclass
class ExportedCheckpoint:
    """
    An exported folder.

    Args:
        folder (`Path`):
            The folder.
        num_parameters (`int`):
            The number of parameters. A tied head counts once.
        dtype (`str`):
            The dtype of the parameters.
        num_bytes (`int`):
            The size of the folder.
        notes (`list[str]`):
            What was kept, replaced and left out, for the user.
    """

    folder: Path
    num_parameters: int
    dtype: str
    num_bytes: int
    notes: list[str]


def export_checkpoint(
    source: str | Path,
    destination: str | Path,
    layout: str = "transformers",
    dtype: str = "auto",
    max_shard_size: str = "5GB",
    tokenizer: str | Path | None = None,
    include_tokenizer: bool = True,
    license: str | None = None,
    base_model: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> ExportedCheckpoint:
    """
    Exports an official checkpoint, or a checkpoint of this package, as a complete folder for the Hub. An adapter is merged
    into the checkpoint that it was trained on.

    All checks come before the first file is written, and the folder appears only when it is complete.

    Args:
        source (`str` or `Path`):
            The checkpoint, or the PEFT adapter: a folder or a Hub id.
        destination (`str` or `Path`):
            The folder to write.
        layout (`str`, *optional*, defaults to `"transformers"`):
            `"transformers"`: with the code of the model, for the Auto classes with `trust_remote_code=True`.
            `"official"`: config, weights and tokenizer in the form that the official code and llama.cpp expect.
        dtype (`str`, *optional*, defaults to `"auto"`):
            `"bfloat16"`, `"float16"`, `"float32"`, or `"auto"` for the dtype of the weights.
        max_shard_size (`str`, *optional*, defaults to `"5GB"`):
            The size of the largest file of weights.
        tokenizer (`str` or `Path`, *optional*):
            The folder or Hub id of the tokenizer. By default `source`, or for an adapter without one the checkpoint below.
        include_tokenizer (`bool`, *optional*, defaults to `True`):
            Whether to export a tokenizer.
        license (`str`, *optional*):
            The licence in the model card.
        base_model (`str`, *optional*):
            The Hub id, in the model card, of the model that this one is derived from.
        name (`str`, *optional*):
            The Hub id that the model card loads. By default the name of the folder.
        overwrite (`bool`, *optional*, defaults to `False`):
            Whether to replace an existing export, once the new one is complete.

    Returns:
        [`ExportedCheckpoint`]: The folder, and notes for the user.

    Raises:
        `ValueError`: if an argument is out of range, if weights are missing, unexpected or of another shape than in the
            config, if there is no tokenizer or it does not fit the model, if an adapter does not fit the checkpoint below
            it, or if the destination has files.
        `OSError`: if a file is damaged or the disk is too small.

    Example:

    ```python
    >>> from modeling_llada.export import export_checkpoint

    >>> exported = export_checkpoint("checkpoints/llada-poet", "my-poet")  # doctest: +SKIP
    ```
    """
    check_choice("layout", layout, LAYOUTS)
    check_choice("dtype", dtype, DTYPES)
    if not SHARD_SIZE.fullmatch(max_shard_size):
        raise ValueError(f"`max_shard_size` must be a number with KB, MB, GB or TB, but got {max_shard_size!r}.")
    source_folder, destination = Path(source).expanduser(), Path(destination).expanduser().resolve()
    if source_folder.is_file():
        raise ValueError(f"`source` must be a folder or a Hub id, but {str(source)!r} is a file.")
    source = str(source_folder) if source_folder.is_dir() else str(source)
    check_destination(destination, source_folder.resolve(), overwrite, config_file="config.json")

    # The weights come last, because they can take minutes.
    base = check_base(find_base(source))
    whole = base or source
    config = load_config(whole, layout)
    notes = [] if base is None else [f"adapter: merged into {base}"]
    notes += check_generation_config(whole if find_file(source, "generation_config.json") is None else source)
    card = read_file(source, "README.md") if base is None else None  # that of an adapter does not describe a model
    if card is not None and (license is not None or base_model is not None):
        raise ValueError(
            "`license` and `base_model` are for a new model card, but the source has one. Leave them out and edit that one."
        )
    sees_images = config.model_type == "llava_llada"
    loaded_tokenizer = processor = None
    if include_tokenizer:
        tokenizer_source = whole if find_file(source, "tokenizer_config.json") is None else source
        if tokenizer is not None:
            tokenizer_source = str(Path(tokenizer).expanduser())
        loaded_tokenizer = load_tokenizer(tokenizer_source, config)
        notes.append(f"mask token: {loaded_tokenizer.mask_token} ({config.mask_token_id})")
        if sees_images and layout == "transformers":
            processor = load_processor(tokenizer_source, config, loaded_tokenizer)
            notes.append(f"processor: for tiles of {config.vision_config.image_size} pixels, with its chat template")
        else:
            notes.append(set_chat_template(loaded_tokenizer))
    else:
        notes.append("tokenizer: none, as asked")
    notes.append(describe_card(card, layout))

    model = load_weights(whole, config, dtype)
    if base is not None:
        model = merged(model, source, base)
    check_disk_space(destination, model)
    with complete_or_absent(destination) as folder:
        if sees_images:
            model.save_pretrained(folder, max_shard_size=max_shard_size, state_dict=stored_tensors(model, layout))
        else:
            model.save_pretrained(folder, max_shard_size=max_shard_size)
        if loaded_tokenizer is not None:
            save_tokenizer(loaded_tokenizer, folder, layout, processor)
        if layout == "official":
            notes += make_public(folder, config) if sees_images else make_official(folder, config)
        if card is None:
            card = write_model_card(model, loaded_tokenizer, name or destination.name, layout, license, base_model)
        (folder / "README.md").write_text(card, encoding="utf-8")
        if prompt_fields := read_fields(source):
            text = json.dumps(prompt_fields, indent=2, ensure_ascii=False) + "\n"
            (folder / PROMPT_FIELDS_FILE).write_text(text, encoding="utf-8")
        num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return ExportedCheckpoint(
        destination, model.num_parameters(), str(model.dtype).removeprefix("torch."), num_bytes, notes
    )


def merged(model: LLaDAForMaskedLM, adapter: str, base: str) -> LLaDAForMaskedLM:
    """The model with the adapter in its weights."""
    # PEFT raises many kinds of errors for an adapter that does not fit.
    try:
        return merge_adapter(model, adapter)
    except Exception as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise ValueError(
            f"`source={adapter!r}` cannot be merged into {base!r}: {reason}. Nothing was written."
        ) from error


def check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{argument}` must be one of {', '.join(choices)}, but got {value!r}.")


def check_disk_space(destination: Path, model: LLaDAForMaskedLM) -> None:
    """Raises an `OSError` if the disk of the destination is too small for the weights."""
    folder = next(path for path in (destination, *destination.parents) if path.exists())
    needed, free = model.get_memory_footprint(), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"the weights take {needed / 1e6:,.1f} MB, but {str(folder)!r} has only {free / 1e6:,.1f} MB left. "
            "Free some space, or give another destination."
        )


def describe_card(card: str | None, layout: str) -> str:
    """A note about the model card for the user."""
    if card is None:
        return "model card: written"
    if layout == "official" and "trust_remote_code" in card:
        return "model card: kept, but it says trust_remote_code, and this layout has no code: edit it"
    return "model card: kept"


def make_official(folder: Path, config: LLaDAConfig) -> list[str]:
    """Removes our code from a saved folder, and makes config.json name the official class. Returns notes for the user."""
    for path in folder.glob("*.py"):
        path.unlink()
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields.pop("auto_map", None)
    fields["architectures"] = [config.official_architecture]
    fields["model_type"] = config.official_model_type or config.model_type
    # The official code needs the field name of transformers 4. Version 5 reads both.
    fields["torch_dtype"] = fields.pop("dtype")
    path.write_text(json.dumps(dict(sorted(fields.items())), indent=2) + "\n", encoding="utf-8")
    return []
