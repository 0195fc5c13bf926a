# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains the first model on rewards, once for each task, likelihood and seed, several runs at a time on one device."""

import json
import math
import multiprocessing
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

import torch
from datasets import Dataset

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.training import LLaDAGRPOTrainer, find_last_checkpoint
from modeling_llada.training.callbacks import InterruptCallback, TimeLimitCallback
from modeling_llada.training.tokenizing.workers import end_with_parent
from modeling_llada.writing import complete_or_absent
from recipes.reasoning.prepare import load_problems
from recipes.reasoning.recipe import BASE, Recipe, load_run, reward_arguments
from recipes.reasoning.rewards import is_formed, is_right
from recipes.runs import LEAST_SECONDS, STARTED, check_names
from reporting.results import save


def reward(run: Path, names: list[str] | None, processes: int, device: str | None, max_minutes: float | None) -> None:
    """Trains all policies that are not done. After the time limit, or when it was killed, the same command goes on."""
    recipe = load_run(run)
    if not (run / BASE / "final").is_dir():
        raise ValueError(
            f"`--run` must have the first model, but there is no {run / BASE / 'final'}. Run `train` first."
        )
    waiting = [name for name in check_names(names, recipe.runs()) if not is_done(run, name)]
    # Of the wall clock, which all processes share.
    ends = math.inf if max_minutes is None else time.time() - (time.monotonic() - STARTED) + 60 * max_minutes
    context = multiprocessing.get_context("spawn")  # a fork cannot use CUDA
    with ProcessPoolExecutor(processes, context, end_with_parent) as pool:
        try:
            running, begun = set(), False
            while True:
                # The first one is begun in any case, so that each call gets on.
                while waiting and len(running) < processes and (not begun or ends - time.time() > LEAST_SECONDS):
                    running.add(pool.submit(train_policy, recipe, waiting.pop(0), device, ends))
                    begun = True
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    print(one.result(), flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    number = sum(is_done(run, name) for name in recipe.runs())
    print(f"{number} of {len(recipe.runs())} policies are done after {time.monotonic() - STARTED:.0f} s", flush=True)


def is_done(run: Path, name: str) -> bool:
    return (run / name / "final").is_dir()


def train_policy(recipe: Recipe, name: str, device: str | None, ends: float) -> str:
    """Trains one policy from its last checkpoint, if there is one, and writes it and its log when it is done."""
    task, likelihood, seed = recipe.runs()[name]
    folder, started = recipe.folder / name, time.monotonic()
    torch.set_float32_matmul_precision("high")
    options = {"use_cpu": True} if device == "cpu" else {}
    callbacks = [InterruptCallback("the same command")]
    if ends < math.inf:
        callbacks.append(TimeLimitCallback(max((ends - time.time()) / 60, 1e-9)))
    prompts = [problem.prompt for problem in load_problems(recipe, "train") if problem.task == task]
    trainer = LLaDAGRPOTrainer(
        LLaDAForMaskedLM.from_pretrained(recipe.folder / BASE / "final", dtype=torch.float32),
        [is_right, is_formed],
        reward_arguments(recipe, str(folder), likelihood, seed, **options),
        Dataset.from_dict({"prompt": prompts[: recipe.prompts]}),
        callbacks=callbacks,
    )
    checkpoint = find_last_checkpoint(str(folder))
    trainer.train(resume_from_checkpoint=checkpoint)
    step, steps = trainer.state.global_step, trainer.args.max_steps
    seconds = time.monotonic() - started + seconds_before(folder)
    save(folder / "log.json", {"seconds": round(seconds, 1), "log": trainer.state.log_history})
    if step >= steps:
        with complete_or_absent(folder / "final") as unfinished:
            trainer.save_model(str(unfinished))
    return f"{name}: step {step} of {steps} after {seconds:.0f} s"


def seconds_before(folder: Path) -> float:
    """The seconds of earlier calls that trained a policy up to a time limit."""
    path = folder / "log.json"
    return json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.is_file() else 0.0
