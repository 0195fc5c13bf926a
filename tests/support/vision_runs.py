# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Small runs of fine-tuning on images that several tests share, with the golden checkpoint of LLaDA-V."""

from functools import cache

import torch
from datasets import Dataset
from safetensors.torch import save_file
from torch.distributed.fsdp import fully_shard

from modeling_llada import LLaDAVForConditionalGeneration, LLaDAVProcessor
from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer
from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import RowKey
from support.golden_v import FOLDER, golden_image
from support.sft_runs import KillAtStep, losses_of, weights_of


# The tokens that A and B take with any-resolution tiles, and padded to one tile.
LENGTHS = {"A": 70, "B": 65, "C": 55}
PADDED_LENGTH = 26


def asked(question, answer, *images):
    """A row of one question."""
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "images": list(images)}


@cache
def vision_rows():
    """Five rows: one image each, two images at their marks, and none."""
    return Dataset.from_list(
        [
            asked("What is it?", "A square.", golden_image("A")),
            asked("Which colour?", "Red and blue.", golden_image("B")),
            asked("first <image> second <image>\nCompare.", "Same.", golden_image("A"), golden_image("C")),
            asked("Hello.", "Good day."),
            asked("What is it?", "Noise, but not much.", golden_image("C")),
        ]
    )


def golden_processor():
    processor = LLaDAVProcessor.from_pretrained(str(FOLDER))
    processor.tokenizer.mask_token = "<|mdm_mask|>"
    return processor


def golden_model():
    return LLaDAVForConditionalGeneration.from_pretrained(FOLDER, dtype="float32")


def vision_trainer(output_dir, train_dataset=None, eval_dataset=None, model=None, **settings):
    """A trainer of the golden checkpoint; settings are arguments of `LLaDASFTConfig`, or of the trainer."""
    names = ("peft_config", "callbacks", "processing_class", "quantization_config", "formatting_func")
    options = {name: settings.pop(name) for name in names if name in settings}
    defaults = {
        "max_steps": 3,
        "per_device_train_batch_size": 5,
        "learning_rate": 1e-3,
        "seed": 3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "gradient_checkpointing": False,
    }
    return LLaDASFTTrainer(
        golden_model() if model is None else model,
        LLaDASFTConfig(str(output_dir), **(defaults | settings)),
        train_dataset=vision_rows() if train_dataset is None else train_dataset,
        eval_dataset=eval_dataset,
        **({"processing_class": golden_processor()} | options),
    )


# One row a micro-batch, so that one process has a text while the other has images.
ON_TWO_PROCESSES = {
    "max_steps": 3,
    "per_device_train_batch_size": 1,
    "optim": "sgd",
    "vision_tower_learning_rate": 1e-4,
    "ddp_find_unused_parameters": False,
}


def train_vision_on_two_processes(output_dir) -> None:
    """Trains, and writes the weights and the losses of the first process."""
    trainer = vision_trainer(output_dir / "run", eval_dataset=vision_rows(), **ON_TWO_PROCESSES)
    trainer.train()
    values = weights_of(trainer)
    values["losses"] = torch.tensor(list(losses_of(trainer).values()), dtype=torch.double)
    values["eval_loss"] = torch.tensor(trainer.evaluate()["eval_loss"], dtype=torch.double)
    if trainer.args.process_index == 0:
        save_file(values, output_dir / "two.safetensors")


def compare_sharded_gradients(output_dir) -> None:
    """Shards the model over the processes, gives one an image and the other a text, and compares with whole weights."""
    trainer = vision_trainer(output_dir / "run")
    rows = trainer.numbered_rows(trainer.train_dataset, RowNoise(0, "train"))
    batches = [trainer.data_collator([rows[RowKey(0, index, index)]]) for index in (0, 3)]
    whole, sharded = golden_model(), golden_model()
    for module in list(sharded.modules()):
        if type(module).__name__ in sharded._no_split_modules:
            fully_shard(module)
    fully_shard(sharded)
    sum(trainer.compute_loss(whole, dict(batch)) / 2 for batch in batches).backward()
    trainer.compute_loss(sharded, dict(batches[torch.distributed.get_rank()])).backward()
    for (name, expected), found in zip(whole.named_parameters(), sharded.parameters(), strict=True):
        assert (expected.grad is None) == (found.grad is None), name
        if expected.grad is not None:
            torch.testing.assert_close(found.grad.full_tensor(), expected.grad, rtol=1e-4, atol=1e-5)


def train_vision_until_killed(output_dir, settings) -> None:
    """Trains, and does not return."""
    vision_trainer(output_dir, callbacks=[KillAtStep(5)], **settings).train()
