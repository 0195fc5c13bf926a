# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains on boards from a YAML file: LLaDA, or its autoregressive twin on the same puzzles."""

import dataclasses
import json
import time
from pathlib import Path

import torch
import transformers
import yaml
from transformers import TrainerCallback, set_seed

from examples.pretrain import parse_value, save_curve, save_final
from modeling_llada import LLaDAConfig, LLaDAForMaskedLM, LLaDAGenerationConfig
from modeling_llada.training import LLaDAPretrainingConfig, autoregressive_twin, find_last_checkpoint
from recipes.sudoku.puzzles import load
from recipes.sudoku.results import device_name
from recipes.sudoku.rows import BoardPretrainer, BoardRows, BoardTwinPretrainer
from recipes.sudoku.text import END, IDS, MASK, START, TOKENS, build_tokenizer
from reporting.results import save


STARTED = time.monotonic()
KEYS = ("puzzles", "output_dir", "shares", "free_share", "eval_puzzles", "model", "training")
SPECIAL_TOKENS = {
    "mask_token_id": IDS[MASK],
    "bos_token_id": IDS[START],
    "eos_token_id": IDS[END],
    "pad_token_id": IDS[END],
}


def load_recipe(config: Path, values: dict, max_steps: int | None, assignments: list[str]) -> dict:
    """The values of the YAML file, overridden by those of the command line, which are `None` where they are not given."""
    if not config.is_file():
        raise ValueError(f"`--config` must name a file, but there is no {config}.")
    recipe = {"form": "canvas"} | yaml.safe_load(config.read_text(encoding="utf-8"))
    recipe |= {name: value or recipe.get(name) for name, value in values.items()}
    if max_steps is not None:
        recipe["training"]["max_steps"] = max_steps
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ValueError(f"`--set` takes KEY=VALUE, for instance training.seed=2, but got {assignment!r}.")
        *parents, name = key.split(".")
        place = recipe
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = parse_value(value)
    check_names(recipe)
    recipe["shares"] = {int(size): share for size, share in recipe["shares"].items()}
    return recipe


def check_names(recipe: dict) -> None:
    """Refuses missing and unknown names. A misspelt name would otherwise be ignored."""
    missing = [name for name in KEYS if name not in recipe]
    known = {
        "": {*KEYS, "form"},
        "training": {field.name for field in dataclasses.fields(LLaDAPretrainingConfig)},
        "model": {field.name for field in dataclasses.fields(LLaDAConfig)} | {"rope_theta"},
    }
    unknown = [
        name
        for place, names in known.items()
        for name in (recipe.get(place, {}) if place else recipe)
        if name not in names
    ]
    if missing or unknown:
        what, name = ("is missing in", missing[0]) if missing else ("is no value of", unknown[0])
        raise ValueError(f"`{name}` {what} the recipe. See recipes/sudoku/sudoku.yaml.")


def make_model(recipe: dict) -> LLaDAForMaskedLM:
    """A LLaDA with random weights."""
    model = LLaDAForMaskedLM(LLaDAConfig(vocab_size=len(TOKENS), **SPECIAL_TOKENS, **recipe["model"]))
    model.generation_config = LLaDAGenerationConfig(**SPECIAL_TOKENS)
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
    if max_minutes is not None:
        training.max_minutes = max(max_minutes - (time.monotonic() - STARTED) / 60, 1e-9)
    checkpoint = find_last_checkpoint(str(folder))
    if checkpoint and not resume:
        raise ValueError(
            f"{folder} already holds a run. Continue it with `--resume`, or choose another `--output-dir`."
        )

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
    model = make_model(recipe)
    if twin:
        return BoardTwinPretrainer(autoregressive_twin(model.config), training, rows, held_out, callbacks=[Progress()])
    return BoardPretrainer(model, training, rows, held_out, callbacks=[Progress()])


class Progress(TrainerCallback):
    """Prints a line for each log entry."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        keys = ("loss", "tokens_per_second", *(key for key in logs if key.endswith("_solved")))
        values = ", ".join(f"{key.removeprefix('eval_')} {logs[key]:,.4g}" for key in keys if key in logs)
        if values:
            print(f"step {state.global_step:,} of {state.max_steps:,}: {values}", flush=True)


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
