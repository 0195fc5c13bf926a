# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains the first model on problems with their answers."""

import time
from pathlib import Path

import torch
from transformers import set_seed

from examples.pretrain import checkpoint_to_resume, limit_minutes, save_curve, save_final
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig
from modeling_llada.training import LLaDAPretrainer, LLaDAPretrainingConfig
from modeling_llada.training.callbacks import InterruptCallback
from modeling_llada.training.pretraining.batches import TensorRows
from recipes.reasoning.prepare import load_problems
from recipes.reasoning.recipe import BASE, Recipe, load_recipe
from recipes.reasoning.text import TOKENS, rows_of
from recipes.runs import open_output
from recipes.symbols import SPECIAL_TOKEN_IDS


def train(
    config: Path,
    data: str | None,
    output_dir: str | None,
    assignments: list[str],
    device: str | None,
    resume: bool,
    max_minutes: float | None,
) -> None:
    """Trains the first model. After the time limit the same command goes on with `--resume`."""
    recipe = load_recipe(config, assignments, data=data, output_dir=output_dir)
    options = {"use_cpu": True} if device == "cpu" else {}
    training = LLaDAPretrainingConfig(str(recipe.folder / BASE), **recipe.training | options)
    rows, predicted = rows_of(load_problems(recipe, "train"), recipe.prompt_tokens, recipe.canvas)
    open_output(recipe.folder, recipe, resume)
    if (recipe.folder / BASE / "final").is_dir():
        print(f"{BASE} is trained already")
        return
    limit_minutes(training, max_minutes)
    checkpoint = checkpoint_to_resume(training.output_dir, resume)
    torch.set_float32_matmul_precision("high")
    set_seed(training.seed)
    model = make_model(recipe)
    print(f"{BASE}: {model.num_parameters():,} parameters, from {checkpoint or 'random weights'}", flush=True)
    source = TensorRows(rows, training.device, predicted)
    trainer = LLaDAPretrainer(model, training, source, callbacks=[InterruptCallback("`--resume`")])
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=checkpoint)
    print(f"{BASE}: step {trainer.state.global_step:,} after {time.monotonic() - started:.0f} s", flush=True)
    save_curve(trainer)
    if trainer.state.global_step >= training.max_steps:
        save_final(trainer, Path(recipe.data) / "tokenizer")


def make_model(recipe: Recipe) -> LLaDAForMaskedLM:
    """A model with random weights."""
    model = LLaDAForMaskedLM(LLaDAConfig(vocab_size=len(TOKENS), **SPECIAL_TOKEN_IDS, **recipe.model))
    model.generation_config = LLaDAGenerationConfig(**SPECIAL_TOKEN_IDS)
    return model
