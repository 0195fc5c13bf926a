# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a trainer is given: datasets, which error messages call by their names, and a model or the name of one."""

import copy
from collections.abc import Iterable

from accelerate import PartialState
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModel,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    Trainer,
)
from trl.trainer.utils import create_model_from_path

from ..progress import show_progress_lines
from .checks import check_prepared_model
from .configuration import LLaDASFTConfig
from .stages import VISION_PARTS, VISION_TYPE, sees_images


# How error messages call the datasets that TRL prepares. Others belong to a dictionary.
NAMES = {"train": "train_dataset", "eval": "eval_dataset", "test_dataset": "test_dataset"}


def name_of(dataset_name: str) -> str:
    """How error messages call a dataset that TRL prepares."""
    return NAMES.get(dataset_name, f"eval_dataset[{dataset_name!r}]")


def named(train_dataset: Dataset | None, eval_dataset: Dataset | dict | None) -> dict[str, Dataset]:
    """The given datasets, by the names that error messages call them."""
    if isinstance(eval_dataset, dict):
        datasets = {f"eval_dataset[{name!r}]": dataset for name, dataset in eval_dataset.items()}
    else:
        datasets = {"eval_dataset": eval_dataset}
    return {name: it for name, it in {"train_dataset": train_dataset, **datasets}.items() if it is not None}


def like(eval_dataset: Dataset | dict | None, datasets: Iterable[Dataset]) -> Dataset | dict[str, Dataset] | None:
    """Puts other datasets into the structure of `eval_dataset`."""
    if isinstance(eval_dataset, dict):
        return dict(zip(eval_dataset, datasets, strict=True))
    return next(iter(datasets), None)


def load_model(path: str, args: LLaDASFTConfig, quantization_config) -> PreTrainedModel:
    """Loads a model as [`~trl.SFTTrainer`] does, which would ask the config of our class for remote code."""
    options = dict(args.model_init_kwargs or {})
    if quantization_config is not None:
        options["quantization_config"] = _without_vision(quantization_config, path, options.get("revision"))
    if PartialState().use_distributed:
        options["device_map"] = None
    options.setdefault("trust_remote_code", args.trust_remote_code)
    return create_model_from_path(path, AutoModel, **options)


def _without_vision(quantization_config, path: str, revision: str | None):
    """Keeps the precision of the vision tower and the projector, which are small, and which an adapter may train in whole."""
    if getattr(quantization_config, "llm_int8_skip_modules", ()) is not None:
        return quantization_config
    if AutoConfig.from_pretrained(path, revision=revision or "main").model_type == VISION_TYPE:
        quantization_config = copy.copy(quantization_config)
        quantization_config.llm_int8_skip_modules = ["lm_head", *(f"model.{part}" for part in VISION_PARTS)]
    return quantization_config


def load_processing_class(
    model: PreTrainedModel, revision: str, trust_remote_code: bool
) -> PreTrainedTokenizerBase | ProcessorMixin:
    """The tokenizer of the model's checkpoint, or the processor of a LLaDA-V."""
    kind = AutoProcessor if sees_images(model) else AutoTokenizer
    return kind.from_pretrained(model.config._name_or_path, revision=revision, trust_remote_code=trust_remote_code)


def settle_trainer(trainer: Trainer, model_init_kwargs: dict) -> None:
    """What all trainers on TRL do behind its constructor. `model_init_kwargs` are those that the model was loaded with."""
    # Without it, PEFT would name our class in the saved adapter, and its Auto classes import few packages.
    for config in getattr(trainer.model, "peft_config", {}).values():
        config.task_type = config.task_type or "CAUSAL_LM"
    show_progress_lines(trainer)
    if model_init_kwargs:
        trainer.args.model_init_kwargs = model_init_kwargs
    check_prepared_model(trainer.model, trainer.accelerator)
