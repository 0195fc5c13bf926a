# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Finds and loads a checkpoint with its tokenizer: a whole one, or an adapter with the checkpoint below it."""

import warnings
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoProcessor, AutoTokenizer, PreTrainedTokenizerBase

from .models.configuration_llada import LLaDAConfig
from .models.configuration_llada_v import LLaDAVConfig
from .models.modeling_llada import LLaDAForMaskedLM
from .models.processing_llada_v import LLaDAVProcessor
from .prompt_fields import ADAPTER_FILE, FILE_NAME, find_base, find_file, read_json


def load_checkpoint(
    name: str | Path, device: str | torch.device | None = None, dtype: str | None = None
) -> tuple[LLaDAForMaskedLM, PreTrainedTokenizerBase]:
    """
    Loads a checkpoint and its tokenizer. An adapter is merged into the checkpoint that it was trained on. See
    [`load_with_processor`] for images.

    Args:
        name (`str` or `Path`):
            A folder or a Hub id.
        device (`str` or `torch.device`, *optional*):
            The device of the model. By default an accelerator if there is one.
        dtype (`str`, *optional*):
            The dtype of the model. By default float32 on the CPU, and that of the checkpoint elsewhere.

    Returns:
        `tuple[LLaDAForMaskedLM, PreTrainedTokenizerBase]`: The model in evaluation mode, and its tokenizer.

    Raises:
        `ValueError`: if the device is not available, if the checkpoint cannot be read, or if it is not a LLaDA model.

    Example:

    ```python
    >>> from modeling_llada.loading import load_checkpoint

    >>> model, tokenizer = load_checkpoint("checkpoints/llada-poet", device="cpu")
    ```
    """
    device = find_device(device)
    dtype = dtype or ("float32" if device.type == "cpu" else "auto")
    name = folder_or_id(name)
    # A damaged file can make the libraries raise anything.
    try:
        model, tokenizer = read_checkpoint(name, dtype)
    except Exception as error:
        raise cannot_load(name, error) from error
    return model.to(device).eval(), tokenizer


def load_with_processor(
    name: str | Path, device: str | torch.device | None = None, dtype: str | None = None
) -> tuple[LLaDAForMaskedLM, PreTrainedTokenizerBase | LLaDAVProcessor]:
    """
    Loads a checkpoint and what prepares its inputs: the processor of a model that sees images, or else the tokenizer.

    Args:
        name (`str` or `Path`), device (`str` or `torch.device`, *optional*), dtype (`str`, *optional*):
            As in [`load_checkpoint`].

    Returns:
        `tuple[LLaDAForMaskedLM, PreTrainedTokenizerBase | LLaDAVProcessor]`: The model in evaluation mode, and its
        tokenizer or processor. [`tokenizer_of`] gives the tokenizer of both.

    Raises:
        `ValueError`: as [`load_checkpoint`] does.

    Example:

    ```python
    >>> from modeling_llada.loading import load_with_processor

    >>> model, processor = load_with_processor("GSAI-ML/LLaDA-V")
    >>> content = [{"type": "image", "image": "photo.jpg"}, {"type": "text", "text": "What is in the picture?"}]
    >>> inputs = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=True, return_dict=True,
    ...                                        return_tensors="pt", add_generation_prompt=True)
    ```
    """
    model, tokenizer = load_checkpoint(name, device, dtype)
    return model, load_processor(name) or tokenizer


def tokenizer_of(processor: PreTrainedTokenizerBase | LLaDAVProcessor) -> PreTrainedTokenizerBase:
    """The tokenizer of a processor, or a tokenizer itself."""
    return getattr(processor, "tokenizer", processor)


def sees_images(name: str | Path) -> bool:
    """Whether a checkpoint, or that below an adapter, is for images too. Only its config.json is read."""
    return isinstance(AutoConfig.from_pretrained(find_base(name) or name), LLaDAVConfig)


def folder_or_id(name: str | Path) -> str:
    """The path of a folder or file that exists, or else a Hub id. Raises a `ValueError` for what can only be a path."""
    name, path = str(name), Path(name).expanduser()
    if path.exists():
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"cannot load {name!r}: there is no such folder.")
    return name


def cannot_load(name: str, error: Exception) -> ValueError:
    """What to raise for an error of the libraries."""
    return ValueError(f"cannot load {name!r}: {reason_of(error)}.")


def reason_of(error: Exception) -> str:
    """The first line of an error of the libraries, and the second if the first one announces it."""
    first, *others = str(error).strip().split("\n")
    if first.endswith(":") and others:
        first += f" {others[0].strip()}"
    return first.rstrip(".") or type(error).__name__


def read_checkpoint(name: str, dtype: str) -> tuple[LLaDAForMaskedLM, PreTrainedTokenizerBase]:
    """Reads a checkpoint onto the CPU. A damaged file can make the libraries raise any error."""
    base = check_base(find_base(name))
    whole = base or name
    config = AutoConfig.from_pretrained(whole)
    if not isinstance(config, LLaDAConfig):
        raise ValueError(f"it is a model of the type {config.model_type!r}, not LLaDA")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError):
        if base is None:
            raise
        tokenizer = AutoTokenizer.from_pretrained(base)  # an adapter may be saved without one
    model = AutoModelForMaskedLM.from_pretrained(whole, config=config, dtype=dtype)
    find_file(name, FILE_NAME)  # downloads it, so that the next command knows the prompt fields
    return (model if base is None else merge_adapter(model, name)), tokenizer


def load_processor(name: str | Path) -> LLaDAVProcessor | None:
    """
    Loads the processor of a checkpoint that sees images. An adapter has its own, or that of the checkpoint below it.

    Args:
        name (`str` or `Path`):
            A folder or a Hub id.

    Returns:
        `LLaDAVProcessor`, or `None` if the checkpoint reads text alone.

    Raises:
        `ValueError`: if it cannot be read.

    Example:

    ```python
    >>> from modeling_llada.loading import load_processor

    >>> load_processor("checkpoints/llada-poet") is None
    True
    ```
    """
    name = str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else str(name)
    try:
        if not sees_images(name):
            return None
        has_own = find_file(name, "processor_config.json") is not None
        return AutoProcessor.from_pretrained(name if has_own else find_base(name) or name)
    except Exception as error:
        raise cannot_load(name, error) from error


def check_base(base: str | None) -> str | None:
    """Returns the checkpoint below an adapter. An adapter may have moved to where its base is not."""
    if base is not None:
        try:
            AutoConfig.from_pretrained(base)
        except OSError as error:
            raise ValueError(
                f"{ADAPTER_FILE} names {base!r} as the checkpoint below the adapter, which is no folder here and was not "
                "found on the Hub. Correct `base_model_name_or_path` there, or put the folder beside that of the adapter"
            ) from error
    return base


def merge_adapter(model: LLaDAForMaskedLM, adapter: str) -> LLaDAForMaskedLM:
    """
    Merges a PEFT adapter into the weights of a model, and takes over its generation config if it has one.

    Raises:
        `ValueError`: if the adapter has weights for other modules, or cannot be merged.
    """
    from peft import PeftModel
    from peft.utils import get_peft_model_state_dict, load_peft_weights

    from .adapters.checks import check_config, check_saved_modules, check_weights

    config = read_json(adapter, ADAPTER_FILE, download=True)
    check_config(config)
    check_saved_modules(config, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns about missing weights, which are an error here
        try:
            model = PeftModel.from_pretrained(model, adapter)
            weights = load_peft_weights(adapter, device="cpu")
            check_weights(weights)
            fits = get_peft_model_state_dict(model).keys() == weights.keys()
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                "its weights are not those of the modules of this model (if the adapter was trained with the official "
                "code, rename them with `llada convert-adapter`)"
            )
        if not hasattr(model, "merge_and_unload"):
            kind = model.active_peft_config.peft_type.value
            raise ValueError(f"an adapter of the type {kind} cannot be merged into weights")
        model = model.merge_and_unload()
    model.adjust_generation_fn(None, False, None, adapter)
    return model


def find_device(name: str | torch.device | None = None) -> torch.device:
    """
    Finds a device.

    Args:
        name (`str` or `torch.device`, *optional*):
            The device. By default the accelerator if there is one, else the CPU.

    Raises:
        `ValueError`: if the device is not available.
    """
    if name is None:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"`device` {str(name)!r} is not available here: leave it out, or use cpu.") from error
    return device
