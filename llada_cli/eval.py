# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada eval`: benchmarks. `llada eval lm` is here, and `llada eval reversal` in `eval_reversal.py`."""

import argparse
import difflib
import hashlib
import json
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path

from .arguments import (
    add_model_arguments,
    check_minimum,
    check_output_file,
    check_seed,
    find_checkpoint,
    own_version,
)
from .decoding import add_decoding_arguments, chosen_options
from .errors import CommandError
from .eval_reversal import add_reversal_parser
from .terminal import quiet_libraries, spinner, table_console


DESCRIPTION = """Run a task of lm-evaluation-harness, and compare the result with the published one.

If a setting was published for the checkpoint and the benchmark, the run uses it; options of the command line override it. A
published benchmark has the name of its harness task or a shorter one (`math`). Any other task of the harness works too, and
with a LLaDA-V checkpoint also tasks with images.
"""
EXAMPLES = """examples:
  list the published settings and scores:
    llada eval lm --list
  use the published setting of a checkpoint, or another one of the same benchmark:
    llada eval lm --model GSAI-ML/LLaDA-8B-Instruct --task gsm8k --output gsm8k.json
    llada eval lm --model GSAI-ML/LLaDA-8B-Instruct --task gsm8k --setting blocks
  run your own task, in the YAML format of the harness:
    llada eval lm --task poet_next_line_choice --include-path tests/evaluation/harness_tasks --num-samples 16
  use all GPUs of a machine:
    accelerate launch --num_processes 8 -m llada_cli eval lm --task gsm8k --output gsm8k.json

With --output, each answer is kept in the folder FILE.cache: after an interruption, the same command continues with the same
number of processes. A run with another --limit or --batch-size uses the kept answers too.
"""
ESTIMATE_OPTIONS = ("num_samples", "antithetic", "check_greedy", "decode_choices", "prompt_suffix")
# Options of every setting of a model, or nearly, which the list leaves out.
COMMON_OPTIONS = ("temperature", "remasking", "check_greedy", "eos_token_id", "skip_after_eos", "suppress_tokens")
# The errors of the samplers of the harness: for the first examples, for random ones, and without any examples.
TOO_FEW_EXAMPLES = (
    "number of fewshot samples requested exceeds",
    "Sample larger than population",
    "no documents available for sampling",
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser("eval", help="run benchmarks", description="Run benchmarks.")
    benchmarks = parser.add_subparsers(title="benchmarks", metavar="BENCHMARK", required=True)
    add_lm_parser(benchmarks)
    add_reversal_parser(benchmarks)


def add_lm_parser(benchmarks: argparse._SubParsersAction) -> None:
    """Adds `llada eval lm`."""
    parser = benchmarks.add_parser(
        "lm", help="a task of lm-evaluation-harness", description=DESCRIPTION, epilog=EXAMPLES
    )
    parser.set_defaults(run=run)
    task = parser.add_argument_group("task")
    what = task.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="show the published settings and scores, and run nothing")
    what.add_argument("--task", metavar="NAME", help="published benchmark, or any task of the harness")
    task.add_argument("--setting", metavar="NAME", help="one of several published settings (the main one)")
    task.add_argument("--include-path", type=Path, metavar="DIR", help="folder with your own tasks")
    task.add_argument(
        "--num-fewshot", type=int, metavar="N", help="examples in a prompt (as published, else those of the task)"
    )
    task.add_argument("--limit", type=int, metavar="N", help="use only the first N questions of a task")
    switch = {"action": argparse.BooleanOptionalAction}
    task.add_argument("--chat-template", **switch, help="turn prompts into chats (as published, else off)")
    task.add_argument(
        "--prompt-suffix", metavar="TEXT", help="what follows the question in a chat, such as ' /no_think'"
    )
    task.add_argument(
        "--allow-code-execution",
        action="store_true",
        help="for tasks that run code of the model, such as humaneval",
    )
    estimate = parser.add_argument_group("likelihood")
    estimate.add_argument("--num-samples", type=int, metavar="N", help="noise samples for each answer (128)")
    estimate.add_argument("--antithetic", **switch, help="use pairs of opposite samples, for a smaller error")
    estimate.add_argument(
        "--decode-choices",
        **switch,
        help="answer a multiple choice by decoding one of the choices, without likelihoods",
    )
    estimate.add_argument("--check-greedy", **switch, help="check whether answers are the greedy ones (on)")
    add_decoding_arguments(parser)
    add_model_arguments(parser)
    output = parser.add_argument_group("run")
    output.add_argument("--batch-size", type=int, default=16, metavar="N", help="sequences in a forward pass (16)")
    output.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON, and resume from them")


def run(args: argparse.Namespace) -> None:
    """Runs a task as the command line asks, or lists the published settings."""
    if args.list:
        quiet_libraries()
        from modeling_llada.evaluation import load_settings

        write_settings(load_settings())
        return
    check_arguments(args)
    name = find_checkpoint(args.model)
    is_first = int(os.environ.get("RANK", "0")) == 0
    with spinner("loading the harness"):
        simple_evaluate = import_harness()
        from modeling_llada.evaluation import load_settings

        settings = load_settings()
        setting = settings.find(name, args.task, args.setting)
        if args.setting is not None and setting is None:
            raise CommandError(
                f"`--setting`: no setting was published for {name} on {args.task}. See `llada eval lm --list`."
            )
        options = evaluation_options(args, setting)
        toolkit = setting.toolkit if setting else "lm-eval"
        task, tasks = find_task(setting.task if setting else args.task, args.include_path, toolkit)
    with spinner(f"loading {name}"):
        lm = load_model(name, args, options)

    if args.allow_code_execution:
        os.environ["HF_ALLOW_CODE_EVAL"] = "1"
    num_fewshot = args.num_fewshot
    if num_fewshot is None and setting is not None:
        num_fewshot = setting.num_fewshot
    results = evaluate(
        simple_evaluate,
        lm,
        tasks=[task],
        task_manager=tasks,
        num_fewshot=num_fewshot,
        limit=args.limit,
        use_cache=None if args.output is None else open_cache(args.output, name, lm),
        apply_chat_template=uses_chat_template(args, setting),
        confirm_run_unsafe_code=args.allow_code_execution,
        log_samples=False,
    )
    if not is_first:
        return
    report = describe(results, task, name, args, options, setting, num_fewshot)
    if args.output is not None:
        from modeling_llada.writing import write_atomically

        write_atomically(args.output, json.dumps(report, ensure_ascii=False, indent=1, default=plain) + "\n")
    write_report(report)


def check_arguments(args: argparse.Namespace) -> None:
    """Checks the arguments before the harness is loaded."""
    check_minimum(args, limit=1, num_fewshot=0, batch_size=1)
    if args.include_path is not None and not args.include_path.is_dir():
        raise CommandError(f"`--include-path` must be a folder with tasks, but got {args.include_path}.")
    if args.output is not None:
        check_output_file("--output", args.output)
    check_seed(args.seed)


def import_harness():
    """Imports the function of the harness that runs tasks, and silences its log."""
    quiet_libraries()
    try:
        from lm_eval import simple_evaluate

        import modeling_llada.evaluation.harness  # noqa: F401
    except ModuleNotFoundError as error:
        raise CommandError(
            f"`llada eval lm` needs the package {error.name!r}, which is not installed: pip install -e '.[eval]'"
        ) from error
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return simple_evaluate


def evaluation_options(args: argparse.Namespace, setting) -> dict:
    """The options of the model: the published ones, overridden by those of the command line."""
    given = {name: getattr(args, name) for name in ESTIMATE_OPTIONS if getattr(args, name) is not None}
    given |= chosen_options(args)
    return given if setting is None else {**setting.options, **given}


def uses_chat_template(args: argparse.Namespace, setting) -> bool:
    """Whether prompts are turned into chats."""
    if args.chat_template is not None:
        return args.chat_template
    return setting is not None and setting.apply_chat_template


def find_task(name: str, include_path: Path | None, toolkit: str = "lm-eval"):
    """
    Finds a task of the harness, and a manager that knows it. The user's folder and that of the package come first,
    because the harness takes long to read its own tasks. A task of another toolkit can only be the user's.
    """
    from lm_eval.tasks import TaskManager

    from modeling_llada.evaluation.published_settings import TASKS_FOLDER

    for folder in (include_path, TASKS_FOLDER):
        if folder is not None:
            tasks = TaskManager(include_path=str(folder), include_defaults=False)
            if name in tasks.all_tasks:
                return name, tasks
    if toolkit != "lm-eval":
        raise CommandError(
            f"`--task`: {name} is a task of {toolkit}, which lm-evaluation-harness does not have. Write one of that name for the "
            "harness, and pass its folder by `--include-path`: then it runs in the published setting."
        )
    tasks = TaskManager(include_path=None if include_path is None else str(include_path))
    if name not in tasks.all_tasks:
        close = difflib.get_close_matches(name, tasks.all_tasks, n=3)
        raise CommandError(
            f"`--task`: the harness has no task {name!r}{', but it has ' + ', '.join(close) if close else ''}. `llada eval "
            "lm --list` shows the published ones, and `--include-path` adds your own tasks."
        )
    return name, tasks


def load_model(name: str, args: argparse.Namespace, options: dict):
    """The checkpoint as a model of the harness."""
    from modeling_llada.evaluation import LLaDAHarnessLM

    return LLaDAHarnessLM(
        name,
        device=args.device,
        dtype=args.dtype,
        batch_size=args.batch_size,
        seed=0 if args.seed is None else args.seed,
        **options,
    )


def evaluate(simple_evaluate, lm, **kwargs) -> dict | None:
    """Runs the harness. Only the first process gets results, the others get `None`."""
    try:
        return simple_evaluate(lm, **kwargs)
    except (AssertionError, ValueError) as error:
        if any(part in str(error) for part in TOO_FEW_EXAMPLES):
            raise CommandError(
                f"`--num-fewshot`: {kwargs['tasks'][0]} does not have {kwargs['num_fewshot']} examples for a prompt. "
                "Use fewer."
            ) from error
        if "require multimodal input" in str(error):
            raise CommandError(
                f"{kwargs['tasks'][0]} has images, and this checkpoint reads text alone. Take a LLaDA-V checkpoint."
            ) from error
        if "marked as unsafe" not in str(error):
            raise
        raise CommandError(
            f"{kwargs['tasks'][0]} runs code of the model on this machine: allow it with `--allow-code-execution`, "
            "preferably in a container."
        ) from error


def open_cache(output: Path, name: str, lm) -> str:
    """The path under which the harness keeps answers: it depends on the checkpoint and on all options that change answers."""
    folder = output.with_name(output.name + ".cache")
    folder.mkdir(exist_ok=True)
    info = lm.get_model_info()
    info["llada"] = {key: value for key, value in info["llada"].items() if key != "batch_size"}
    files = sorted(Path(name).iterdir()) if Path(name).is_dir() else []
    info["files"] = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    content = json.dumps([name, own_version(), info, lm.world_size], sort_keys=True, default=str)
    return str(folder / hashlib.sha256(content.encode()).hexdigest()[:16])


def describe(results: dict, task: str, name: str, args, options: dict, setting, num_fewshot: int | None) -> dict:
    """The report that is written as JSON."""
    measured = {key: value for key, value in results["results"][task].items() if "," in key}
    report = {
        "model": name,
        "task": task,
        "limit": args.limit,
        "questions": results["n-samples"],
        "num_fewshot": results["n-shot"],
        "num_fewshot_asked_for": num_fewshot,
        "chat_template": uses_chat_template(args, setting),
        "options": results["config"]["llada"],
        "measured": measured,
        "published": None,
        "results": results["results"],
        "task_versions": results["versions"],
        "versions": {"modeling-llada": own_version()}
        | {package: version(package) for package in ("lm-eval", "torch", "transformers")},
    }
    if setting is not None:
        metric = setting.metric or ""
        value, error = measured.get(metric), measured.get(error_key(metric))
        changed = [key for key, value in options.items() if setting.options.get(key) != value]
        if setting.num_fewshot is not None and {*results["n-shot"].values()} != {setting.num_fewshot}:
            changed.append("num_fewshot")
        report["published"] = {
            "benchmark": setting.benchmark,
            "setting": setting.name,
            "metric": setting.metric,
            "scores": setting.scores,
            "source": setting.source,
            "measured": None if value is None else round(100 * value, 2),
            "standard_error": round(100 * error, 2) if isinstance(error, float) else None,
            "num_fewshot": setting.num_fewshot,
            "differs": setting.differs,
            "not_at_hand": list(setting.not_at_hand),
            "changed": sorted(changed),
        }
    return report


def error_key(metric: str) -> str:
    """The name of the standard error of a metric in the results of the harness."""
    name, _, filter_name = metric.partition(",")
    return f"{name}_stderr,{filter_name}"


def plain(value):
    """A number of another library as a number of Python, and anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)


def write_report(report: dict) -> None:
    """Writes the measured scores, and below them the published ones."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(report["task"])
    for heading in ("measured", "error"):
        table.add_column(heading, justify="right")
    for metric, value in report["measured"].items():
        error = report["measured"].get(error_key(metric))
        if "_stderr," not in metric:
            table.add_row(metric, f"{value:.4f}", f"±{error:.4f}" if isinstance(error, float) else "")
    console = table_console(80)
    console.print(table)
    shots, asked_for = sorted({*report["num_fewshot"].values()}), report["num_fewshot_asked_for"]
    ignored = asked_for is not None and shots != [asked_for]
    note = f" (not {asked_for}: the task has its own number)" if ignored else ""
    console.print(f"examples in a prompt: {', '.join(map(str, shots))}{note}", soft_wrap=True)
    published = report["published"]
    if published is None:
        console.print(f"no published score of {report['model']} on {report['task']}", soft_wrap=True)
    else:
        measured, error = published["measured"], published["standard_error"]
        shown = "nothing" if measured is None else f"{measured}" + (f" ± {error}" if error is not None else "")
        scores = ", ".join(f"{score} ({toolkit})" for toolkit, score in published["scores"].items())
        metric = published["metric"] or "no metric is known"
        console.print(f"published {scores or 'nowhere'}, measured {shown}, in percent ({metric})", soft_wrap=True)
        notes = [f"setting {published['setting']} of {published['source']}"]
        notes += [f"changed: {', '.join(published['changed'])}"] if published["changed"] else []
        notes += [f"{source}: {text_of(values)}" for source, values in published["differs"].items()]
        notes += [f"unknown: {', '.join(published['not_at_hand'])}"] if published["not_at_hand"] else []
        console.print("; ".join(notes), soft_wrap=True)
    if report["limit"] is not None:
        console.print(
            f"only the first {report['limit']} questions of each task, so this is not a score", soft_wrap=True
        )


def text_of(values: dict) -> str:
    """Options in one line."""
    return " ".join(f"{key}={value}" for key, value in values.items())


def write_settings(settings) -> None:
    """Writes the table of published settings and scores, and names those that are missing."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "benchmark", "setting", "harness task", "examples", "options", "published"):
        table.add_column(heading, overflow="fold")
    for one in settings.settings:
        options = [text_of({key: value for key, value in one.options.items() if key not in COMMON_OPTIONS})]
        options += [f"{key}=?" for key in one.not_at_hand]
        options += [f"({source}: {text_of(values)})" for source, values in one.differs.items()]
        scores = ", ".join(f"{score} ({toolkit})" for toolkit, score in one.scores.items())
        shots = "" if one.num_fewshot is None else str(one.num_fewshot)
        task = one.task if one.toolkit == "lm-eval" else f"({one.toolkit})"
        table.add_row(Path(one.model).name, one.benchmark, one.name, task, shots, " ".join(options), scores)
    console = table_console(260)
    console.print(table)
    for model in settings.models:
        missing = [settings.benchmarks[benchmark] for owner, benchmark in settings.gaps if owner == model]
        missing += [
            settings.benchmarks[one.benchmark] for one in settings.settings if one.model == model and not one.scores
        ]
        missing = dict.fromkeys(missing)
        console.print(f"{Path(model).name}: no published score found for {', '.join(missing)}", soft_wrap=True)
    for source in dict.fromkeys(one.source for one in settings.settings):
        models = dict.fromkeys(Path(one.model).name for one in settings.settings if one.source == source)
        console.print(f"source of {', '.join(models)}: {source}", soft_wrap=True)
    console.print("in brackets: another source, or the toolkit that has the task; ?: unknown", soft_wrap=True)
    console.print("examples: in a prompt; without a number, the task has its own", soft_wrap=True)
    sys.stdout.flush()
