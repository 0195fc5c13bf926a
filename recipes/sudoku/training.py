# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains on boards from a YAML file: LLaDA, or its autoregressive twin on the same puzzles."""

import dataclasses
import json
import time
from pathlib import Path

import torch
import transformers
from transformers import set_seed

from examples.pretrain import checkpoint_to_resume, limit_minutes, save_curve, save_final
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig
from modeling_llada.training import LLaDAPretrainingConfig, autoregressive_twin
from modeling_llada.training.callbacks import InterruptCallback
from modeling_llada.training.recipe_files import assign, checked, read_recipe
from recipes.sudoku.puzzles import load
from recipes.sudoku.results import device_name
from recipes.sudoku.rows import BoardPretrainer, BoardRows, BoardTwinPretrainer
from recipes.sudoku.text import TOKENS, build_tokenizer
from recipes.symbols import SPECIAL_TOKEN_IDS
from reporting.results import save


@dataclasses.dataclass
class Recipe:
    """A YAML file of this folder."""

    puzzles: str
    output_dir: str
    shares: dict
    free_share: float
    eval_puzzles: int
    model: dict  # arguments of LLaDAConfig
    training: dict  # arguments of LLaDAPretrainingConfig
    form: str = "canvas"


def load_recipe(config: Path, values: dict, max_steps: int | None, assignments: list[str]) -> dict:
    """The values of the YAML file, overridden by those of the command line, which are `None` where they are not given."""
    recipe = read_recipe(config)
    recipe |= {name: value for name, value in values.items() if value is not None}
    if max_steps is not None:
        recipe.setdefault("training", {})["max_steps"] = max_steps
    for assignment in assignments:
        assign(recipe, assignment)
    recipe = dataclasses.asdict(Recipe(**checked(Recipe, recipe)))
    recipe["training"] = checked(LLaDAPretrainingConfig, recipe["training"], "training.")
    recipe["model"] = checked(LLaDAConfig, recipe["model"], "model.", more={"rope_theta": float})
    recipe["shares"] = {int(size): share for size, share in recipe["shares"].items()}
    return recipe


def make_model(recipe: dict) -> LLaDAForMaskedLM:
    """A LLaDA with random weights."""
    model = LLaDAForMaskedLM(LLaDAConfig(vocab_size=len(TOKENS), **SPECIAL_TOKEN_IDS, **recipe["model"]))
    model.generation_config = LLaDAGenerationConfig(**SPECIAL_TOKEN_IDS)
    return model


def train(
    config: Path,
    puzzles: str | None,
    output_dir: str | None,
    form: str | None,
    max_steps: int | None,
    assignments: list[str],
    twin: bool,
    device: str | None,
    resume: bool,
    max_minutes: float | None,
) -> None:
    """Trains a model, and writes it, its curve and the record of the run into a subfolder of the run."""
    values = {"output_dir": output_dir, "puzzles": puzzles, "form": form}
    recipe = load_recipe(config, values, max_steps, assignments)
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("`--device cuda` needs a GPU, and PyTorch sees none. Leave it out, or use `--device cpu`.")
    form = "answer" if twin else recipe["form"]
    name = "twin" if twin else "llada" if form == "canvas" else "llada-answer"
    folder = Path(recipe["output_dir"]) / name
    options = {"use_cpu": True} if device == "cpu" else {}
    training = LLaDAPretrainingConfig(**recipe["training"], **options, output_dir=str(folder))
    limit_minutes(training, max_minutes)
    checkpoint = checkpoint_to_resume(str(folder), resume)

    torch.set_float32_matmul_precision("high")
    set_seed(training.seed)
    recipe = recipe | {"form": form, "shares": {size: share for size, share in recipe["shares"].items() if share > 0}}
    trainer = make_trainer(recipe, twin, training)
    print(f"{name}: {trainer.model.num_parameters():,} parameters, from {checkpoint or 'random weights'}", flush=True)
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=checkpoint)
    first_step = int(Path(checkpoint).name.rpartition("-")[2]) if checkpoint else 0
    save_record(folder, recipe, trainer, first_step, time.monotonic() - started)
    save_curve(trainer)
    build_tokenizer().save_pretrained(folder / "tokenizer")
    save_final(trainer, folder / "tokenizer")


def make_trainer(recipe: dict, twin: bool, training: LLaDAPretrainingConfig) -> BoardPretrainer | BoardTwinPretrainer:
    """Makes the trainer of a model with random weights, with its rows and the puzzles for its curve."""
    path, shares, form = Path(recipe["puzzles"]), recipe["shares"], recipe["form"]
    free_share = 0.0 if twin else recipe["free_share"]
    rows = BoardRows(load(path, "train", list(shares)), shares, form, free_share, training.device)
    number = recipe["eval_puzzles"]
    held_out = {size: part[:number] for size, part in load(path, "validation", list(shares)).items()}
    model, callbacks = make_model(recipe), [InterruptCallback("`--resume`")]
    if twin:
        return BoardTwinPretrainer(autoregressive_twin(model.config), training, rows, held_out, callbacks)
    return BoardPretrainer(model, training, rows, held_out, callbacks)


def save_record(folder: Path, recipe: dict, trainer, first_step: int, seconds: float) -> None:
    """Writes the record of a run, with an entry for each call: where it ran, and for how long."""
    path = folder / "run.json"
    # A killed call leaves checkpoints but no record.
    is_known = first_step > 0 and path.is_file()
    record = json.loads(path.read_text(encoding="utf-8")) if is_known else {"calls": []}
    record |= {"recipe": recipe, "parameters": trainer.model.num_parameters()}
    record["calls"].append(
        {
            "first_step": first_step,
            "last_step": trainer.state.global_step,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(time.process_time(), 1),
            "device": device_name(trainer.args.device.type),
            "threads": torch.get_num_threads() if trainer.args.device.type == "cpu" else None,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }
    )
    save(path, record)
