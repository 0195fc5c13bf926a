# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The reversal curse on a laptop: two models of 0.4 M parameters and 64 couplets, minutes on a CPU.

    python -m recipes.poems.reversal_tiny --json reversal_cpu.json
    python -m recipes.poems.reversal_tiny --seeds 0 --steps 300      # one seed, too short to learn much

A LLaDA and its autoregressive twin of the same shape are trained from scratch on the same rows:

- all couplets as they are read: `LINE，LINE。`
- questions about half of them: `下LINE：LINE` for the line after a line, `上LINE：LINE` for the line before it.

Then both are asked about the other half. They have read its couplets, but no questions about them. Both models have the same
rows, batches, steps, learning rate, weight decay and shape, and of a question both predict only the answer. Only the loss differs.
The length of a run is given in steps, so that it repeats exactly on the same machine.

With `--mask-questions` questions are predicted as well. Then training rarely has the case of the test, a whole line given and all
of the answer masked, and the line before is found less often.

Most rows are couplets, and the weight decay is strong. Otherwise such a small LLaDA memorizes the questions separately from the
couplets, and answers no others.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, set_seed

from modeling_llada import LLaDAConfig, LLaDAForMaskedLM
from modeling_llada.evaluation.reversal import DIRECTIONS, Templates, asked_line, measure, rate
from modeling_llada.evaluation.reversal_models import CausalLines, LLaDALines
from modeling_llada.training import (
    AutoregressivePretrainer,
    LLaDAPretrainer,
    LLaDAPretrainingConfig,
    autoregressive_twin,
)
from modeling_llada.training.pretraining.batches import TensorRows
from modeling_llada.training.scripts import run_script
from recipes.poems.build_tokenizer import build_tokenizer
from recipes.poems.couplets import famous_couplets
from recipes.poems.dedupe import is_held_out
from reporting.results import command_of, describe_machine, save


TEMPLATES = Templates(next="下{line}：", previous="上{line}：")
LINE_LENGTH = 5
ROWS_PER_STEP = 64
COUPLET_SHARE = 3  # rows with a couplet for each row with a question
WEIGHT_DECAY = 1.0


def main(arguments: list[str] | None = None) -> None:
    """Trains and asks both models for each seed."""
    args = parse_arguments(arguments)
    report = {
        "couplets": args.couplets,
        "steps": args.steps,
        "rows_per_step": ROWS_PER_STEP,
        "learning_rate": args.learning_rate,
        "weight_decay": WEIGHT_DECAY,
        "mask_questions": args.mask_questions,
        "machine": describe_machine("cpu"),
        "torch": torch.__version__,
        "command": command_of("recipes.poems.reversal_tiny", sys.argv[1:] if arguments is None else arguments),
        "seconds": 0.0,
        "held_out": {},
        "seeds": {},
    }
    started = time.monotonic()
    for seed in args.seeds:
        report["seeds"][str(seed)] = run(seed, args)
        report["seconds"] = round(time.monotonic() - started, 1)
        report["held_out"] = pooled(report["seeds"].values())
        if args.json:
            save(args.json, report)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--couplets", type=int, default=64, help="couplets, half of them in the test (%(default)s)")
    parser.add_argument("--steps", type=int, default=1600, help="optimiser steps of each model (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="peak learning rate (%(default)s)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds of couplets, weights and rows (0 1 2)"
    )
    parser.add_argument("--mask-questions", action="store_true", help="also predict questions, as in pre-training")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args(arguments)
    for name, least in (("couplets", 4), ("steps", 1)):
        if getattr(args, name) < least:
            parser.error(f"`--{name}` must be at least {least}, but got {getattr(args, name)}")
    return args


def pooled(runs) -> dict:
    """The share of whole lines that are right on the half without questions, over all seeds, which have different couplets."""
    totals = {}
    for run in runs:
        for name, result in run.items():
            for task, summary in result["held_out"].items():
                hits = totals.setdefault(name, {}).setdefault(task, [])
                right = round(summary["exact"]["mean"] * summary["pairs"])
                hits += [True] * right + [False] * (summary["pairs"] - right)
    return {
        name: {task: {"pairs": len(hits)} | rate(hits) for task, hits in tasks.items()}
        for name, tasks in totals.items()
    }


def run(seed: int, args: argparse.Namespace) -> dict:
    """Trains both models on the couplets of a seed and asks them about the half that had no questions."""
    asked, held_out = choose_couplets(args.couplets, seed)
    tokenizer = build_tokenizer(sorted(set("".join(a + b for a, b in asked + held_out)) | set("，。下上：")))
    texts = training_rows(asked, held_out)
    ids = torch.tensor(tokenizer(texts)["input_ids"])
    predicted = None if args.mask_questions else torch.tensor([predicted_places(text) for text in texts])
    rows = TensorRows(ids, maskable=predicted)
    results = {}
    for name in ("llada", "twin"):
        set_seed(seed)
        model = make_llada(tokenizer)
        trainer_class = LLaDAPretrainer
        if name == "twin":
            model, trainer_class = autoregressive_twin(model.config), AutoregressivePretrainer
        started = time.monotonic()
        trainer_class(model, settings(args, seed, ids.shape[1]), train_dataset=rows).train()
        seconds = time.monotonic() - started
        results[name] = {"parameters": model.num_parameters(), "seconds": round(seconds, 1)}
        results[name] |= evaluate(name, model, tokenizer, asked, held_out)
        show(seed, name, results[name])
    return results


def choose_couplets(number: int, seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Draws couplets of five characters a line without a common line: those with questions, and the other half."""
    couplets, lines = [], set()
    pool = [couplet for couplet in famous_couplets() if len(couplet[0]) == LINE_LENGTH]
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed)).tolist()
    for first, second in (pool[index] for index in order):
        if lines.isdisjoint((first, second)):
            couplets.append((first, second))
            lines |= {first, second}
    halves = {False: [], True: []}
    for couplet in couplets:
        halves[is_held_out("".join(couplet), percent=50)].append(couplet)
    return halves[False][: number // 2], halves[True][: number // 2]


def training_rows(asked: list[tuple[str, str]], held_out: list[tuple[str, str]]) -> list[str]:
    """The texts of all rows, which have the same length."""
    couplets = [f"{first}，{second}。" for first, second in asked + held_out]
    questions = []
    for pair in asked:
        questions += [TEMPLATES.question(pair, direction) + asked_line(pair, direction) for direction in DIRECTIONS]
    return couplets * round(COUPLET_SHARE * len(questions) / len(couplets)) + questions


def predicted_places(text: str) -> list[bool]:
    """Marks all characters of a couplet, and only the answer of a question, as in fine-tuning."""
    question, colon, _ = text.partition("：")
    return [not colon or place > len(question) for place in range(len(text))]


def make_llada(tokenizer: PreTrainedTokenizerFast) -> LLaDAForMaskedLM:
    """A LLaDA with random weights."""
    return LLaDAForMaskedLM(
        LLaDAConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            mask_token_id=tokenizer.mask_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def settings(args: argparse.Namespace, seed: int, width: int) -> LLaDAPretrainingConfig:
    """The settings of both trainers."""
    return LLaDAPretrainingConfig(
        "runs/reversal-tiny",
        max_steps=args.steps,
        tokens_per_step=ROWS_PER_STEP * width,
        learning_rate=args.learning_rate,
        weight_decay=WEIGHT_DECAY,
        warmup_steps=min(100, args.steps // 10),
        random_length_ratio=0.0,
        seed=seed,
        use_cpu=True,
        save_strategy="no",
        logging_steps=args.steps,
        disable_tqdm=True,
    )


def evaluate(name: str, model, tokenizer, asked: list[tuple[str, str]], held_out: list[tuple[str, str]]) -> dict:
    """Summarizes the answers of a model on each half, by task."""
    kind = LLaDALines if name == "llada" else CausalLines
    lines = kind(model.eval(), tokenizer, TEMPLATES, max_new_tokens=LINE_LENGTH)
    return {"asked": measure(lines, asked), "held_out": measure(lines, held_out)}


def show(seed: int, name: str, result: dict) -> None:
    """Prints the exact matches on the half without questions."""
    matches = ", ".join(f"{task} {summary['exact']['mean']:.0%}" for task, summary in result["held_out"].items())
    print(
        f"seed {seed}  {name:<5} {result['parameters']:,} parameters, {result['seconds']:.0f} s: {matches}", flush=True
    )


if __name__ == "__main__":
    run_script(main)
