# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Finding and loading the checkpoint of a command: a whole one, or an adapter and the one below it."""

import contextlib
import json
import logging
import os
import warnings
from pathlib import Path

from .errors import CommandError
from .parsing import CommandParser


SHIPPED_CHECKPOINTS = "checkpoints"
SHIPPED_CHECKPOINT = "llada-poet"
NOISY_LOGGERS = ("bitsandbytes", "torchao", "torch.utils._pytree")  # they speak of kernels that nothing here uses


def add_model_arguments(parser: CommandParser, shipped: str = SHIPPED_CHECKPOINT) -> None:
    """The options that every command with a model has.

    Args:
        parser ([`CommandParser`]):
            The parser of the command.
        shipped (`str`, *optional*):
            The shipped checkpoint that the command uses by default.
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        metavar="PATH_OR_ID",
        help="checkpoint or PEFT adapter: a folder or a Hub id (default: $LLADA_MODEL, else "
        f"{SHIPPED_CHECKPOINTS}/{shipped} of the clone)",
    )
    group.add_argument("--device", help="for instance cpu, cuda or cuda:1 (default: an accelerator if there is one)")
    group.add_argument(
        "--dtype",
        choices=["auto", "float32", "bfloat16", "float16"],
        help="auto: that of the checkpoint (default: float32 on the CPU, else auto)",
    )


def find_checkpoint(name: str | None, shipped: str = SHIPPED_CHECKPOINT) -> str:
    """The checkpoint to use: the one that is named, that of `LLADA_MODEL`, or the shipped one.

    Args:
        name (`str`, *optional*):
            The value of `--model`.
        shipped (`str`, *optional*):
            The name of the shipped one.

    Returns:
        `str`: A folder or a Hub id.

    Raises:
        `CommandError`: if none is named, and the package was not installed from a clone that holds the shipped one.
    """
    name = name or os.environ.get("LLADA_MODEL")
    if name:
        return name
    folder = Path(__file__).parent.parent / SHIPPED_CHECKPOINTS / shipped
    if folder.is_dir():
        return str(folder)
    raise CommandError(
        f"no checkpoint: give one with `--model PATH_OR_ID` or in the environment variable LLADA_MODEL. The shipped "
        f"one, {SHIPPED_CHECKPOINTS}/{shipped}, is found when the package was installed from a clone with `pip install -e .`."
    )


def quiet_libraries() -> None:
    """Imports the library, without what others have to say about it. The terminal belongs to the text."""
    import torch  # noqa: F401  it sets the levels of its loggers

    for logger in NOISY_LOGGERS:
        logging.getLogger(logger).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    import modeling_llada  # noqa: F401

    transformers_logging.disable_progress_bar()


def load_checkpoint(name: str, device: str | None, dtype: str | None):
    """Loads a checkpoint and its tokenizer. An adapter is merged into the checkpoint that it was trained on.

    Args:
        name (`str`):
            A folder or a Hub id.
        device (`str`, *optional*):
            Where the model goes; by default to an accelerator if there is one.
        dtype (`str`, *optional*):
            Its dtype; by default float32 on the CPU and that of the checkpoint elsewhere.

    Returns:
        `tuple`: The [`LLaDAForMaskedLM`] and its tokenizer.

    Raises:
        `CommandError`: if the device is not there, the checkpoint cannot be read, or it is no LLaDA model.
    """
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils.peft_utils import find_adapter_config_file

    from modeling_llada import LLaDAConfig, LLaDAForMaskedLM

    device = find_device(device)
    dtype = dtype or ("float32" if device.type == "cpu" else "auto")
    folder = Path(name).expanduser()
    name = str(folder) if folder.is_dir() else name
    if not folder.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise CommandError(f"cannot load {name!r}: there is no such folder.")
    # Whatever a damaged file makes the libraries raise, the user can only give another one.
    try:
        adapter_config = find_adapter_config_file(name)
        base = name if adapter_config is None else base_of(name, adapter_config)
        config = AutoConfig.from_pretrained(base)
        if not isinstance(config, LLaDAConfig):
            raise CommandError(f"it is a model of the type {config.model_type!r}, not LLaDA")
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError):
            if base == name:
                raise
            tokenizer = AutoTokenizer.from_pretrained(base)  # not every adapter is saved with one
        model = LLaDAForMaskedLM.from_pretrained(base, config=config, dtype=dtype)
        if adapter_config is not None:
            model = merge_adapter(model, name)
    except Exception as error:
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise CommandError(
            f"cannot load {name!r}: {reason}. `--model` takes a Hub id, or a folder with config.json, the tokenizer "
            "and the weights, or with those of an adapter."
        ) from error
    return model.to(device).eval(), tokenizer


def base_of(adapter: str, adapter_config: str) -> str:
    """The checkpoint that an adapter was trained on: where its config says, or beside it under the same name."""
    base = json.loads(Path(adapter_config).read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise CommandError("its adapter_config.json does not name the checkpoint below it (`base_model_name_or_path`)")
    beside = Path(adapter).resolve().parent / Path(base).name
    return str(beside) if not Path(base).is_dir() and beside.is_dir() else base


def merge_adapter(model, adapter: str):
    """The model with the weights of the adapter, and its generation config where it has one."""
    from peft import PeftModel
    from peft.utils import get_peft_model_state_dict, load_peft_weights

    from modeling_llada import LLaDAGenerationConfig

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of missing weights, which are an error here
        model = PeftModel.from_pretrained(model, adapter)
        if get_peft_model_state_dict(model).keys() != load_peft_weights(adapter, device="cpu").keys():
            raise CommandError(
                "its weights are not those of the modules of this model (an adapter of the official code is renamed by "
                "`llada convert-adapter`)"
            )
        model = model.merge_and_unload()
    with contextlib.suppress(OSError):  # there is none
        model.generation_config = LLaDAGenerationConfig.from_pretrained(adapter)
    return model


def find_device(name: str | None):
    """The device of that name, or else the accelerator, or else the CPU.

    Args:
        name (`str`, *optional*):
            The value of `--device`.

    Returns:
        `torch.device`: A device that is there.

    Raises:
        `CommandError`: if there is none of that name.
    """
    import torch

    if name is None:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CommandError(f"`--device` {name!r} is not available here: leave it out, or use cpu.") from error
    return device
