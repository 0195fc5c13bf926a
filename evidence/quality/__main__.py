# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How much quality does faster decoding cost? Exact match against forward passes, over the same prompts.

    python -m evidence.quality
    python -m evidence.quality --tasks couplet --limit 32 --json /tmp/quick.json
    python -m evidence.quality --weights int8 int4 fp8
    python -m evidence.quality --render

The checkpoint is llada-poet, the questions are famous poems of its training data, so each has one right answer. Greedy, in
float32, stop at EOS off. Three tasks:

- line: the next line of a couplet (saturated: nearly always right);
- couplet: the rest of a couplet from its first two characters (lines of five) or three (lines of seven);
- poem: the last three lines of a 五言绝句 from its header and first line.

A setting is a rule (what is committed at a step), a cache (what is recomputed) and a block length. Each is compared with
one token a step without a cache, same task and same block length. A result is written as soon as it is there, and a setting
that the file has is not run again. `--render` makes the section of benchmarks/README.md and the plot from the file.

The expectation, written down before the first run, after a look at 24 to 128 prompts of each task (one token a step, 2 and 4
tokens a step, thresholds 0.6 and 0.9):

- threshold 0.9 with a dual cache: the paired interval contains 0 in all tasks, with more than 3 times fewer passes:
  7 times on lines, 4.5 times on couplets, 3.5 times on poems;
- a fixed number of tokens a step is worse than any parallel rule with as many passes: 2 tokens a step lose up to 3 points on
  couplets and 5 to 15 on poems, 4 tokens a step lose about 10 on couplets and nearly everything on poems;
- threshold 0.5 loses 5 to 10 points on couplets; threshold, factor, entropy bound and leap lie on one frontier: at equal
  passes they differ by less than the intervals;
- margin and entropy are as good as low confidence, random remasking is worse by 20 points or more on poems;
- prefix and vicinity caches change nothing that the intervals show, the dual cache costs at most 5 points on poems; no cache
  changes the number of passes by more than 10%;
- the number of tokens in a block matters more than the cache: with half a line a block, fewer tokens can be committed
  at a step, and the parallel rules need more passes.

`--weights` runs one token a step and threshold 0.9, without a cache and with the dual one, on projections that torchao has
quantized, each compared with the same setting on plain weights. Where torchao has no kernel for a kind, its weights are
rounded in the same way and multiplied as floats, which shows the accuracy and not the speed; the page names the config.
The expectation, written down before the first run, after a look at the errors of one matrix (int4: 11% of its norm,
fp8: 2.6%):

- int8: all intervals contain 0, with at most 1 point of difference on lines and couplets and 4 on poems, passes within 3%
  and at least 99% of the characters the same on lines, 98% on couplets, 93% on poems;
- int4, rounded to nearest in groups of 128: a small model has no room for that: up to 3 points lost on lines, 5 to 15 on
  couplets, 10 to 25 on poems, and more passes with the threshold, because the model is less sure;
- fp8, weights only: between the two, at most 2 points lost on couplets and 6 on poems.

Further settings have their tables in docs/evidence.md: margin, entropy and random remasking at one and at 4 tokens a step,
guidance, and, on poems, a canvas that is longer than the answer, which then has to end with an EOS at the right place, with
and without the EOS options. The expectation, written down before the first run, after a look at 8 poems: in blocks of a line
a longer canvas changes nothing that the intervals show; in one block 46 more tokens lose 10 points or more, because the
model commits EOS first, and `confidence_eos_eot_inf` brings half of that back; `logits_eos_inf` never ends; guidance up to
1.0 changes nothing that the intervals show, and 2.0 loses. It came out otherwise in one block: a longer canvas gains 10 points
there, 7 with 46 more tokens, and `confidence_eos_eot_inf` loses 30. The rest is as expected, but guidance of 1.0 loses
already, 10 points on poems.

Drafts are verified before they are committed. The expectation: each has the hits of its rule without drafts, and one token
a step takes 2 to 4 times fewer passes with 4 drafts on lines and couplets, 1.3 to 2 times on poems; threshold 0.9 at most
1.5 times fewer than it takes without drafts.

The outcome is in benchmarks/README.md, beside the expectations.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

import modeling_llada  # noqa: F401  registers the classes
from benchmarks.shapes import QUANTIZATIONS, ROUNDINGS, Unavailable, quantize
from evidence.quality.answers import Examiner
from evidence.quality.plot import quality_svg
from evidence.quality.report import render_section, replace_section
from evidence.quality.settings import Setting, further_settings_of, quantized_settings_of, settings_of
from evidence.quality.statistics import statistics_of
from evidence.quality.tasks import TASKS, questions_of
from modeling_llada.writing import write_atomically
from recipes.resumable import load, save


ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "checkpoints/llada-poet"), help="folder of the checkpoint")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="what to ask")
    parser.add_argument("--only", default="", help="only the settings whose name holds this, and the baselines")
    parser.add_argument(
        "--weights",
        nargs="+",
        choices=list(QUANTIZATIONS),
        default=[],
        help="in place of the other settings, the few that are run with weights quantized to these",
    )
    parser.add_argument("--limit", type=int, default=256, help="prompts of a task, at most (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="prompts of a forward pass (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="choice of the prompts, and random remasking (%(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="where to run (%(default)s)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "evidence/results/quality.json", help="the results (%(default)s)"
    )
    parser.add_argument("--render", action="store_true", help="write the section and the plot, and run nothing")
    parser.add_argument("--readme", type=Path, default=ROOT / "benchmarks/README.md", help="the page of the section")
    parser.add_argument("--svg", type=Path, default=ROOT / "docs/pictures/quality.svg", help="the plot")
    args = parser.parse_args(arguments)
    if args.limit < 1 or args.batch_size < 1:
        parser.error("`--limit` and `--batch-size` must be at least 1.")
    if args.render:
        render(args)
    else:
        run(args)


def run(args: argparse.Namespace) -> None:
    """Runs the settings that the file does not have yet."""
    logging.disable_progress_bar()
    run_settings = {"model": Path(args.model).name, "limit": args.limit, "seed": args.seed}
    values = {"weights": {}} | load(args.json, run_settings)
    results = values["results"]
    tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side="left")
    models = {None: load_model(args)}
    for kind in args.weights:
        models[kind] = load_model(args)
        values["weights"][kind] = quantize_or_round(models[kind], kind)
    questions = {task: questions_of(task, args.limit, args.seed) for task in args.tasks}
    examiner = Examiner(models, tokenizer, questions, args.batch_size, args.seed)
    chosen = choose(args, values["weights"])
    missing = [setting for setting in chosen if setting.key not in results]
    add_statistics(values, args.tasks)
    save(args.json, values)  # what torchao refuses, even where nothing is missing
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("settings", total=len(chosen), completed=len(chosen) - len(missing))
        for setting in missing:
            progress.update(bar, description=setting.key)
            started = time.monotonic()
            add(results, examiner.measure(setting), args.json)
            values["seconds"] = round(values["seconds"] + time.monotonic() - started, 1)
            add_statistics(values, [setting.task])
            save(args.json, values)
            progress.advance(bar)
    print(f"{len(results)} settings in {args.json}. `--render` makes the section and the plot.")


def choose(args: argparse.Namespace, weights: dict[str, dict]) -> list[Setting]:
    """The settings with a text in their name, and their baselines; with `--weights` the quantized ones instead."""
    if args.weights:
        kinds = [kind for kind in args.weights if weights[kind]["config"] is not None]
        settings = [one for kind in kinds for task in args.tasks for one in quantized_settings_of(task, kind)]
        return [setting for setting in settings if args.only in setting.key]
    settings = [setting for task in args.tasks for setting in settings_of(task) + further_settings_of(task)]
    return [setting for setting in settings if args.only in setting.key or setting.is_baseline]


def add_statistics(values: dict, tasks: list[str]) -> None:
    """The intervals of the results that have none yet, for docs/evidence.md, which computes nothing."""
    results, statistics = values["results"], values.setdefault("statistics", {})
    for setting in [setting for task in tasks for setting in settings_of(task) + further_settings_of(task)]:
        if setting.key in results and setting.baseline.key in results and setting.key not in statistics:
            statistics[setting.key] = statistics_of(results[setting.key], results[setting.baseline.key])


def load_model(args: argparse.Namespace):
    return AutoModel.from_pretrained(args.model, dtype=torch.float32).to(args.device).eval()


def quantize_or_round(model: nn.Module, kind: str) -> dict[str, str | None]:
    """
    Quantizes in place. Where torchao has no kernel, weights are rounded in the same way and multiplied as floats.

    Returns:
        `dict[str, str | None]`: The name of the config of torchao, and what torchao said to the one with a kernel.
    """
    refused = None
    for configs in (QUANTIZATIONS, ROUNDINGS):
        if kind not in configs:
            continue
        try:
            return {"config": quantize(model, kind, configs), "refused": refused}
        except Unavailable as error:
            refused = refused or str(error)
    return {"config": None, "refused": refused}


def add(results: dict[str, dict], measured: dict[str, dict], path: Path) -> None:
    """Adds results to those of the file. What was measured again has to be the same, or pairs are none."""
    for key, result in measured.items():
        if results.setdefault(key, result) != result:
            sys.exit(
                f"`--json` must name a file that this machine can continue: {path} has another result for {key!r}. "
                "Name another file, or delete it."
            )


def render(args: argparse.Namespace) -> None:
    """Writes the section of the page and the plot."""
    if not args.json.exists():
        sys.exit(f"`--json` must name a file of results, but there is no {args.json}. Run without `--render` first.")
    values = json.loads(args.json.read_text(encoding="utf-8"))
    write_atomically(args.svg, quality_svg(values["results"]))
    page = args.readme.read_text(encoding="utf-8") if args.readme.exists() else "# Benchmarks\n"
    write_atomically(args.readme, replace_section(page, render_section(values)))
    print(f"Wrote {args.svg} and a section of {args.readme}.")


if __name__ == "__main__":
    main()
