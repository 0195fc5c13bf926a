# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The reversal test with a fair protocol: a LLaDA and autoregressive twins that have read the same text.

    # the twin: the recipe of llada-poet with a causal model (GPU)
    python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz --twin \
        --output-dir runs/twin --set training.eval_steps=1500 training.save_steps=1500 training.save_total_limit=20
    mv runs/twin/checkpoint-1500 runs/twin/early

    # the test (GPU, minutes); the same command continues after an interruption
    python -m recipes.poems.reversal --twin twin=runs/twin/final --twin early=runs/twin/early \
        --candidates data/candidates.json --device cuda --rows 2048 --json evidence/results/reversal.json

    # a rehearsal without twins
    python -m recipes.poems.reversal --steps 4 --batch-size 8 --limit 8 --seeds 0

All models have read the famous couplets from left to right, and nothing else about them. Half of the couplets, chosen by a hash,
become questions (上一句 for the line before, 下一句 for the line after). Each model is fine-tuned on them with the same rows, steps,
batch size and learning rate, and with a loss on the answers only. Then it is asked about the other half. Couplets that share a
line with another couplet are left out, so that each question has one answer.

The answer is the line that is asked for, or (`couplet`) both lines in their order, because a masked diffusion model recalls a line
best beside the other one, and may write that first. Both kinds of model are fine-tuned on both kinds of answer.

- `base` is the recall before fine-tuning: of the LLaDA by infilling, of a twin by continuing the first line.
- `curve` is the share of whole lines that are right on the other half during fine-tuning.
- `ranks` are the ranks of the true line among the lines of `--candidates` (`ranking.py`), from poems that no model has read.

There may be several twins, such as one that was trained as long as the LLaDA and one that recalls as much, because masked
diffusion memorizes more slowly. All share the tokenizer of the LLaDA.
"""

import argparse
import hashlib
import sys
import time
from itertools import product
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.evaluation.line_ranking import RankedPair, rank_pairs, read_candidates, summarise_ranks
from modeling_llada.evaluation.reversal import DIRECTIONS, Templates, asked_line, measure
from modeling_llada.evaluation.reversal_models import CausalLines, Lines, LLaDALines
from modeling_llada.training import LLaDASFTConfig, LLaDASFTTrainer
from modeling_llada.training.scripts import run_script
from recipes.poems.couplets import famous_couplets
from recipes.poems.dedupe import is_held_out
from reporting import results


TEMPLATES = Templates()
# Tokens of the longest answer and its EOS. Shorter answers are padded with EOS.
ANSWER_LENGTHS = {"line": 8, "couplet": 17}
SETTINGS = ("steps", "batch_size", "learning_rate", "evaluations", "limit")


def main(arguments: list[str] | None = None) -> None:
    """Measures what is missing in the file, one model after the other."""
    args = parse_arguments(arguments)
    torch.set_float32_matmul_precision("high")
    train, test = split_couplets(famous_couplets())
    ranked = read_candidates(args.candidates)[: args.limit] if args.candidates else []
    test = test[: args.limit]
    models = {"llada": args.model} | dict(args.twin)
    report = load_report(args, {"train": len(train), "test": len(test), "ranked": len(ranked)}, arguments)
    for name, folder in models.items():
        entry = report["models"].setdefault(name, {"fine_tuned": {}})
        if "base" not in entry:
            entry["base"] = measure_base(name, folder, test, ranked, args)
            show(name, "base", entry["base"]["summary"])
            save(report, args.json)
        for answer, seed in product(args.answers, args.seeds):
            done = entry["fine_tuned"].setdefault(answer, {})
            if str(seed) not in done:
                # Only one seed is ranked, because ranking takes longer than all the rest.
                is_ranked = (answer, seed) == ("line", args.seeds[0])
                done[str(seed)] = fine_tune(name, folder, train, test, ranked if is_ranked else [], answer, seed, args)
                show(name, f"{answer} {seed}", done[str(seed)]["summary"])
                save(report, args.json)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/llada-poet", help="folder of the LLaDA (%(default)s)")
    parser.add_argument(
        "--twin", type=named_folder, action="append", default=[], metavar="NAME=FOLDER", help="a twin; may be repeated"
    )
    parser.add_argument("--candidates", help="file of ranking.py; without it nothing is ranked")
    parser.add_argument(
        "--answers", nargs="+", choices=list(ANSWER_LENGTHS), default=list(ANSWER_LENGTHS), help="(line couplet)"
    )
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps of fine-tuning (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=128, help="rows of a step (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="peak learning rate (%(default)s)")
    parser.add_argument("--evaluations", type=int, default=5, help="points of the curve (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds of the fine-tuning (0 1)")
    parser.add_argument("--limit", type=int, help="ask about and rank only the first N couplets")
    parser.add_argument("--device", default="cpu", help="where to run, such as cuda (%(default)s)")
    parser.add_argument("--rows", type=int, default=512, help="sequences of a forward pass when asking (%(default)s)")
    parser.add_argument("--json", type=Path, help="the file of results, which is continued if it exists")
    args = parser.parse_args(arguments)
    for name in ("steps", "batch_size", "evaluations", "rows", "limit"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"`--{name.replace('_', '-')}` must be at least 1, but got {value}")
    if len({"llada", *(name for name, _ in args.twin)}) <= len(args.twin):
        names = ", ".join(name for name, _ in args.twin)
        parser.error(f"`--twin` needs different names, and not llada, but got {names}")
    return args


def named_folder(text: str) -> tuple[str, str]:
    """Reads NAME=FOLDER."""
    name, equals, folder = text.partition("=")
    if not (name and equals and Path(folder).is_dir()):
        raise argparse.ArgumentTypeError(f"NAME=FOLDER with a folder that is there, but got {text!r}")
    return name, folder


def split_couplets(couplets: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The couplets with questions in training, and the other half. No line is in two couplets."""
    counts = {}
    for line in sum(couplets, ()):
        counts[line] = counts.get(line, 0) + 1
    halves = {False: [], True: []}
    for couplet in couplets:
        if all(counts[line] == 1 for line in couplet):
            halves[is_held_out("".join(couplet), percent=50)].append(couplet)
    return halves[False], halves[True]


def load_report(args: argparse.Namespace, couplets: dict[str, int], arguments: list[str] | None) -> dict:
    """The results so far, or an empty report."""
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings |= {"answer_lengths": ANSWER_LENGTHS, "templates": vars(TEMPLATES), "model": args.model}
    if args.candidates:
        # By their content, since a file of the same length may have other lines.
        settings["candidates"] = hashlib.sha256(Path(args.candidates).read_bytes()).hexdigest()[:16]
    report = results.load(
        args.json,
        settings,
        couplets=couplets,
        machine=results.describe_machine(args.device),
        torch=torch.__version__,
        command=results.command_of("recipes.poems.reversal", sys.argv[1:] if arguments is None else arguments),
        models={},
    )
    if report["couplets"] != couplets:
        raise ValueError(
            f"`--json` must name a file with {couplets} couplets, but {args.json} has {report['couplets']}."
        )
    return report


def save(report: dict, path: Path | None) -> None:
    """Writes the results so far with their seconds, those of earlier calls included."""
    models = report["models"].values()
    runs = [entry["base"] for entry in models]
    runs += [run for entry in models for seeds in entry["fine_tuned"].values() for run in seeds.values()]
    report["seconds"] = round(sum(run["seconds"] for run in runs), 1)
    if path is not None:
        results.save(path, report)


def load(name: str, folder: str, args: argparse.Namespace):
    """Loads a model in float32, and the tokenizer of the LLaDA, because intermediate checkpoints have none."""
    model_class = LLaDAForMaskedLM if name == "llada" else AutoModelForCausalLM
    model = model_class.from_pretrained(folder, dtype=torch.float32).to(args.device)
    return model, AutoTokenizer.from_pretrained(args.model)


def lines_of(name: str, model, tokenizer, answer: str, args: argparse.Namespace) -> Lines:
    """Wraps a model to ask it for lines, with enough new tokens for a kind of answer."""
    settings = {"max_new_tokens": ANSWER_LENGTHS[answer], "batch_size": args.rows}
    if name != "llada":
        return CausalLines(model.eval(), tokenizer, TEMPLATES, **settings)
    # Recorded steps would move the weights in memory, in the middle of training.
    return LLaDALines(model.eval(), tokenizer, TEMPLATES, **settings, options={"disable_compile": True})


def measure_base(name: str, folder: str, test: list, ranked: list[RankedPair], args: argparse.Namespace) -> dict:
    """Measures the recall of a model before fine-tuning."""
    started = time.monotonic()
    model, tokenizer = load(name, folder, args)
    lines = lines_of(name, model, tokenizer, "line", args)
    lines.tasks = tuple(task for task in lines.tasks if task[0] != "question")
    result = {"parameters": model.num_parameters(), "summary": measure(lines, test)}
    if ranked:
        result["ranks"] = rank(lines, ranked, ["text"])
    return result | {"seconds": round(time.monotonic() - started, 1)}


def fine_tune(
    name: str, folder: str, train: list, test: list, ranked: list, answer: str, seed: int, args: argparse.Namespace
) -> dict:
    """Fine-tunes a model on the questions about one half, and asks about the other."""
    started = time.monotonic()
    set_seed(seed)
    model, tokenizer = load(name, folder, args)
    rows = Dataset.from_list(training_rows(lines_of(name, model, tokenizer, answer, args), train, answer))
    curve = Curve(name, tokenizer, test, answer, args)
    config_class, trainer_class = (LLaDASFTConfig, LLaDASFTTrainer) if name == "llada" else (SFTConfig, SFTTrainer)
    trainer = trainer_class(
        model, config_class(**trainer_settings(seed, args)), train_dataset=rows, processing_class=tokenizer
    )
    trainer.add_callback(curve)
    trainer.train()
    trained = time.monotonic()
    losses = [
        {key: round(log[key], 5) for key in ("step", "loss")} for log in trainer.state.log_history if "loss" in log
    ]
    lines = lines_of(name, trainer.model.to(args.device).float(), tokenizer, answer, args)
    result = {"losses": losses, "curve": curve.points, "summary": measure(lines, test)}
    if ranked:
        result["ranks"] = rank(lines, ranked, ["text", "question"])
    seconds = {"training_seconds": round(trained - started, 1), "seconds": round(time.monotonic() - started, 1)}
    return result | seconds


def training_rows(lines: Lines, pairs: list[tuple[str, str]], answer: str) -> list[dict]:
    """Both questions about each pair with their answers, padded with EOS to one length."""
    end = lines.tokenizer.eos_token_id
    rows = []
    for pair in pairs:
        for direction in DIRECTIONS:
            question = lines.question(pair, direction)
            response = lines.encode(TEMPLATES.text(pair) if answer == "couplet" else asked_line(pair, direction))
            response += [end] * (ANSWER_LENGTHS[answer] - len(response))
            rows.append({"input_ids": question + response, "labels": [-100] * len(question) + response})
    return rows


def trainer_settings(seed: int, args: argparse.Namespace) -> dict:
    """The settings of both trainers."""
    return {
        "output_dir": "runs/reversal",
        "max_steps": args.steps,
        "per_device_train_batch_size": args.batch_size,
        "learning_rate": args.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": max(1, args.steps // 10),
        "max_length": None,
        "gradient_checkpointing": False,
        "bf16": args.device.startswith("cuda"),
        "use_cpu": args.device == "cpu",
        "seed": seed,
        "save_strategy": "no",
        "logging_steps": max(1, args.steps // 20),
        "report_to": "none",
        "disable_tqdm": True,
    }


class Curve(TrainerCallback):
    """Asks the questions about the other half at equal intervals."""

    def __init__(self, name: str, tokenizer, test: list, answer: str, args: argparse.Namespace):
        self.name, self.tokenizer, self.test, self.answer, self.args = name, tokenizer, test, answer, args
        self.steps = {round(args.steps * (i + 1) / args.evaluations) for i in range(args.evaluations)}
        self.points = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step not in self.steps:
            return
        lines = lines_of(self.name, model, self.tokenizer, self.answer, self.args)
        lines.tasks = tuple(task for task in lines.tasks if task[0] == "question")
        summary = measure(lines, self.test)
        self.points.append({"step": state.global_step} | {task: one["exact"] for task, one in summary.items()})
        model.train()


def rank(lines: Lines, ranked: list[RankedPair], forms: list[str]) -> dict:
    """Ranks the true lines, and summarizes the ranks."""
    ranks = {}
    for _ in rank_pairs(lines, ranked, ranks, forms=forms):
        pass
    return summarise_ranks(ranks, ranked)


def show(name: str, what: str, summary: dict) -> None:
    matches = ", ".join(f"{task} {one['exact']['mean']:.1%}" for task, one in summary.items())
    print(f"{name:<12} {what:<10} {matches}", flush=True)


if __name__ == "__main__":
    run_script(main)
