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

from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer
from modeling_llada.training.scripts import run_script
from modeling_llada.training.tuning_script import AdapterArguments, DataArguments, parse_arguments, tune


def main(arguments: list[str] | None = None) -> None:
    tune(LLaDASFTTrainer, *parse(arguments))


def parse(arguments: list[str] | None = None) -> tuple[DataArguments, LLaDASFTConfig, AdapterArguments]:
    return parse_arguments(LLaDASFTConfig, __doc__, "sft.py", arguments)


if __name__ == "__main__":
    run_script(main)
