# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the scripts of fine-tuning and of preference optimisation share: their flags, their datasets, and the run itself."""

import argparse
import logging
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches

import torch
import yaml
from accelerate import PartialState
from datasets import Dataset, DatasetDict
from peft import PeftConfig
from transformers import Trainer, TrainingArguments, set_seed
from trl import ModelConfig, TrlParser, get_peft_config, get_quantization_config

from .callbacks import InterruptCallback
from .data_files import read_splits
from .processes import check_processes
from .resuming import check_checkpoint, checkpoints_of, find_last_checkpoint


@dataclass
class DataArguments:
    """The datasets."""

    dataset_name: str | None = field(
        default=None,
        metadata={"help": "A .json, .jsonl, .csv or .parquet file, a folder of `save_to_disk`, or a Hub name."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a dataset of the Hub."})
    dataset_train_split: str = field(default="train", metadata={"help": "Split to train on, where there are several."})
    dataset_test_split: str = field(
        default="test", metadata={"help": "Split to evaluate on, where there are several."}
    )
    eval_dataset_name: str | None = field(
        default=None, metadata={"help": "Another file, folder or Hub name to evaluate on. Left out: the test split."}
    )
    eval_rows: int | None = field(default=None, metadata={"help": "Evaluate on so many rows, held out of training."})


@dataclass
class AdapterArguments(ModelConfig):
    """The model and its adapter. `--use_peft` without targets adapts all seven projections, but not the head."""

    trainable_token_indices: list[str] | None = field(
        default=None,
        metadata={"help": "Rows of the embedding that the adapter trains too: ids and ranges, as in 5 8-102 113-120."},
    )
    adapter_dtype: str | None = field(
        default=None,
        metadata={"help": "Round the adapter at the end. Left out: as trained.", "choices": ["bfloat16", "float16"]},
    )


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the lines of the commands above."""


def tune(
    trainer_class: type[Trainer],
    data: DataArguments,
    training: TrainingArguments,
    model: AdapterArguments,
    **options,
) -> None:
    """Trains, and saves the result in `output_dir`. The trainer gets further `options`."""
    check_processes(training)
    set_seed(training.seed)
    if PartialState().is_main_process:
        show_log()
    checkpoint = checkpoint_to_resume(training)
    train_dataset, eval_dataset = load_rows(data, training)
    training.model_init_kwargs = {
        "revision": model.model_revision,
        "attn_implementation": model.attn_implementation,
        "dtype": model.dtype,
    } | (training.model_init_kwargs or {})
    trainer = trainer_class(
        model.model_name_or_path,
        args=training,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        quantization_config=get_quantization_config(model),
        peft_config=adapter_config(model),
        callbacks=[InterruptCallback("`--resume_from_checkpoint true`")],
        **options,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    if trainer.is_fsdp_enabled:
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    if model.adapter_dtype is not None:
        round_adapter(trainer, getattr(torch, model.adapter_dtype))
    trainer.save_model(training.output_dir)
    trainer.accelerator.print(f"wrote {training.output_dir} at step {trainer.state.global_step:,}")
    if training.push_to_hub:
        trainer.push_to_hub(dataset_name=data.dataset_name)


def parse_arguments(
    training: type[TrainingArguments],
    description: str,
    script: str,
    arguments: list[str] | None = None,
    others: tuple[type, ...] = (),
) -> tuple:
    """
    Reads the flags of a script, of a YAML file and of the command line, which counts more.

    Args:
        training (`type[TrainingArguments]`):
            The class of the arguments of the trainer.
        description (`str`):
            What `--help-all` shows above all flags.
        script (`str`):
            The name of the script.
        arguments (`list[str]`, *optional*):
            The command line. By default that of the process.
        others (`tuple[type, ...]`, *optional*):
            Further dataclasses of flags.

    Returns:
        `tuple`: [`DataArguments`], the arguments of the trainer, [`AdapterArguments`], and the others.
    """
    types = (DataArguments, training, AdapterArguments, *others)
    usage = f"{script} [--config FILE] [flags]; see --help, or --help-all for all flags"
    parser = TrlParser(types, description=description, usage=usage, formatter_class=HelpFormatter, add_help=False)
    parser.add_argument("--help-all", action="help", help="Show this list.")
    arguments = sys.argv[1:] if arguments is None else arguments
    # TRL reads `--config FILE` alone.
    arguments = [part for one in arguments for part in (one.split("=", 1) if one.startswith("--config=") else [one])]
    if arguments[-1:] == ["--config"]:
        parser.error("argument --config: expected one argument")
    try:
        data, training_args, model, *more, unknown = parser.parse_args_and_config(
            arguments, return_remaining_strings=True
        )
    except yaml.YAMLError as error:
        parser.error(f"the file of `--config` is not YAML: {' '.join(str(error).split())}")
    if unknown:
        close = get_close_matches(unknown[0], [*parser._option_string_actions, "--config"], n=1)
        parser.error(
            f"unrecognized arguments: {' '.join(unknown)}. " + "".join(f"Did you mean {one}?" for one in close)
        )
    for name, value in (("dataset_name", data.dataset_name), ("model_name_or_path", model.model_name_or_path)):
        if value is None:
            parser.error(f"`--{name}` is needed, on the command line or in the file of `--config`.")
    if data.eval_rows is not None and data.eval_rows < 1:
        parser.error(f"`--eval_rows` must be positive, but got {data.eval_rows}.")
    for name in ("trainable_token_indices", "adapter_dtype"):
        if getattr(model, name) and not model.use_peft:
            parser.error(f"`--{name}` belongs to an adapter, but `--use_peft` is not set.")
    return data, training_args, model, *more


def show_log() -> None:
    """Shows the log of the package. Other logs show warnings only."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("modeling_llada").setLevel(logging.INFO)


def checkpoint_to_resume(training: TrainingArguments) -> str | None:
    """The checkpoint to continue from. `true` starts from the beginning if there is none."""
    wanted, last = training.resume_from_checkpoint, next(iter(checkpoints_of(training.output_dir)), None)
    if str(wanted).lower() == "true":
        return find_last_checkpoint(training.output_dir)
    if wanted and str(wanted).lower() != "false":
        check_checkpoint(wanted)
        return wanted
    if last:
        raise ValueError(
            f"`output_dir` already holds the checkpoints of a run, {last} the last. Continue it with "
            "`--resume_from_checkpoint true`, or choose another folder with `--output_dir`."
        )
    return None


def load_rows(data: DataArguments, training: TrainingArguments) -> tuple[Dataset, Dataset | None]:
    """The rows to train on, and the rows to evaluate on or to take the prompts of samples from."""
    with PartialState().main_process_first():
        splits = read_splits(data.dataset_name, data.dataset_config)
        train_dataset = pick_split(splits, data.dataset_train_split, "dataset_train_split")
        if data.eval_rows is not None:
            if data.eval_rows >= len(train_dataset):
                raise ValueError(
                    f"`eval_rows` must leave rows to train on, but got {data.eval_rows} of {len(train_dataset)} rows."
                )
            parts = train_dataset.train_test_split(test_size=data.eval_rows, seed=training.seed)
            return parts["train"], parts["test"]
        if data.eval_dataset_name is not None:
            splits = read_splits(data.eval_dataset_name, argument="eval_dataset_name")
            only = next(iter(splits)) if len(splits) == 1 else data.dataset_test_split
            return train_dataset, pick_split(splits, only, "dataset_test_split")
        takes_prompts = getattr(training, "sample_every", None) is not None and not training.sample_prompts
        if training.eval_strategy == "no" and not takes_prompts:
            return train_dataset, None
        return train_dataset, pick_split(splits, data.dataset_test_split, "dataset_test_split")


def pick_split(splits: DatasetDict, split: str, argument: str) -> Dataset:
    if split not in splits:
        raise ValueError(
            f"`{argument}` must be one of {sorted(splits)}, but got {split!r}. To evaluate without a split of its own, "
            "hold rows out with `--eval_rows`."
        )
    return splits[split]


def adapter_config(model: AdapterArguments) -> PeftConfig | None:
    config = get_peft_config(model)
    if config is None:
        return None
    if isinstance(config.target_modules, str) and config.target_modules.isidentifier():
        # TRL makes a single name a regular expression, which matches no layer.
        config.target_modules = {config.target_modules}
    if model.trainable_token_indices:
        config.trainable_token_indices = [token for part in model.trainable_token_indices for token in token_ids(part)]
    return config


def round_adapter(trainer: Trainer, dtype: torch.dtype) -> None:
    """Rounds the trained weights. The checkpoints of the run are not rounded, so that they can be resumed."""
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)


def token_ids(part: str | int) -> range:
    """Reads `7` or `8-102`, both ends included."""
    first, _, last = str(part).partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) < int(first):
        raise ValueError(f"`trainable_token_indices` must be ids and ranges, as in 5 8-102 113-120, but got {part!r}.")
    return range(int(first), int(last or first) + 1)
