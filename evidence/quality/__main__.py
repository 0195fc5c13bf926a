# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How much quality does faster decoding cost? Exact match against forward passes, over the same prompts.

    python -m evidence.quality
    python -m evidence.quality --tasks couplet --limit 32 --json /tmp/quick.json
    python -m evidence.quality --weights int8 int4 fp8

The checkpoint is llada-poet. The questions are famous poems of its training data, so each has one right answer. They are
decoded greedily, in float32, without a stop at EOS. There are three tasks:

- line: the next line of a couplet (saturated: nearly always right);
- couplet: the rest of a couplet from its first two characters (lines of five) or three (lines of seven);
- poem: the last three lines of a quatrain (五言绝句) from its header and first line.

A setting is a rule (what a step commits), a cache (what a step recomputes) and a block length. Each setting is compared with one
token a step without a cache, on the same task and with the same block length. A result is written as soon as it is known, and
a setting that is in the file is not run again. `make evidence` writes docs/quality.md and its plot from the file.

The expectation, written down before the first run, after a look at 24 to 128 prompts of each task (one token a step, 2 and 4
tokens a step, thresholds 0.6 and 0.9):

- threshold 0.9 with a dual cache: the paired interval contains 0 in all tasks, with more than 3 times fewer passes:
  7 times on lines, 4.5 times on couplets, 3.5 times on poems;
- a fixed number of tokens a step is worse than any parallel rule with as many passes: 2 tokens a step lose up to 3 points on
  couplets and 5 to 15 on poems, 4 tokens a step lose about 10 on couplets and nearly everything on poems;
- threshold 0.5 loses 5 to 10 points on couplets; threshold, factor, entropy bound and leap are on one frontier: at equal
  passes they differ by less than the intervals;
- margin and entropy are as good as low confidence, random remasking is worse by 20 points or more on poems;
- prefix and vicinity caches make no difference outside the intervals, the dual cache costs at most 5 points on poems; no cache
  changes the number of passes by more than 10%;
- the number of tokens in a block matters more than the cache: with half a line in a block, a step can commit fewer tokens,
  and the parallel rules need more passes.

`--weights` runs one token a step and threshold 0.9, without a cache and with the dual one, on projections that torchao has
quantized, or `quantize_for_decoding`, each compared with the same setting on plain weights. If torchao has no kernel for a kind, its weights are
rounded in the same way and multiplied as floats, which shows the accuracy and not the speed; the page names the config.
The expectation, written down before the first run, after a look at the errors of one matrix (int4: 11% of its norm,
fp8: 2.6%):

- int8: all intervals contain 0, with at most 1 point of difference on lines and couplets and 4 on poems, passes within 3%
  and at least 99% of the characters the same on lines, 98% on couplets, 93% on poems;
- int4, rounded to nearest in groups of 128: a small model has no room for that: up to 3 points lost on lines, 5 to 15 on
  couplets, 10 to 25 on poems, and more passes with the threshold, because the model is less sure;
- fp8, weights only: between the two, at most 2 points lost on couplets and 6 on poems;
- own-fp8, weights and activations by `quantize_for_decoding` (3.6% of the norm of a projection), written down after a look at
  lines, which lose nothing: at most 2 points lost on couplets and 6 on poems.

Further settings have their tables in docs/evidence.md: margin, entropy and random remasking at one and at 4 tokens a step,
guidance, and, on poems, a canvas that is longer than the answer, with and without the EOS options. Such an answer has to end
with an EOS in the right place. The expectation, written down before the first run, after a look at 8 poems: in blocks of a line
a longer canvas makes no difference outside the intervals; in one block 46 more tokens lose 10 points or more, because the
model commits EOS first, and `confidence_eos_eot_inf` brings half of that back; `logits_eos_inf` never ends; guidance up to
1.0 makes no difference outside the intervals, and 2.0 loses. One block turned out differently: a longer canvas gains 10
points there, 7 with 46 more tokens, and `confidence_eos_eot_inf` loses 30. The rest is as expected, except that guidance of
1.0 loses already, 10 points on poems.

Drafts are verified before they are committed. The expectation: each has the hits of its rule without drafts, and one token
a step takes 2 to 4 times fewer passes with 4 drafts on lines and couplets, 1.3 to 2 times on poems; threshold 0.9 at most
1.5 times fewer than it takes without drafts.

The outcome is in docs/quality.md, beside the expectations.
"""

import argparse
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
from benchmarks.shapes import OWN_FP8, QUANTIZATIONS, ROUNDINGS, WEIGHT_BYTES, Unavailable, quantize
from evidence.quality.answers import Examiner
from evidence.quality.settings import Setting, further_settings_of, quantized_settings_of, settings_of
from evidence.quality.statistics import statistics_of
from evidence.quality.tasks import TASKS, questions_of
from reporting.results import load, save


ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "checkpoints/llada-poet"), help="folder of the checkpoint")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="what to ask")
    parser.add_argument("--only", default="", help="only settings with this in their name, and the baselines")
    parser.add_argument(
        "--weights",
        nargs="+",
        choices=list(WEIGHT_BYTES),
        default=[],
        help="run the few settings for weights quantized to these, instead of the others",
    )
    parser.add_argument("--limit", type=int, default=256, help="prompts of a task, at most (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="prompts of a forward pass (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the choice of prompts and of random remasking (%(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="where to run (%(default)s)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "evidence/results/quality.json", help="the results (%(default)s)"
    )
    args = parser.parse_args(arguments)
    if args.limit < 1 or args.batch_size < 1:
        parser.error("`--limit` and `--batch-size` must be at least 1.")
    run(args)


def run(args: argparse.Namespace) -> None:
    """Runs the settings that are missing in the file."""
    logging.disable_progress_bar()
    run_settings = {"model": Path(args.model).name, "limit": args.limit, "seed": args.seed}
    values = load(args.json, run_settings, weights={}, results={})
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
    save(args.json, values)  # keeps what torchao refuses, even if no setting is missing
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
    print(
        f"{len(results)} settings in {args.json}. `make evidence` writes the page from evidence/results/quality.json."
    )


def choose(args: argparse.Namespace, weights: dict[str, dict]) -> list[Setting]:
    """The settings whose name has the text of `--only`, and their baselines; with `--weights`, the quantized settings."""
    if args.weights:
        kinds = [kind for kind in args.weights if weights[kind]["config"] is not None]
        settings = [one for kind in kinds for task in args.tasks for one in quantized_settings_of(task, kind)]
        return [setting for setting in settings if args.only in setting.key]
    settings = [setting for task in args.tasks for setting in settings_of(task) + further_settings_of(task)]
    return [setting for setting in settings if args.only in setting.key or setting.is_baseline]


def add_statistics(values: dict, tasks: list[str]) -> None:
    """Adds the intervals of results that have none yet, because the pages compute nothing."""
    results, statistics = values["results"], values.setdefault("statistics", {})
    for task in tasks:
        settings = settings_of(task) + further_settings_of(task)
        settings += [one for kind in WEIGHT_BYTES for one in quantized_settings_of(task, kind)]
        for one in settings:
            if one.key in results and one.baseline.key in results and one.key not in statistics:
                statistics[one.key] = statistics_of(results[one.key], results[one.baseline.key])


def load_model(args: argparse.Namespace):
    return AutoModel.from_pretrained(args.model, dtype=torch.float32).to(args.device).eval()


def quantize_or_round(model: nn.Module, kind: str) -> dict[str, str | None]:
    """
    Quantizes in place. If torchao has no kernel, weights are rounded in the same way and multiplied as floats.

    Returns:
        `dict[str, str | None]`: The name of the config of torchao, and the error of the config with a kernel.
    """
    refused = None
    for configs in (QUANTIZATIONS, ROUNDINGS):
        if kind not in (*configs, OWN_FP8):
            continue
        try:
            return {"config": quantize(model, kind, configs), "refused": refused}
        except Unavailable as error:
            refused = refused or str(error)
    return {"config": None, "refused": refused}


def add(results: dict[str, dict], measured: dict[str, dict], path: Path) -> None:
    """Adds results to those of the file. A plain setting that is measured again must have the same result, for the pairs."""
    for key, result in measured.items():
        if results.setdefault(key, result) != result:
            sys.exit(
                f"`--json` must name a file of this machine, but {path} has another result for {key!r}. "
                "Name another file, or delete it."
            )


if __name__ == "__main__":
    main()
