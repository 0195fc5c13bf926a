# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""Trains a LLaDA on rewards for its own answers, by GRPO: all weights, or a LoRA adapter, on one device or several.

    # A LoRA adapter for poems that keep their form. The command line overrides values of the YAML file
    python -m recipes.poems.rewards 七言绝句 data/forms.jsonl
    python examples/grpo.py --config examples/configs/poet_grpo.yaml --max_steps 2

    # The same on two processes with half the answers each (without GPUs, add `--use_cpu true`)
    accelerate launch --config_file examples/accelerate/ddp.yaml examples/grpo.py \
        --config examples/configs/poet_grpo.yaml --per_device_train_batch_size 32 --output_dir runs/two

The flags that most runs need; `--help-all` lists all, with those of `trl grpo`:

    --config FILE               a YAML file with any of these flags
    --model_name_or_path NAME   the mask predictor: a folder or a Hub name
    --dataset_name NAME         a .json, .jsonl or .parquet file, a folder of `save_to_disk`, or a Hub name, with the column prompt
    --reward_funcs NAME ...     functions, as in recipes.poems.rewards.keeps_form; they get `completions` and the other columns
    --reward_weights X ...      their weights (1.0 each)
    --output_dir FOLDER         gets the checkpoints, then the model or the adapter with the tokenizer
    --likelihood NAME           elbo, one_step, coupled or trace: how answers are scored
    --num_noise_samples N       noise samples in a score (2)
    --num_generations N         answers to a prompt (8)
    --max_completion_length N   tokens of an answer
    --generation_kwargs JSON    how answers are written, as in {"steps": 64, "block_length": 32} or {"confidence_threshold": 0.9}
    --temperature X             --num_iterations N  --beta X
    --learning_rate X           --max_steps N  --per_device_train_batch_size N
    --use_peft                  train a LoRA adapter: --lora_r N --lora_alpha N; with --load_in_4bit true, QLoRA
    --save_steps N              --logging_steps N  --report_to none  --use_cpu true
    --resume_from_checkpoint true   continue from the last checkpoint, or start if there is none

Bad input ends with one line and exit code 2; `LLADA_DEBUG=1` shows the traceback.
"""

import sys


# Before the imports, which take seconds.
if __name__ == "__main__" and {"-h", "--help"} & set(sys.argv[1:]):
    print(__doc__)
    sys.exit()

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

from modeling_llada.training import LLaDAGRPOConfig, LLaDAGRPOTrainer
from modeling_llada.training.scripts import run_script
from modeling_llada.training.tuning_script import AdapterArguments, DataArguments, parse_arguments, tune


@dataclass
class RewardArguments:
    """The rewards."""

    reward_funcs: list[str] | None = field(
        default=None, metadata={"help": "Functions, as in recipes.poems.rewards.keeps_form."}
    )


def main(arguments: list[str] | None = None) -> None:
    data, training, model, rewards = parse(arguments)
    tune(LLaDAGRPOTrainer, data, training, model, reward_funcs=read_rewards(rewards.reward_funcs))


def parse(
    arguments: list[str] | None = None,
) -> tuple[DataArguments, LLaDAGRPOConfig, AdapterArguments, RewardArguments]:
    return parse_arguments(LLaDAGRPOConfig, __doc__, "grpo.py", arguments, others=(RewardArguments,))


def read_rewards(names: list[str] | None) -> list[Callable]:
    """The functions of these names, which are found as `python -m` finds modules: also from the working directory."""
    if not names:
        raise ValueError("`reward_funcs` must name at least one function, as in recipes.poems.rewards.keeps_form.")
    if "" not in sys.path:
        sys.path.insert(0, "")
    functions = []
    for name in names:
        module, _, function = name.rpartition(".")
        try:
            functions.append(getattr(importlib.import_module(module), function))
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"`reward_funcs` must name functions, as in recipes.poems.rewards.keeps_form, but got {name!r}: {error}."
            ) from error
    return functions


if __name__ == "__main__":
    run_script(main)
