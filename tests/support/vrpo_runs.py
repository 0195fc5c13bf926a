# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Small runs of preference optimisation that several tests share."""

import os

import torch
from accelerate.state import AcceleratorState
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import AutoTokenizer

from modeling_llada.training import LLaDAVRPOConfig, LLaDAVRPOTrainer
from support.expert_runs import FSDP2
from support.sft_runs import POEMS, SMALL_RUN, SPLITS, KillAtStep, losses_of, weights_of


# Ten pairs, whose rejected response is that of another poem: the two lengths mostly differ.
PAIRS = Dataset.from_list(
    [
        {"prompt": prompt, "chosen": chosen, "rejected": POEMS[(number + 3) % len(POEMS)][1]}
        for number, (prompt, chosen) in enumerate(POEMS)
    ]
)
# What is trained on them.
CASES = {
    "all weights": {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]},
    "LoRA": {"peft_config": LoraConfig(r=4), "gradient_checkpointing": True},
}


def vrpo_trainer(folder, output_dir, train_dataset=PAIRS, eval_dataset=None, model=None, **settings):
    """A trainer of the tiny poet in `folder`; settings are arguments of `LLaDAVRPOConfig`, or of the trainer."""
    names = ("peft_config", "callbacks", "processing_class", "quantization_config", "ref_model", "compute_metrics")
    options = {name: settings.pop(name) for name in names if name in settings}
    defaults = SMALL_RUN | {
        "output_dir": str(output_dir),
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "num_noise_samples": 2,
    }
    if model is not None and "processing_class" not in options:
        options["processing_class"] = AutoTokenizer.from_pretrained(folder)
    return LLaDAVRPOTrainer(
        str(folder) if model is None else model,
        args=LLaDAVRPOConfig(**(defaults | settings)),
        train_dataset=train_dataset,
        eval_dataset=eval_dataset,
        **options,
    )


def train_split(folder, output_dir, split, case):
    """Trains more than an epoch of one of `CASES` on one of `SPLITS`. Plain SGD: AdamW would divide rounding errors by themselves."""
    rows, accumulation = SPLITS[split]
    plain = {"max_steps": 3, "optim": "sgd", "learning_rate": 0.05, "lr_scheduler_type": "constant"}
    sizes = {"per_device_train_batch_size": rows, "per_device_eval_batch_size": rows}
    sizes["gradient_accumulation_steps"] = accumulation
    trainer = vrpo_trainer(folder, output_dir, eval_dataset=PAIRS.select(range(8)), **plain | sizes | CASES[case])
    trainer.train()
    return trainer


def results_of(trainer) -> dict[str, torch.Tensor]:
    """The trained tensors, the losses of all steps, and that of the evaluation."""
    values = weights_of(trainer)
    values["losses"] = losses_tensor(trainer)
    values["eval_loss"] = torch.tensor(trainer.evaluate()["eval_loss"], dtype=torch.double)
    return values


def losses_tensor(trainer) -> torch.Tensor:
    return torch.tensor(list(losses_of(trainer).values()), dtype=torch.double)


def train_on_two_processes(folder, output_dir) -> None:
    """Trains all cases on copies of the model, and one with FSDP2, and writes the results."""
    import support.fsdp_on_cpu  # noqa: F401  (it replaces DistributedDataParallel where FSDP is asked for)

    for case in CASES:
        write(results_of(train_split(folder, output_dir / "run", "two processes, 4", case)), output_dir / case)
    AcceleratorState._reset_state()
    os.environ.update(FSDP2, FSDP_CPU_RAM_EFFICIENT_LOADING="true")
    trainer = train_split(folder, output_dir / "run", "two processes, 4", "all weights")
    write({"losses": losses_tensor(trainer)}, output_dir / "sharded")


def write(values, path) -> None:
    if torch.distributed.get_rank() == 0:
        save_file({name: value.contiguous() for name, value in values.items()}, path)


def train_until_killed(folder, output_dir, settings) -> None:
    """Trains, and does not return."""
    vrpo_trainer(folder, output_dir, callbacks=[KillAtStep(5)], **settings).train()
