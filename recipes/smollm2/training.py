# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains the models of the study one after the other, and measures each after some of its steps."""

import time
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedModel, TrainerCallback, set_seed

from examples.pretrain import save_final
from modeling_llada import LLaDAForMaskedLM
from modeling_llada.conversion import from_autoregressive
from modeling_llada.reading import read_json
from modeling_llada.training import (
    AutoregressivePretrainer,
    Corpus,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    RowMixture,
    find_last_checkpoint,
)
from modeling_llada.training.callbacks import InterruptCallback
from recipes.runs import check_names, open_output, train_waiting
from recipes.smollm2.corpus import held_out_windows
from recipes.smollm2.measuring import Judge, Measure, interval, measured
from recipes.smollm2.recipe import Recipe, load_recipe
from recipes.smollm2.weights import ABOUT, CORPUS, TOKENIZER, check_data, load_original
from reporting.results import describe_machine, find_versions, rounded, save


class Study:
    """The data of a recipe on a device, with what all its models share."""

    def __init__(self, recipe: Recipe, device: torch.device):
        self.recipe, self.device, data = recipe, device, Path(recipe.data)
        self.corpus = Corpus.load(data / CORPUS)
        self.original = load_original(data).to(device)
        # As in its pre-training, where this token is between documents.
        self.original.config.bos_token_id = self.corpus.bos_token_id
        tokenizer = AutoTokenizer.from_pretrained(data / TOKENIZER)
        measure = Measure(**recipe.measure)
        windows = torch.from_numpy(held_out_windows(self.corpus, recipe.width, measure.windows)).to(device)
        self.judge = Judge(measure, self.original, windows, tokenizer)

    @cached_property
    def rows(self) -> RowMixture:
        """Windows of the training documents."""
        entry = {"kind": "windows", "width": self.recipe.width, "share": 1.0}
        return RowMixture(self.corpus, [{"fraction": 1.0, "entries": [entry]}], device=self.device)

    def make_model(self, name: str, seed: int) -> PreTrainedModel:
        """A model before its training."""
        weights = self.recipe.models[name]["weights"]
        if weights == "autoregressive":
            return load_original(Path(self.recipe.data))
        model = from_autoregressive(self.original, mask_token_id=self.corpus.mask_token_id).float()
        if weights == "random":
            set_seed(seed)
            return LLaDAForMaskedLM(model.config)
        model.config.name_or_path = self.recipe.data  # what the model card says that training began with
        return model

    def measure_original(self, bf16: bool) -> dict:
        """The lines that the others are held against: the original, and held-out text itself."""
        judge, original = self.judge, self.original
        sampling = judge.measure.sampling.items()
        return measured(
            lambda: {
                "nats": interval(judge.exact(original)),
                "samples": {name: judge.sampled(original, options) for name, options in sampling},
                "held_out_text": judge.quality(judge.continuations),
            },
            original,
            bf16,
        )


class MeasureCallback(TrainerCallback):
    """Measures the model before its training and after some steps, and writes the record each time."""

    def __init__(self, study: Study, name: str, path: Path):
        self.study, self.name, self.path = study, name, path
        self.points, self.seconds_before, self.began = [], 0.0, time.monotonic()

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step == 0:
            self.measure(args, state, model)
            return
        record = read_json(self.path, dict)
        # A killed run has measured steps that its last checkpoint has not seen. They are trained and measured again.
        self.points = [point for point in record["points"] if point["step"] <= state.global_step]
        self.seconds_before = record["seconds"]

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step in (*self.study.judge.measure.steps, args.max_steps):
            self.measure(args, state, model)

    def measure(self, args: LLaDAPretrainingConfig, state, model: PreTrainedModel) -> None:
        step, started = state.global_step, time.monotonic()
        point = measured(lambda: self.point(model, is_last=step == args.max_steps), model, bool(args.bf16))
        tokens = step * args.tokens_per_step
        self.points.append({"step": step, "tokens": tokens, "measuring": round(time.monotonic() - started, 1)} | point)
        self.write(state)
        print(f"{self.name} after {tokens / 1e6:.1f} M tokens: {point['nats']['mean']:.3f} nats a token", flush=True)

    def point(self, model: PreTrainedModel, is_last: bool) -> dict:
        """What is measured of the model: at the last step with all ways of decoding, and for each window."""
        judge = self.study.judge
        if isinstance(model, LlamaForCausalLM):
            nats, complete, ways = judge.exact, judge.sampled, judge.measure.sampling
        else:
            nats, complete, ways = judge.bound, judge.completions, judge.measure.decoding
        windows = nats(model)
        names = list(ways) if is_last else list(ways)[:1]
        point = {"nats": interval(windows), "samples": {name: complete(model, ways[name]) for name in names}}
        return point | ({"windows": rounded(windows.tolist())} if is_last else {})

    def write(self, state) -> None:
        """Writes the record of the model so far."""
        recipe, log = self.study.recipe, [entry for entry in state.log_history if "loss" in entry]
        record = {
            "weights": recipe.models[self.name]["weights"],
            "training": recipe.training_of(self.name),
            "seconds": round(self.seconds_before + time.monotonic() - self.began, 1),
            "points": self.points,
            "training_loss": [[entry["step"], round(entry["loss"], 4)] for entry in log],
        }
        save(self.path, record)


def train(
    config: Path,
    names: list[str] | None,
    data: str | None,
    output_dir: str | None,
    assignments: list[str],
    device: str | None,
    resume: bool,
    max_minutes: float | None,
) -> None:
    """Trains the models that are not done. After the time limit the same command goes on with `--resume`."""
    recipe = load_recipe(config, data, output_dir, assignments)
    names = check_names(names, recipe.models)
    options = {"use_cpu": True} if device == "cpu" else {}
    trainings = {
        name: LLaDAPretrainingConfig(f"{recipe.output_dir}/{name}", **recipe.training_of(name), **options)
        for name in names
    }
    check_data(Path(recipe.data))
    open_output(Path(recipe.output_dir), recipe, resume)
    torch.set_float32_matmul_precision("high")
    first = next(iter(trainings.values()))
    study = Study(recipe, first.device)
    path = Path(recipe.output_dir) / "original.json"
    if not path.is_file():
        save(path, study.measure_original(bool(first.bf16)) | about(study))
    train_waiting(trainings, max_minutes, lambda name, training: train_one(study, name, training))


def about(study: Study) -> dict:
    """Where and on what the study ran, and the held-out beginnings of the completions that are kept."""
    return {
        "machine": describe_machine(study.device),
        "versions": find_versions("gguf"),
        "corpus": read_json(Path(study.recipe.data) / ABOUT, dict),
        "held_out_windows": len(study.judge.windows),
        "beginnings": study.judge.decoded(study.judge.prompts),
    }


def train_one(study: Study, name: str, training: LLaDAPretrainingConfig) -> None:
    """Trains one model from its last checkpoint, if there is one, and writes it when it is done."""
    torch._dynamo.reset()  # the graphs of the last model keep its weights
    checkpoint = find_last_checkpoint(training.output_dir)
    model = study.make_model(name, training.seed)
    kind = AutoregressivePretrainer if isinstance(model, LlamaForCausalLM) else LLaDAPretrainer
    if kind is AutoregressivePretrainer:
        model.config.bos_token_id = study.corpus.bos_token_id
    callback = MeasureCallback(study, name, Path(study.recipe.output_dir) / f"{name}.json")
    set_seed(training.seed)
    trainer = kind(model, training, study.rows, callbacks=[callback, InterruptCallback("`--resume`")])
    print(f"{name}: {model.num_parameters():,} parameters, from {checkpoint or 'the beginning'}", flush=True)
    trainer.train(resume_from_checkpoint=checkpoint)
    callback.write(trainer.state)
    if trainer.state.global_step >= training.max_steps:
        save_final(trainer, Path(study.recipe.data) / TOKENIZER)
