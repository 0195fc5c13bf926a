# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What is measured of a model: how many held-out problems it solves, by the way of decoding."""

import time
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

import modeling_llada  # noqa: F401  registers the classes
from modeling_llada.evaluation.intervals import wilson_interval
from modeling_llada.seeds import indexed_generator
from recipes.reasoning.policies import is_done
from recipes.reasoning.prepare import load_problems
from recipes.reasoning.problems import Problem
from recipes.reasoning.recipe import BASE, Measure, Recipe, load_run
from recipes.reasoning.rewards import is_formed, is_right
from recipes.runs import check_names
from reporting.results import describe_machine, find_versions, rounded, save


def measure(run: Path, names: list[str] | None, device: str | None) -> None:
    """Measures the models that are done and not measured yet: the first one on all tasks, a policy on its own."""
    recipe = load_run(run)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tasks = {BASE: list(recipe.tasks)} | {name: [task] for name, (task, *_) in recipe.runs().items()}
    problems = load_problems(recipe, "test")
    for name in check_names(names, tasks):
        if is_done(run, name) and not result_path(run, name).is_file():
            started = time.monotonic()
            examiner = Examiner(Measure(**recipe.measure), recipe, run / name / "final", device)
            result = {task: examiner.result([one for one in problems if one.task == task]) for task in tasks[name]}
            seconds = round(time.monotonic() - started, 1)
            about = {"machine": describe_machine(device), "versions": find_versions("trl"), "seconds": seconds}
            save(result_path(run, name), {"parameters": examiner.model.num_parameters(), "tasks": result} | about)
            right = ", ".join(f"{task} {first(ways)['right']['mean']:.1%}" for task, ways in result.items())
            print(f"{name}: {right} right, {seconds:.0f} s", flush=True)


def result_path(run: Path, name: str) -> Path:
    """The file of what was measured of a model."""
    return run / f"{name}.json"


def first(values: dict):
    return next(iter(values.values()))


class Examiner:
    """A model with the problems that it is asked."""

    def __init__(self, settings: Measure, recipe: Recipe, folder: Path, device: torch.device):
        self.settings, self.canvas = settings, recipe.canvas
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval().to(device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def result(self, problems: list[Problem]) -> dict[str, dict]:
        """By the way of decoding: the share of right answers and of well-formed ones, and the forward passes of an answer."""
        problems = problems[: self.settings.problems]
        return {name: self.counts(problems, options) for name, options in self.settings.decoding.items()}

    def counts(self, problems: list[Problem], options: dict) -> dict:
        answers, passes, size = [], 0, self.settings.batch_size
        for start in range(0, len(problems), size):
            texts, number = self.answer(problems[start : start + size], start, options)
            answers += texts
            passes += number
        prompts = [problem.prompt for problem in problems]
        hits, formed = (int(sum(check(prompts, answers))) for check in (is_right, is_formed))
        low, high = wilson_interval(hits, len(problems))
        return {
            "problems": len(problems),
            "right": rounded({"mean": hits / len(problems), "low": low, "high": high}),
            "formed": rounded(formed / len(problems)),
            "passes": rounded(passes / len(problems)),
        }

    def answer(self, problems: list[Problem], start: int, options: dict) -> tuple[list[str], int]:
        """The answers to a batch up to their first EOS, and the forward passes of all of them."""
        device = self.model.device
        prompts = self.tokenizer([one.prompt for one in problems], padding=True, return_tensors="pt").to(device)
        draws = [indexed_generator(self.settings.seed, start + row, device) for row in range(len(problems))]
        output = self.model.generate(
            **prompts,
            max_new_tokens=self.canvas,
            generator=draws if options.get("temperature", 0) > 0 else None,
            return_dict_in_generate=True,
            **options,
        )
        answers = output.sequences[:, prompts.input_ids.shape[1] :].tolist()
        end = self.tokenizer.eos_token_id
        texts = [self.tokenizer.decode(ids[: ids.index(end)] if end in ids else ids) for ids in answers]
        return texts, int(output.num_forward_passes.sum())
