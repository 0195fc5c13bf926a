# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada eval reversal`: does a model find the previous line as well as the next one?"""

import argparse
import json
import time
from hashlib import sha256
from pathlib import Path

from .arguments import (
    add_model_arguments,
    check_minimum,
    check_output_file,
    check_seed,
    find_checkpoint,
    open_checkpoint,
)
from .decoding import add_decoding_arguments, check_options, chosen_options
from .errors import CommandError
from .terminal import note, quiet_libraries, spinner, table_console, with_progress, write_json


DESCRIPTION = """Ask for the line after and the line before a given line, and compare both directions.

A LLaDA model gets a question, and a text with masks in place of the line. Its twin, which is any autoregressive model, gets
the question, and for the next line also a text to continue. An answer is exact if its first line is the true one. With
--candidates, the true line is also ranked among others by its log-likelihood; an autoregressive model ranks previous lines
by Bayes' rule.
"""
EXAMPLES = """examples:
  use the famous couplets of the shipped checkpoint:
    llada eval reversal --limit 100
  compare with a twin, and rank held-out lines:
    llada eval reversal --twin runs/twin/final --candidates data/candidates.json --output reversal.json
  use the published setting, on the pairs of the public repository:
    llada eval reversal --model GSAI-ML/LLaDA-8B-Instruct --pairs poem_data.json --chat-template --max-new-tokens 28 \\
        --template-next "{line}的下一句是什么？ 直接输出句子即可。" \\
        --template-previous "{line}的上一句是什么？ 直接输出句子即可。"
  use pairs in another language:
    llada eval reversal --pairs pairs.json --template-next "What follows {line}?" \\
        --template-previous "What comes before {line}?" --template-document "{first} {second}"

A file of --pairs is a JSON list of [first, second], or of objects with these two keys. recipes/poems/ranking.py writes
files of --candidates. With --output, each answer is kept: after an interruption, the same command continues, also with
another --limit or --batch-size.
"""
SAVE_EVERY = 20  # seconds
PAIRS_FILE = "pairs.json"  # beside the weights of a checkpoint


def add_reversal_parser(benchmarks: argparse._SubParsersAction) -> None:
    """Adds `llada eval reversal`."""
    parser = benchmarks.add_parser(
        "reversal",
        help="compare finding the line before with finding the line after",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    task = parser.add_argument_group("task")
    task.add_argument(
        "--pairs", type=Path, metavar="FILE", help="JSON list of pairs of lines (pairs.json of the checkpoint)"
    )
    task.add_argument(
        "--candidates", type=Path, metavar="FILE", help="also rank the lines of these pairs among others"
    )
    task.add_argument("--twin", metavar="PATH_OR_ID", help="autoregressive model to compare with")
    task.add_argument("--limit", type=int, metavar="N", help="use only the first N pairs, and the first N candidates")
    words = parser.add_argument_group("words")
    words.add_argument(
        "--template-next",
        metavar="TEXT",
        help='question for the next line ({line}的下一句是什么？ "what is the line after {line}?")',
    )
    words.add_argument(
        "--template-previous",
        metavar="TEXT",
        help='question for the previous line ({line}的上一句是什么？ "what is the line before {line}?")',
    )
    words.add_argument("--template-document", metavar="TEXT", help="text with both lines ({first}，{second}。)")
    words.add_argument("--chat-template", action="store_true", help="turn each question into a chat")
    estimate = parser.add_argument_group("likelihood")
    estimate.add_argument(
        "--num-samples",
        type=int,
        metavar="N",
        help="noise samples for each line, an even number (128, or all masks of a line of at most 8 tokens)",
    )
    add_decoding_arguments(parser)
    add_model_arguments(parser)
    output = parser.add_argument_group("run")
    output.add_argument("--batch-size", type=int, default=64, metavar="N", help="sequences in a forward pass (64)")
    output.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON, and resume from them")
    output.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> None:
    """Runs the test as the command line asks."""
    check_arguments(args)
    name = find_checkpoint(args.model)
    quiet_libraries()
    pairs, ranked, templates = read_task(args, name)
    options = chosen_options(args)
    check_options(options)
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
    steps, total = work(models, pairs, ranked, results, args), count(models, pairs, ranked, results)
    for _ in with_progress("asking", steps, total, amount=int):
        results["seconds"] = round(before + time.monotonic() - started, 1)
        if args.output is not None and time.monotonic() - saved > SAVE_EVERY:
            write_results(args.output, results)
            saved = time.monotonic()
    report = {"summary": summary_of(results, pairs, ranked), **results}
    if args.output is not None:
        write_results(args.output, report)
    if args.json:
        write_json(report["summary"])
    else:
        write_tables(report["summary"])
        note_unknown_questions(report["summary"], args)


def check_arguments(args: argparse.Namespace) -> None:
    """Checks the arguments before a model is loaded."""
    check_minimum(args, limit=1, batch_size=1)
    if args.num_samples is not None and (args.num_samples < 2 or args.num_samples % 2):
        raise CommandError(f"`--num-samples` must be even and at least 2, but got {args.num_samples}.")
    if args.temperature:
        raise CommandError("`--temperature` must be 0, because the test decodes greedily: leave it out.")
    if args.output is not None:
        check_output_file("--output", args.output)
    check_seed(args.seed)


def read_task(args: argparse.Namespace, name: str):
    """Reads the pairs, the candidates, and the templates of the questions."""
    from modeling_llada.evaluation.line_ranking import read_candidates
    from modeling_llada.evaluation.reversal import Templates, read_pairs

    words = {name: getattr(args, f"template_{name}") for name in ("next", "previous", "document")}
    templates = checked("template", Templates, **{name: text for name, text in words.items() if text is not None})
    pairs = checked("pairs", read_pairs, args.pairs or shipped_pairs(name))
    ranked = checked("candidates", read_candidates, args.candidates) if args.candidates else []
    return pairs, ranked, templates


def checked(option: str, function, *args, **kwargs):
    """Calls a function of the library. Its errors then name the option."""
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        raise CommandError(f"`--{option}`: {error}") from error


def shipped_pairs(checkpoint: str) -> Path:
    """The file with the pairs of a checkpoint, such as llada-poet."""
    path = Path(checkpoint).expanduser() / PAIRS_FILE
    if not path.is_file():
        raise CommandError(
            f"{checkpoint!r} has no {PAIRS_FILE}. Give a JSON list of [first, second] lines with `--pairs FILE`."
        )
    return path


def load_llada(name: str, args: argparse.Namespace, templates, options: dict):
    """Loads the LLaDA model for the questions."""
    from modeling_llada.evaluation.reversal_models import LLaDALines

    model, tokenizer = open_checkpoint(name, args)
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
    """Loads the autoregressive model for the questions."""
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
            f"`--twin`: cannot load {args.twin!r}: {reason} Give a Hub id or the folder of a causal language model."
        ) from error
    if isinstance(model.config, LLaDAConfig):
        raise CommandError(
            f"`--twin` must be an autoregressive model, but {args.twin!r} is a LLaDA model: give it as `--model`."
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
    """The length of the longest line, in tokens."""
    return max(len(lines.encode(line)) for lines in models.values() for pair in pairs for line in pair)


def settings_of(args: argparse.Namespace, name: str, models: dict, options: dict, templates) -> dict:
    """Everything that changes an answer or a rank, except for the pairs."""
    return {
        "model": name,
        "twin": args.twin,
        "dtype": str(models["llada"].model.dtype),
        "templates": vars(templates),
        "chat_template": args.chat_template,
        "max_new_tokens": models["llada"].max_new_tokens,
        "options": options,
        "num_samples": args.num_samples,
        # The file keeps one rank for each pair, which depends on its candidates.
        "candidates": sha256(args.candidates.read_bytes()).hexdigest() if args.candidates else None,
        "seed": args.seed or 0,
    }


def open_results(args: argparse.Namespace, settings: dict) -> dict:
    """Reads the answers and ranks of an interrupted run."""
    empty = {"settings": settings, "seconds": 0.0, "answers": {}, "ranks": {}}
    if args.output is None or not args.output.exists():
        return empty
    try:
        known = json.loads(args.output.read_bytes())
        different = sorted(key for key, value in settings.items() if known["settings"][key] != value)
        results = {key: known[key] for key in empty}
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"`--output`: {args.output} holds no results of this command. Name another file."
        ) from error
    if different:
        raise CommandError(
            f"`--output`: {args.output} belongs to a run with another {', '.join(different)}. Name another file, or delete this one."
        )
    return results


def work(models: dict, pairs: list, ranked: list, results: dict, args: argparse.Namespace):
    """Asks for the missing answers and ranks, and yields the number that each step adds."""
    from modeling_llada.evaluation.line_ranking import rank_pairs
    from modeling_llada.evaluation.reversal import ask_pairs

    for kind, lines in models.items():
        for _, done in ask_pairs(lines, pairs, results["answers"].setdefault(kind, {})):
            yield done
        if ranked:
            for _, done in rank_pairs(lines, ranked, results["ranks"].setdefault(kind, {}), seed=args.seed or 0):
                yield done


def count(models: dict, pairs: list, ranked: list, results: dict) -> int:
    """The number of missing answers and ranks."""
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


def summary_of(results: dict, pairs: list, ranked: list) -> dict:
    """The summaries of both models, and the published scores."""
    from modeling_llada.evaluation.line_ranking import summarise_ranks
    from modeling_llada.evaluation.reversal import PUBLISHED, summarise

    summary = {"published": PUBLISHED}
    for kind, answers in results["answers"].items():
        summary[kind] = {"answers": summarise(answers, pairs)}
        if ranked:
            summary[kind]["ranks"] = summarise_ranks(results["ranks"][kind], ranked)
    return summary


def write_results(path: Path, results: dict) -> None:
    """Writes the results as JSON."""
    from modeling_llada.writing import write_atomically

    write_atomically(path, json.dumps(results, ensure_ascii=False, indent=1) + "\n")


def note_unknown_questions(summary: dict, args: argparse.Namespace) -> None:
    """Says why a model that finds lines answers no question."""
    for kind, one in summary.items():
        found = {"question": 0.0, "other": 0.0}
        for task, values in one.get("answers", {}).items():
            form = "question" if task.startswith("question ") else "other"
            found[form] += values["contains"]["mean"]
        if found["other"] and not found["question"]:
            chat = "" if args.chat_template else ", or ask a checkpoint for chats with `--chat-template`"
            note(
                f"{kind} finds lines, but answers no question: it seems not to be trained on any. Read its other rows, "
                f"fine-tune it on questions, give the words that it knows with `--template-next` and "
                f"`--template-previous`{chat}."
            )


def write_tables(summary: dict) -> None:
    """Writes the measured scores, and below them the published ones."""
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
    console = table_console(160)
    console.print(answers)
    if ranks.rows:
        console.print()
        console.print(ranks)
    published = summary["published"]
    scores = [f"{name} {one['next']} and {one['previous']}" for name, one in published["scores"].items()]
    console.print(
        f"\npublished, next and previous line, line in the answer: {', '.join(scores)} ({published['source']})",
        soft_wrap=True,
    )
