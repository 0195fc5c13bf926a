# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Weights in, a complete folder out.

Both layouts have the official names on disk, in config.json and in the weights. `"transformers"` adds the code of the
model, for `trust_remote_code=True`; `"official"` is what the official code, and converters and engines that were
written for it, expect.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from transformers import AutoConfig
from transformers.utils import cached_file

from ..models.configuration_llada import LLaDAConfig
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.modeling_llada import LLaDAForMaskedLM
from ..writing import check_destination, complete_or_absent
from .model_card import write_model_card
from .tokenizer import load_tokenizer, save_tokenizer, set_chat_template


LAYOUTS = ("transformers", "official")
DTYPES = ("auto", "bfloat16", "float16", "float32")
SHARD_SIZE = re.compile(r"\d+(\.\d+)?(KB|MB|GB|TB)")
OFFICIAL_ARCHITECTURE = "LLaDAModelLM"
NUM_NAMES = 10  # that an error lists


@dataclass
class ExportedCheckpoint:
    """
    What was written.

    Args:
        folder (`Path`):
            The folder.
        num_parameters (`int`):
            Parameters of the model, a tied head counted once.
        dtype (`str`):
            Their dtype.
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
    Exports an official checkpoint, or one of ours, as a complete folder for the Hub.

    The folder is complete or absent: every check comes before the first file, and the folder gets its name last.

    Args:
        source (`str` or `Path`):
            The checkpoint: a folder or a Hub id.
        destination (`str` or `Path`):
            The folder to write.
        layout (`str`, *optional*, defaults to `"transformers"`):
            `"transformers"`: with the code of the model, for the Auto classes with `trust_remote_code=True`.
            `"official"`: config, weights and tokenizer as the official code and llama.cpp expect them.
        dtype (`str`, *optional*, defaults to `"auto"`):
            `"auto"` is that of the weights; or `"bfloat16"`, `"float16"`, `"float32"`.
        max_shard_size (`str`, *optional*, defaults to `"5GB"`):
            The largest file of weights.
        tokenizer (`str` or `Path`, *optional*):
            Where the tokenizer comes from: a folder or a Hub id. By default `source`.
        include_tokenizer (`bool`, *optional*, defaults to `True`):
            Whether the folder has a tokenizer.
        license (`str`, *optional*):
            The licence in the model card.
        base_model (`str`, *optional*):
            The Hub id in the model card of the model that this one comes from.
        name (`str`, *optional*):
            What the model card loads: the Hub id of the upload. By default the name of the folder.
        overwrite (`bool`, *optional*, defaults to `False`):
            Whether an exported folder that is there is replaced, once the new one is complete.

    Returns:
        [`ExportedCheckpoint`]: The folder, and what is to be said about it.

    Raises:
        `ValueError`: if an argument is out of range, if a weight is missing, unexpected or of another shape than the
            config says, if there is no tokenizer or it does not fit, or if the destination has files.
        `OSError`: if a file is damaged, or the disk too small.

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

    # Before the weights, which can take minutes.
    config = load_config(source, layout)
    notes = check_generation_config(source)
    card = read_file(source, "README.md")
    if card is not None and (license is not None or base_model is not None):
        raise ValueError("`license` and `base_model` are for a new model card, but the source has one. Edit that one.")
    loaded_tokenizer = None
    if not include_tokenizer:
        notes.append("tokenizer: none, as asked")
    else:
        tokenizer_source = source if tokenizer is None else str(Path(tokenizer).expanduser())
        loaded_tokenizer = load_tokenizer(tokenizer_source, config)
        notes.append(f"mask token: {loaded_tokenizer.mask_token} ({config.mask_token_id})")
        notes.append(set_chat_template(loaded_tokenizer))
    notes.append(say_about_card(card, layout))

    model = load_weights(source, config, dtype)
    check_disk_space(destination, model)
    with complete_or_absent(destination) as folder:
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        if layout == "official":
            make_official(folder)
        if loaded_tokenizer is not None:
            save_tokenizer(loaded_tokenizer, folder, layout)
        if card is None:
            card = write_model_card(model, loaded_tokenizer, name or destination.name, layout, license, base_model)
        (folder / "README.md").write_text(card, encoding="utf-8")
        num_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return ExportedCheckpoint(
        destination, model.num_parameters(), str(model.dtype).removeprefix("torch."), num_bytes, notes
    )


def check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{argument}` must be one of {', '.join(choices)}, but got {value!r}.")


def load_config(source: str, layout: str) -> LLaDAConfig:
    """
    Reads the config of a checkpoint that can be exported in this layout.

    Raises:
        `ValueError`: if it cannot be read, or is no LLaDA model, or quantized, or has no mask token, or cannot be
            said in official fields.
    """
    # Without a question whether code of the checkpoint may run: only our classes can be exported.
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, TypeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"`source={source!r}` has no config.json that this package can read: {reason}") from error
    if config.model_type != "llada":
        raise ValueError(f"`source={source!r}` is a model of the type {config.model_type!r}, not LLaDA.")
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(f"`source={source!r}` is quantized. Export the checkpoint that it was made from.")
    if config.mask_token_id is None:
        raise ValueError(f"`source={source!r}` has no `mask_token_id` in its config.json. Add it there.")
    if layout == "official" and config.rope_parameters["rope_type"] != "default":
        raise ValueError(
            f"`layout='official'` has no field for scaled RoPE, but the config has {config.rope_parameters}. Use the "
            "layout 'transformers'."
        )
    return config


def load_weights(source: str, config: LLaDAConfig, dtype: str) -> LLaDAForMaskedLM:
    """
    Loads the mask predictor, and nothing but it: every weight is there, and no other one.

    Args:
        source (`str`):
            A folder or a Hub id.
        config ([`LLaDAConfig`]):
            Its config, changed in place: it gets the dtype of the weights.
        dtype (`str`):
            The dtype to load in; `"auto"` is that of the weights.

    Returns:
        [`LLaDAForMaskedLM`]: The model.

    Raises:
        `ValueError`: names the weights that are missing, unexpected, or of another shape than the config says, and
            says so if the config ties a head that is not the embedding.
    """
    # With `"auto"` the library would believe the config, which may round the weights, or double their size.
    config.dtype = None
    try:
        model, info = LLaDAForMaskedLM.from_pretrained(
            source, config=config, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"`source={source!r}` has a damaged model.safetensors.index.json: {error!r}. Fetch the checkpoint again."
        ) from error
    mismatched = [f"{name} {tuple(stored)} instead of {tuple(ours)}" for name, stored, ours in info["mismatched_keys"]]
    problems = {"missing": info["missing_keys"], "unexpected": info["unexpected_keys"], "of another shape": mismatched}
    found = [f"{len(names)} {problem} ({shorten(names)})" for problem, names in problems.items() if names]
    if found:
        raise ValueError(
            f"The weights of `source={source!r}` are not those of its config.json: {'; '.join(found)}. Nothing was "
            "written."
        )
    if config.tie_word_embeddings and model.lm_head.weight is not model.model.embed_tokens.weight:
        raise ValueError(
            f"The config.json of `source={source!r}` ties the output head to the embedding, but the weights have a head "
            "of their own. Set `weight_tying` to false there. Nothing was written."
        )
    return model


def shorten(names) -> str:
    """The first names of a list."""
    names = sorted(names)
    return ", ".join(names[:NUM_NAMES]) + (", ..." if len(names) > NUM_NAMES else "")


def check_disk_space(destination: Path, model: LLaDAForMaskedLM) -> None:
    """Raises an `OSError` if the weights do not fit on the disk of the destination."""
    folder = next(path for path in (destination, *destination.parents) if path.exists())
    needed, free = model.get_memory_footprint(), shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"The weights take {needed / 1e9:.1f} GB, but {str(folder)!r} has only {free / 1e9:.1f} GB left. Make room, "
            "or give another destination."
        )


def check_generation_config(source: str) -> list[str]:
    """
    Looks at generation_config.json before the library does, which takes its defaults for a damaged file, and drops
    options that we do not have with no more than a warning.

    Returns:
        `list[str]`: What will be left out, for the user.

    Raises:
        `ValueError`: if the file is damaged.
    """
    try:
        options = json.loads(read_file(source, "generation_config.json") or "{}")
        if not isinstance(options, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        raise ValueError(
            f"`source={source!r}` has a damaged generation_config.json: {error}. Repair it, or remove it to export the "
            "default options."
        ) from error
    try:
        LLaDAGenerationConfig.from_generation_config(SimpleNamespace(**options))
    except ValueError as error:
        return [f"generation config: options were left out: {error}"]
    return []


def read_file(source: str, name: str) -> str | None:
    """The text of a file of the source, if it has one."""
    path = cached_file(
        source, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    try:
        return None if path is None else Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"`source={source!r}` has a {name} that is no text in UTF-8. Repair it.") from error


def say_about_card(card: str | None, layout: str) -> str:
    """What becomes of the model card, for the user."""
    if card is None:
        return "model card: written"
    if layout == "official" and "trust_remote_code" in card:
        return "model card: kept, but it says trust_remote_code, and this layout has no code: edit it"
    return "model card: kept"


def make_official(folder: Path) -> None:
    """
    Turns a saved folder into the official layout: without our code, and with a config that names the official class.

    Args:
        folder (`Path`):
            What `save_pretrained` wrote.
    """
    for path in folder.glob("*_llada.py"):
        path.unlink()
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields.pop("auto_map", None)
    fields["architectures"] = [OFFICIAL_ARCHITECTURE]
    # The name of the field in transformers 4, which the official code needs; transformers 5 knows both.
    fields["torch_dtype"] = fields.pop("dtype")
    path.write_text(json.dumps(dict(sorted(fields.items())), indent=2) + "\n", encoding="utf-8")
