# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""Fine-tunes a LLaDA on instructions: all weights, or a LoRA adapter, on one device or several.

    # A LoRA adapter. The command line overrides values of the YAML file
    python examples/sft.py --config examples/configs/poet_instruct.yaml --max_steps 3 --per_device_train_batch_size 4

    # All weights, on a JSONL file, evaluated on held-out rows
    python examples/sft.py --model_name_or_path checkpoints/llada-poet --dataset_name data/instructions/train.jsonl \
        --max_length 128 --learning_rate 1e-4 --max_steps 3 --eval_rows 8 --eval_strategy steps --eval_steps 2 \
        --output_dir runs/full

    # A stage of LLaDA-V on pictures
    python examples/sft.py --config examples/configs/llada_v/stage1.yaml

    # Continues the first run on two processes with half the rows each (without GPUs, add `--use_cpu true`)
    accelerate launch --config_file examples/accelerate/ddp.yaml examples/sft.py \
        --config examples/configs/poet_instruct.yaml --max_steps 4 --per_device_train_batch_size 2 --save_steps 2 \
        --resume_from_checkpoint true

The flags that most runs need; `--help-all` lists all, with those of `trl sft`:

    --config FILE               a YAML file with any of these flags
    --model_name_or_path NAME   the mask predictor: a folder or a Hub name
    --dataset_name NAME         a .json, .jsonl, .csv or .parquet file, a folder of `save_to_disk`, or a Hub name
    --dataset_format FORMAT     messages, sharegpt, prompt-completion, alpaca, text or tokens; found by the columns
    --output_dir FOLDER         gets the checkpoints, then the model or the adapter with the tokenizer and its chat template
    --eval_rows N               hold out so many rows, or `--eval_dataset_name NAME`; with `--eval_strategy steps --eval_steps N`
    --max_length N              cut longer rows; how many, is said before the first step (1024)
    --eos_fill longest|N        teach the end of a response by EOS up to this length
    --packing true              several documents in each row
    --assistant_only_loss true  train on all answers of a chat, not on the last one alone
    --image_folder FOLDER       where the paths in the column `image` or `images` begin, for a LLaDA-V
    --trained_parts PART ...    of a LLaDA-V: vision_tower, multi_modal_projector, language_model
    --learning_rate X           --max_steps N  --num_train_epochs X  --per_device_train_batch_size N
    --use_peft                  train a LoRA adapter: --lora_r N --lora_alpha N; with --load_in_4bit true, QLoRA
    --sample_every N            complete a few prompts every so many steps
    --save_steps N              --logging_steps N  --report_to none  --use_cpu true
    --resume_from_checkpoint true   continue from the last checkpoint, or start if there is none

Bad input ends with one line and exit code 2; `LLADA_DEBUG=1` shows the traceback.
"""

import sys


# Before the imports, which take seconds.
if __name__ == "__main__" and {"-h", "--help"} & set(sys.argv[1:]):
    print(__doc__)
    sys.exit()

import argparse
import logging
from dataclasses import dataclass, field

import torch
import yaml
from accelerate import PartialState
from datasets import Dataset, DatasetDict
from peft import PeftConfig
from transformers import set_seed
from trl import ModelConfig, TrlParser, get_peft_config, get_quantization_config

from llada_cli.parsing import did_you_mean
from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer, find_last_checkpoint
from modeling_llada.training.callbacks import InterruptCallback
from modeling_llada.training.data_files import read_splits
from modeling_llada.training.processes import check_processes
from modeling_llada.training.resuming import check_checkpoint, checkpoints_of
from modeling_llada.training.scripts import run_script


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


def main(arguments: list[str] | None = None) -> None:
    train(*parse_arguments(arguments))


def train(data: DataArguments, training: LLaDASFTConfig, model: AdapterArguments) -> None:
    """Trains, and saves the result in `output_dir`."""
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
    trainer = LLaDASFTTrainer(
        model.model_name_or_path,
        training,
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        quantization_config=get_quantization_config(model),
        peft_config=adapter_config(model),
        callbacks=[InterruptCallback("`--resume_from_checkpoint true`")],
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


def parse_arguments(arguments: list[str] | None = None) -> tuple[DataArguments, LLaDASFTConfig, AdapterArguments]:
    types = (DataArguments, LLaDASFTConfig, AdapterArguments)
    usage = "sft.py [--config FILE] [flags]; see --help, or --help-all for all flags"
    parser = TrlParser(types, description=__doc__, usage=usage, formatter_class=HelpFormatter, add_help=False)
    parser.add_argument("--help-all", action="help", help="Show this list.")
    arguments = sys.argv[1:] if arguments is None else arguments
    # TRL reads `--config FILE` alone.
    arguments = [part for one in arguments for part in (one.split("=", 1) if one.startswith("--config=") else [one])]
    if arguments[-1:] == ["--config"]:
        parser.error("argument --config: expected one argument")
    try:
        data, training, model, unknown = parser.parse_args_and_config(arguments, return_remaining_strings=True)
    except yaml.YAMLError as error:
        parser.error(f"the file of `--config` is not YAML: {' '.join(str(error).split())}")
    if unknown:
        advice = did_you_mean(unknown[0], [*parser._option_string_actions, "--config"])
        parser.error(f"unrecognized arguments: {' '.join(unknown)}. {advice}")
    for name, value in (("dataset_name", data.dataset_name), ("model_name_or_path", model.model_name_or_path)):
        if value is None:
            parser.error(f"`--{name}` is needed, on the command line or in the file of `--config`.")
    if data.eval_rows is not None and data.eval_rows < 1:
        parser.error(f"`--eval_rows` must be positive, but got {data.eval_rows}.")
    for name in ("trainable_token_indices", "adapter_dtype"):
        if getattr(model, name) and not model.use_peft:
            parser.error(f"`--{name}` belongs to an adapter, but `--use_peft` is not set.")
    return data, training, model


def show_log() -> None:
    """Shows the log of the package. Other logs show warnings only."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("modeling_llada").setLevel(logging.INFO)


def checkpoint_to_resume(training: LLaDASFTConfig) -> str | None:
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


def load_rows(data: DataArguments, training: LLaDASFTConfig) -> tuple[Dataset, Dataset | None]:
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
        if training.eval_strategy == "no" and (training.sample_every is None or training.sample_prompts):
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


def round_adapter(trainer: LLaDASFTTrainer, dtype: torch.dtype) -> None:
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


if __name__ == "__main__":
    run_script(main)
