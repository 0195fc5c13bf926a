# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Small runs on rewards that several tests share."""

from datasets import Dataset
from safetensors.torch import save_file

from modeling_llada.training import LLaDAGRPOConfig, LLaDAGRPOTrainer
from support.sft_runs import POEMS, SMALL_RUN, KillAtStep, weights_of


PROMPTS = Dataset.from_list([{"prompt": prompt} for prompt, _ in POEMS])


def share_of_late_characters(completions, **kwargs):
    """A reward that any model can raise: the share of the characters in the upper half of the code points of Chinese."""
    return [sum(character > "漢" for character in text) / max(1, len(text)) for text in completions]


def grpo_trainer(folder, output_dir, train_dataset=PROMPTS, model=None, **settings):
    """A trainer of the tiny poet in `folder`; settings are arguments of `LLaDAGRPOConfig`, or of the trainer."""
    names = ("peft_config", "callbacks", "processing_class", "reward_funcs", "eval_dataset", "tools")
    options = {name: settings.pop(name) for name in names if name in settings}
    defaults = SMALL_RUN | {
        "output_dir": str(output_dir),
        "max_steps": 2,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 6,
        "generation_kwargs": {"steps": 3},
    }
    return LLaDAGRPOTrainer(
        str(folder) if model is None else model,
        args=LLaDAGRPOConfig(**(defaults | settings)),
        train_dataset=train_dataset,
        **({"reward_funcs": share_of_late_characters} | options),
    )


def logs_of(trainer, name) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def train_until_killed(folder, output_dir, settings) -> None:
    """Trains, and does not return."""
    grpo_trainer(folder, output_dir, callbacks=[KillAtStep(3)], **settings).train()


def train_on_two_processes(folder, output_dir, settings) -> None:
    """Trains on two processes, and each writes its weights."""
    trainer = grpo_trainer(folder, output_dir / "run", **settings)
    trainer.train()
    assert trainer.args.world_size == 2
    assert logs_of(trainer, "clip_ratio/region_mean")[0] == 0, "the ratio is 1 before the first update"
    values = {name: value.contiguous() for name, value in weights_of(trainer).items()}
    save_file(values, output_dir / f"{trainer.args.process_index}.safetensors")
