# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada eval reversal`: is a line found from the one after it as well as from the one before it?"""

import argparse
import json
import sys
import time
from hashlib import sha256
from pathlib import Path

from .arguments import add_model_arguments, check_output_file, check_seed, find_checkpoint
from .decoding import add_decoding_arguments, check_options, chosen_options
from .errors import CommandError
from .terminal import quiet_libraries, spinner


DESCRIPTION = """Ask for the line after and the line before a given one, and compare both directions.

A LLaDA is asked by a question and by masks in place of the line; a twin, which is any autoregressive model, by a question
and, forwards, by going on after the line. An answer is exact if its first line is the true one. With --candidates, the true
line is also ranked among others by its log-likelihood; an autoregressive model ranks previous lines by Bayes.
"""
EXAMPLES = """examples:
  the famous couplets that the shipped checkpoint brings along:
    llada eval reversal --limit 100
  its twin beside it, with the ranks of held-out lines:
    llada eval reversal --twin runs/twin/final --candidates data/candidates.json --output reversal.json
  the published setting, on the pairs of the public repository:
    llada eval reversal --model GSAI-ML/LLaDA-8B-Instruct --pairs poem_data.json --chat-template --max-new-tokens 28
        --template-next "{line}的下一句是什么？ 直接输出句子即可。" --template-previous "{line}的上一句是什么？ 直接输出句子即可。"
  pairs in another language:
    llada eval reversal --pairs pairs.json --template-next "What follows {line}?" --template-previous
        "What comes before {line}?" --template-document "{first} {second}"

Files of --pairs are JSON lists of [first, second], or of objects with these two keys; recipes/poems/ranking.py writes
files of --candidates. With --output, answers are kept as they come: the same command goes on after an interruption, and
with another --limit or --batch-size.
"""
SAVE_EVERY = 20  # seconds
PAIRS_FILE = "pairs.json"  # in the folder of a checkpoint


def add_reversal_parser(benchmarks: argparse._SubParsersAction) -> None:
    """Adds `llada eval reversal`."""
    parser = benchmarks.add_parser(
        "reversal", help="the line before against the line after", description=DESCRIPTION, epilog=EXAMPLES
    )
    parser.set_defaults(run=run)
    task = parser.add_argument_group("task")
    task.add_argument(
        "--pairs", type=Path, metavar="FILE", help="JSON list of pairs of lines (pairs.json of the checkpoint)"
    )
    task.add_argument("--candidates", type=Path, metavar="FILE", help="rank the lines of these pairs among others")
    task.add_argument("--twin", metavar="PATH_OR_ID", help="an autoregressive model to compare with")
    task.add_argument("--limit", type=int, metavar="N", help="only the first N pairs, and the first N to rank")
    words = parser.add_argument_group("words")
    words.add_argument("--template-next", metavar="TEXT", help="question for the next line ({line}的下一句是什么？)")
    words.add_argument("--template-previous", metavar="TEXT", help="for the previous one ({line}的上一句是什么？)")
    words.add_argument("--template-document", metavar="TEXT", help="where both lines stand ({first}，{second}。)")
    words.add_argument("--chat-template", action="store_true", help="make a chat of each question")
    estimate = parser.add_argument_group("likelihood")
    estimate.add_argument(
        "--num-samples",
        type=int,
        metavar="N",
        help="noise samples of a line, even (all masks up to 8 tokens, else 128)",
    )
    add_decoding_arguments(parser)
    add_model_arguments(parser)
    output = parser.add_argument_group("run")
    output.add_argument("--batch-size", type=int, default=64, metavar="N", help="sequences of a forward pass (64)")
    output.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON, and resume from there")
    output.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> None:
    """Runs the test as the command line asks."""
    check_arguments(args)
    name = find_checkpoint(args.model)
    quiet_libraries()
    pairs, ranked, templates = read_task(args, name)
    options = chosen_options(args)
    check_options(options)
    with spinner(f"loading {name}"):
        models = {"llada": load_llada(name, args, templates, options)}
    if args.twin:
        with spinner(f"loading {args.twin}"):
            models["twin"] = load_twin(args, templates)
    for lines in models.values():
        lines.max_new_tokens = options.get("max_new_tokens") or longest(models, pairs) + 1
    pairs, ranked = pairs[: args.limit], ranked[: args.limit]

    results = open_results(args, settings_of(args, name, models, options, templates))
    started, before = time.monotonic(), results["seconds"]
    saved = started
    for _ in with_progress(work(models, pairs, ranked, results, args), count(models, pairs, ranked, results)):
        results["seconds"] = round(before + time.monotonic() - started, 1)
        if args.output is not None and time.monotonic() - saved > SAVE_EVERY:
            write_results(args.output, results)
            saved = time.monotonic()
    report = {"summary": summary_of(results, pairs, ranked), **results}
    if args.output is not None:
        write_results(args.output, report)
    if args.json:
        sys.stdout.write(json.dumps(report["summary"], ensure_ascii=False) + "\n")
    else:
        write_tables(report["summary"])


def check_arguments(args: argparse.Namespace) -> None:
    """Checks what can be checked without a model.

    Raises:
        `CommandError`: if an argument is out of its range, or a file cannot be written.
    """
    for option in ("limit", "batch_size"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise CommandError(f"`--{option.replace('_', '-')}` must be at least 1, but got {value}.")
    if args.num_samples is not None and (args.num_samples < 2 or args.num_samples % 2):
        raise CommandError(f"`--num-samples` must be even and at least 2, but got {args.num_samples}.")
    if args.temperature:
        raise CommandError("`--temperature`: the test decodes greedily. Leave it out.")
    if args.output is not None:
        check_output_file("--output", args.output)
    if args.seed is not None:
        check_seed(args.seed)


def read_task(args: argparse.Namespace, name: str):
    """The pairs, those to rank, and the words around them.

    Raises:
        `CommandError`: if a file or a template is not what it should be.
    """
    from modeling_llada.evaluation.line_ranking import read_candidates
    from modeling_llada.evaluation.reversal import Templates, read_pairs

    words = {name: getattr(args, f"template_{name}") for name in ("next", "previous", "document")}
    templates = checked("template", Templates, **{name: text for name, text in words.items() if text is not None})
    pairs = checked("pairs", read_pairs, args.pairs or shipped_pairs(name))
    ranked = checked("candidates", read_candidates, args.candidates) if args.candidates else []
    return pairs, ranked, templates


def checked(option: str, function, *args, **kwargs):
    """Calls a function of the library, whose errors are about the value of an option."""
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise CommandError(f"`--{option}`: {error}") from error


def shipped_pairs(checkpoint: str) -> Path:
    """The pairs that a checkpoint brings along, as llada-poet does.

    Raises:
        `CommandError`: if it brings none.
    """
    path = Path(checkpoint).expanduser() / PAIRS_FILE
    if not path.is_file():
        raise CommandError(
            f"no pairs: {checkpoint!r} has no {PAIRS_FILE}. Give a JSON list of [first, second] lines with `--pairs FILE`."
        )
    return path


def load_llada(name: str, args: argparse.Namespace, templates, options: dict):
    """The LLaDA as a model that is asked for lines."""
    from modeling_llada.evaluation.reversal_models import LLaDALines
    from modeling_llada.loading import load_checkpoint

    model, tokenizer = load_checkpoint(name, args.device, args.dtype)
    return LLaDALines(
        model,
        tokenizer,
        templates,
        batch_size=args.batch_size,
        chat_template=args.chat_template,
        num_samples=args.num_samples,
        options=options,
    )


def load_twin(args: argparse.Namespace, templates):
    """The autoregressive model as one that is asked for lines.

    Raises:
        `CommandError`: if it cannot be loaded, or is none.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from modeling_llada import LLaDAConfig
    from modeling_llada.evaluation.reversal_models import CausalLines
    from modeling_llada.loading import find_device

    device = find_device(args.device)
    dtype = args.dtype or ("float32" if device.type == "cpu" else "auto")
    try:
        tokenizer = AutoTokenizer.from_pretrained(args.twin)
        model = AutoModelForCausalLM.from_pretrained(args.twin, dtype=dtype)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise CommandError(
            f"`--twin`: cannot load {args.twin!r}: {reason} It takes a Hub id or the folder of a causal language model."
        ) from error
    if isinstance(model.config, LLaDAConfig):
        raise CommandError(
            f"`--twin` must be an autoregressive model, but {args.twin!r} is a LLaDA: give it as `--model`."
        )
    return checked(
        "twin",
        CausalLines,
        model.to(device).eval(),
        tokenizer,
        templates,
        batch_size=args.batch_size,
        chat_template=args.chat_template,
    )


def longest(models: dict, pairs: list[tuple[str, str]]) -> int:
    """Tokens of the longest line."""
    return max(len(lines.encode(line)) for lines in models.values() for pair in pairs for line in pair)


def settings_of(args: argparse.Namespace, name: str, models: dict, options: dict, templates) -> dict:
    """All that changes an answer or a rank, apart from the pairs themselves."""
    return {
        "model": name,
        "twin": args.twin,
        "dtype": str(models["llada"].model.dtype),
        "templates": vars(templates),
        "chat_template": args.chat_template,
        "max_new_tokens": models["llada"].max_new_tokens,
        "options": options,
        "num_samples": args.num_samples,
        # A pair has one rank in the file, whatever it was ranked among.
        "candidates": sha256(args.candidates.read_bytes()).hexdigest() if args.candidates else None,
        "seed": args.seed or 0,
    }


def open_results(args: argparse.Namespace, settings: dict) -> dict:
    """The answers and ranks so far.

    Raises:
        `CommandError`: if the file is of another run.
    """
    empty = {"settings": settings, "seconds": 0.0, "answers": {}, "ranks": {}}
    if args.output is None or not args.output.exists():
        return empty
    try:
        known = json.loads(args.output.read_text(encoding="utf-8"))
        different = sorted(key for key, value in settings.items() if known["settings"][key] != value)
        results = {key: known[key] for key in empty}
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"`--output`: {args.output} holds no results of this command. Name another file."
        ) from error
    if different:
        raise CommandError(
            f"`--output`: {args.output} is of a run with another {', '.join(different)}. Name another file, or delete it."
        )
    return results


def work(models: dict, pairs: list, ranked: list, results: dict, args: argparse.Namespace):
    """Asks and ranks what is not known yet, and yields how many were done."""
    from modeling_llada.evaluation.line_ranking import rank_pairs
    from modeling_llada.evaluation.reversal import ask_pairs

    for kind, lines in models.items():
        for _, done in ask_pairs(lines, pairs, results["answers"].setdefault(kind, {})):
            yield done
        if ranked:
            for _, done in rank_pairs(lines, ranked, results["ranks"].setdefault(kind, {}), seed=args.seed or 0):
                yield done


def count(models: dict, pairs: list, ranked: list, results: dict) -> int:
    """How many answers and ranks are missing."""
    from modeling_llada.evaluation.line_ranking import FORMS
    from modeling_llada.evaluation.reversal import DIRECTIONS, pair_key

    missing = 0
    for kind, lines in models.items():
        answers, ranks = results["answers"].get(kind, {}), results["ranks"].get(kind, {})
        for task in lines.tasks:
            missing += sum(pair_key(pair) not in answers.get(" ".join(task), {}) for pair in pairs)
        for task in (f"{form} {direction}" for form in FORMS for direction in DIRECTIONS):
            missing += sum(pair_key(one.pair) not in ranks.get(task, {}) for one in ranked)
    return missing


def with_progress(steps, total: int):
    """Shows how far the work is, where somebody can see it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("asking", total=total)
        for done in steps:
            progress.advance(bar, done)
            yield done


def summary_of(results: dict, pairs: list, ranked: list) -> dict:
    """The summaries of both models, and what was published."""
    from modeling_llada.evaluation.line_ranking import summarise_ranks
    from modeling_llada.evaluation.reversal import PUBLISHED, summarise

    summary = {"published": PUBLISHED}
    for kind, answers in results["answers"].items():
        summary[kind] = {"answers": summarise(answers, pairs)}
        if ranked:
            summary[kind]["ranks"] = summarise_ranks(results["ranks"][kind], ranked)
    return summary


def write_results(path: Path, results: dict) -> None:
    """Writes the results, whole or not at all."""
    from modeling_llada.writing import write_atomically

    write_atomically(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")


def write_tables(summary: dict) -> None:
    """Writes what was measured, and below it what was published."""
    from rich.console import Console
    from rich.table import Table

    def shown(value: dict[str, float], factor: float = 100.0) -> str:
        mean, low, high = (factor * value[name] for name in ("mean", "low", "high"))
        return f"{mean:.1f} ({low:.1f} to {high:.1f})"

    models = {kind: one for kind, one in summary.items() if kind != "published"}
    answers = Table("model", "asked for, in percent", "exact", "in the answer", "characters", box=None, pad_edge=False)
    ranks = Table("model", "ranked by", "first, in percent", "mean rank", "of", box=None, pad_edge=False)
    for kind, one in models.items():
        for task, values in one["answers"].items():
            cells = (shown(values[name]) for name in ("exact", "contains", "characters"))
            answers.add_row(kind, f"{task} ({values['pairs']})", *cells)
        for task, values in one.get("ranks", {}).items():
            cells = shown(values["mean_rank"], factor=1.0), str(values["candidates"])
            ranks.add_row(kind, f"{task} ({values['pairs']})", shown(values["first"]), *cells)
    console = Console(highlight=False)
    if not console.is_terminal:  # a file has no width to fold at
        console.width = 160
    console.print(answers)
    if ranks.rows:
        console.print()
        console.print(ranks)
    published = summary["published"]
    scores = [f"{name} {one['next']} and {one['previous']}" for name, one in published["scores"].items()]
    console.print(
        f"\npublished, next and previous, the line in the answer: {', '.join(scores)} ({published['source']})",
        soft_wrap=True,
    )
