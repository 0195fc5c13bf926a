# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains the models of the study one after the other, on the same rows in the same order."""

from pathlib import Path

import torch
from transformers import set_seed

from examples.pretrain import load_corpus, save_curve, save_final
from modeling_llada.training import Corpus, LLaDAPretrainer, LLaDAPretrainingConfig, RowMixture, find_last_checkpoint
from modeling_llada.training.callbacks import InterruptCallback
from recipes.families.recipe import Recipe, load_recipe, make_model, sizes
from recipes.runs import check_names, open_output, train_waiting


def train(
    config: Path,
    corpus: str | None,
    output_dir: str | None,
    assignments: list[str],
    names: list[str] | None,
    device: str | None,
    resume: bool,
    max_minutes: float | None,
) -> None:
    """Trains the models that are not done. After the time limit the same command goes on with `--resume`."""
    recipe = load_recipe(config, corpus, output_dir, assignments)
    options = {"use_cpu": True} if device == "cpu" else {}
    trainings = {
        name: LLaDAPretrainingConfig(
            f"{recipe.output_dir}/{name}", **recipe.training | recipe.models[name]["training"] | options
        )
        for name in check_names(names, recipe.models)
    }
    poems = load_corpus(recipe)
    open_output(Path(recipe.output_dir), recipe, resume)
    torch.set_float32_matmul_precision("high")
    first = next(iter(trainings.values()))
    rows = RowMixture(poems, recipe.phases, device=first.device, seed=first.seed)
    train_waiting(trainings, max_minutes, lambda name, training: train_one(recipe, name, training, poems, rows))


def train_one(recipe: Recipe, name: str, training: LLaDAPretrainingConfig, corpus: Corpus, rows: RowMixture) -> None:
    """Trains one model from its last checkpoint, if there is one, and writes it when it is done."""
    torch._dynamo.reset()  # the graphs of the last model keep its weights
    checkpoint = find_last_checkpoint(training.output_dir)
    set_seed(training.seed)
    model = make_model(recipe, name, corpus)
    number = sizes(model)
    print(
        f"{name}: {number['parameters']:,} parameters, {number['active']:,} of them active, from "
        f"{checkpoint or 'the beginning'}",
        flush=True,
    )
    trainer = LLaDAPretrainer(model, training, train_dataset=rows, callbacks=[InterruptCallback("`--resume`")])
    trainer.train(resume_from_checkpoint=checkpoint)
    save_curve(trainer)
    if trainer.state.global_step >= training.max_steps:
        save_final(trainer, recipe.tokenizer)
