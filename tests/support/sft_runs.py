# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Small runs of masked fine-tuning that several tests share."""

import os
import signal

import torch
from datasets import Dataset, concatenate_datasets
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import AutoTokenizer, TrainerCallback

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer


# Ten rows of lengths between 7 and 29 tokens.
POEMS = [
    ("床前明月光，", "疑是地上霜。"),
    ("举头望明月，", "低头思故乡。"),
    ("白日依山尽，", "黄河入海流。欲穷千里目，更上一层楼。"),
    ("春眠不觉晓，", "处处闻啼鸟。夜来风雨声，花落知多少。"),
    ("千山鸟飞绝，万径人踪灭。", "孤舟蓑笠翁，独钓寒江雪。"),
    ("红豆生南国，", "春来发几枝。愿君多采撷，此物最相思。"),
    ("松下问童子，言师采药去。只在此山中，", "云深不知处。"),
    ("空山不见人，", "但闻人语响。"),
    ("返景入深林，", "复照青苔上。"),
    ("明", "月"),
]
PROMPTS_AND_COMPLETIONS = Dataset.from_list([{"prompt": prompt, "completion": answer} for prompt, answer in POEMS])
MESSAGES = Dataset.from_list(
    [
        {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}
        for prompt, answer in POEMS
    ]
)

# Arguments of all trainers on TRL
SMALL_RUN = {
    "learning_rate": 1e-2,
    "seed": 3,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "gradient_checkpointing": False,
}
# The global batch of eight rows, cut in different ways: rows of a micro-batch, and micro-batches of a process.
SPLITS = {
    "8": (8, 1),
    "4 + 4": (4, 2),
    "eight times 1": (1, 8),
    "two processes, 4": (4, 1),
    "two processes, four times 1": (1, 4),
}

# What is trained on them.
CASES = {
    "token": {"loss_normalization": "token"},
    "sequence": {"loss_normalization": "sequence"},
    "filled with EOS": {"eos_fill": 40, "max_length": 40},
    "LoRA": {"peft_config": LoraConfig(r=4), "gradient_checkpointing": True},
    "packed": {"packing": True, "max_length": 40, "loss_normalization": "sequence"},
}
# Each takes seconds: not all cases are cut twice.
ON_TWO_PROCESSES = [(case, "two processes, 4") for case in CASES] + [
    (case, "two processes, four times 1") for case in ("token", "packed")
]


def sft_trainer(folder, output_dir, train_dataset=PROMPTS_AND_COMPLETIONS, eval_dataset=None, model=None, **settings):
    """A trainer of the tiny poet in `folder`; settings are arguments of `LLaDASFTConfig`, or of the trainer."""
    names = ("peft_config", "callbacks", "processing_class", "formatting_func", "quantization_config")
    options = {name: settings.pop(name) for name in names if name in settings}
    defaults = SMALL_RUN | {"output_dir": str(output_dir), "max_steps": 3, "per_device_train_batch_size": 8}
    if "processing_class" not in options:
        options["processing_class"] = AutoTokenizer.from_pretrained(folder)
    return LLaDASFTTrainer(
        LLaDAForMaskedLM.from_pretrained(folder) if model is None else model,
        LLaDASFTConfig(**(defaults | settings)),
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        **options,
    )


def train_split(folder, output_dir, split, case):
    """Trains two epochs of one of `CASES` on one of `SPLITS`. Plain SGD: AdamW would divide rounding errors by themselves."""
    rows, accumulation = SPLITS[split]
    defaults = {"max_steps": 4, "optim": "sgd", "learning_rate": 0.1, "lr_scheduler_type": "constant"}
    trainer = sft_trainer(
        folder,
        output_dir,
        PROMPTS_AND_COMPLETIONS if case != "packed" else concatenate_datasets([PROMPTS_AND_COMPLETIONS] * 3),
        eval_dataset=MESSAGES.select(range(7)),
        per_device_train_batch_size=rows,
        per_device_eval_batch_size=rows,
        gradient_accumulation_steps=accumulation,
        **(defaults | CASES[case]),
    )
    trainer.train()
    return trainer


def restarted_trainer(folder, output_dir, split):
    """A trainer of six steps on one of `SPLITS`, with AdamW and its schedule, that saves a checkpoint after every third."""
    rows, accumulation = SPLITS[split]
    return sft_trainer(
        folder,
        output_dir,
        max_steps=6,
        warmup_steps=2,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=accumulation,
        save_strategy="steps",
        save_steps=3,
    )


def weights_of(trainer) -> dict[str, torch.Tensor]:
    """The trained tensors. The head is the embedding."""
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def losses_of(trainer) -> dict[int, float]:
    """The logged loss of each step."""
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


def largest_difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


def train_on_two_processes(folder, output_dir) -> None:
    """Trains `ON_TWO_PROCESSES` and `restarted_trainer`, and writes the results of the former."""
    for case, split in ON_TWO_PROCESSES:
        trainer = train_split(folder, output_dir / "run", split, case)
        values = weights_of(trainer)
        values["losses"] = torch.tensor(list(losses_of(trainer).values()), dtype=torch.double)
        values["eval_loss"] = torch.tensor(trainer.evaluate()["eval_loss"], dtype=torch.double)
        if trainer.args.process_index == 0:
            save_file(values, output_dir / f"{case}, {split}.safetensors")
    restarted_trainer(folder, output_dir / "restarted", "two processes, 4").train()


class KillAtStep(TrainerCallback):
    """Ends the process as `kill -9` does."""

    def __init__(self, step):
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def train_until_killed(folder, output_dir, settings) -> None:
    """Trains on messages, and does not return."""
    sft_trainer(folder, output_dir, MESSAGES, callbacks=[KillAtStep(5)], **settings).train()
