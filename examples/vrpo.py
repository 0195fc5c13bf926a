# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
r"""Trains a LLaDA on preferences between two responses, by VRPO: all weights, or a LoRA adapter, on one device or several.

    # A LoRA adapter. The command line overrides values of the YAML file
    python examples/vrpo.py --config examples/configs/poet_vrpo.yaml --max_steps 3

    # The same on two processes with half the pairs each (without GPUs, add `--use_cpu true`)
    accelerate launch --config_file examples/accelerate/ddp.yaml examples/vrpo.py \
        --config examples/configs/poet_vrpo.yaml --per_device_train_batch_size 4 --output_dir runs/two

The flags that most runs need; `--help-all` lists all, with those of `trl dpo`:

    --config FILE               a YAML file with any of these flags
    --model_name_or_path NAME   the mask predictor: a folder or a Hub name
    --dataset_name NAME         a .json, .jsonl or .parquet file, a folder of `save_to_disk`, or a Hub name, with the columns
                                prompt, chosen and rejected: texts or messages
    --output_dir FOLDER         gets the checkpoints, then the model or the adapter with the tokenizer
    --eval_rows N               hold out so many pairs, or `--eval_dataset_name NAME`; with `--eval_strategy steps --eval_steps N`
    --num_noise_samples N       noise samples for each response (8); the cost of a step is proportional
    --shared_noise false        other noise for the reference: to see what sharing gains
    --antithetic_masks false    independent masks: the same
    --beta X                    how much a score of 1 nat counts (0.2)
    --loss_type LOSS ...        sigmoid, or others of TRL; sft beside it keeps the chosen responses probable
    --loss_weights X ...        their weights, as in `--loss_type sigmoid sft --loss_weights 1.0 0.05`
    --eos_fill longest|N        EOS behind responses, as the checkpoint was trained
    --max_length N              cut longer rows; how many, is said before the first step (1024)
    --learning_rate X           --max_steps N  --num_train_epochs X  --per_device_train_batch_size N
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

from modeling_llada.training import LLaDAVRPOConfig, LLaDAVRPOTrainer
from modeling_llada.training.scripts import run_script
from modeling_llada.training.tuning_script import AdapterArguments, DataArguments, parse_arguments, tune


def main(arguments: list[str] | None = None) -> None:
    tune(LLaDAVRPOTrainer, *parse(arguments))


def parse(arguments: list[str] | None = None) -> tuple[DataArguments, LLaDAVRPOConfig, AdapterArguments]:
    return parse_arguments(LLaDAVRPOConfig, __doc__, "vrpo.py", arguments)


if __name__ == "__main__":
    run_script(main)
