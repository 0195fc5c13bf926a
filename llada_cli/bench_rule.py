# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada bench-rule`: what a rule of your own is worth, beside the built-in ones."""

import argparse
import os
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from .arguments import check_minimum, check_output_file, check_seed
from .errors import CommandError, warn
from .terminal import quiet_libraries, table_console, with_progress, write_json


CLONE = Path(__file__).resolve().parent.parent
TASKS = ("line", "couplet", "poem", "sudoku", "exact")
DESCRIPTION = """Measure a rule that decides which tokens a denoising step commits: quality against forward passes and seconds.

RULE_FILE is a Python file with a function or class `rule`; docs/rules.md says which arguments it gets. The tasks are the next
line of a couplet, the rest of a couplet, the rest of a poem (llada-poet, exact match), 9x9 Sudoku (llada-sudoku, solved), and
samples of a model whose probabilities are known. The results of the built-in rules are stored, so only yours and the plain
rule, one token a step, are run: minutes on two cores.
"""
NOTE = (
    "Quality in percent: exact match, solved, or 100 minus the total variation. The difference is from the plain rule, one token a "
    "step, over the same questions; time is processor time. The area is the mean of the best quality at up to 1/64 ... 1 passes a "
    "token, on a logarithmic scale. In brackets 95% intervals."
)
EXAMPLES = """examples:
  judge a published rule:
    llada bench-rule examples/rules/klass.py
  try a rule of your own on a few questions of one task:
    llada bench-rule my_rule.py --tasks sudoku --limit 16
  keep the results, and continue after an interruption:
    llada bench-rule my_rule.py --output my_rule.json
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "bench-rule",
        help="measure a rule of your own beside the built-in ones",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument("rule", type=Path, metavar="RULE_FILE", help="Python file with the rule")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="what to ask (all of them)")
    parser.add_argument("--limit", type=int, default=64, metavar="N", help="questions of a task, at most (64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the questions and the noise (0)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the results as JSON, and resume from them")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> None:
    """Measures the rule of a file."""
    check_minimum(args, limit=1)
    check_seed(args.seed)
    if args.output is not None:
        check_output_file("--output", args.output)
    find_tasks()
    quiet_libraries()
    from evidence.rules.rule_file import read_rule_file

    rules = read_rule_file(args.rule)
    from evidence.rules.measuring import add_comparisons, measure, open_results
    from reporting.results import save

    digest = sha256(args.rule.read_bytes()).hexdigest()[:16]
    try:
        values = open_results(args.output, {"rule": digest, "limit": args.limit, "seed": args.seed})
    except SystemExit as error:  # the scripts that write such files call the option otherwise
        raise CommandError(str(error).replace("`--json`", "`--output`")) from error
    steps = measure(values, args.output, args.tasks, rules, args.limit, args.seed)
    for _ in with_progress("measuring", steps, len(args.tasks) * (1 + len(rules))):
        pass
    add_comparisons(values, rules)
    if args.output is not None:
        save(args.output, values)
    stored = stored_results(values["settings"])
    if args.json:
        write_json({**values, "stored": {name: stored[name] for name in ("compared", "areas")}})
    else:
        write_tables(values, stored, args.tasks)


def find_tasks() -> None:
    """Makes the tasks importable, which only a clone of the repository has, by starting anew with its folder on the path."""
    if not (CLONE / "evidence/rules").is_dir():
        raise CommandError(
            "the tasks are missing: install the package from a clone of the repository, with `pip install -e "
            "'.[evidence]'`."
        )
    if find_spec("scipy") is None:
        raise CommandError("`llada bench-rule` needs scipy: pip install -e '.[evidence]'.")
    if find_spec("evidence") is None:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CLONE), os.environ.get("PYTHONPATH")]))
        os.execv(sys.executable, [sys.executable, "-m", "llada_cli", *sys.argv[1:]])


def stored_results(settings: dict) -> dict:
    """The stored results of other rules, with a warning if they are of other questions or weights."""
    from evidence.rules.measuring import STORED
    from modeling_llada.reading import read_json

    stored = read_json(STORED, dict)
    for name in ("limit", "seed", "weights"):
        if stored["settings"][name] != settings[name]:
            warn(
                f"the stored results of other rules have {name} {stored['settings'][name]} and yours {settings[name]}: compare "
                "them with care."
            )
    return stored


def write_tables(values: dict, stored: dict, tasks: list[str]) -> None:
    """Writes a table for each task, and one with the areas under the frontiers."""
    console = table_console(160)
    for task in tasks:
        console.print(task_table(task, values["compared"][task], stored["compared"].get(task, {})))
        console.print()
    console.print(area_table(tasks, values["areas"], stored["areas"]))
    console.print(f"\n{NOTE}", soft_wrap=True)


def task_table(task: str, compared: dict, stored: dict):
    """The points of the rule, each with the best other rule that takes no more passes."""
    from rich.table import Table

    from evidence.rules.measuring import best_with

    head = ("quality", "difference", "passes a token", "fewer passes", "less time", "best other with as few passes")
    rows = Table(task, *head, box=None, pad_edge=False)
    others = {label: one for label, one in stored.items() if label not in compared}
    for label, one in compared.items():
        other = best_with(one["passes_per_token"], others)
        rows.add_row(
            label,
            shown(one["quality"]),
            shown(one["difference"], sign="+"),
            f"{one['passes_per_token']:.3f}",
            f"{one['fewer_passes']:.1f}x",
            f"{one['fewer_seconds']:.1f}x",
            "none" if other is None else f"{other}: {others[other]['quality']['mean']:.1f}",
        )
    return rows


def area_table(tasks: list[str], areas: dict, stored: dict):
    """The area under the frontier of the rule, and below it those of the stored families."""
    from rich.table import Table

    rows = Table("area under the frontier", *tasks, box=None, pad_edge=False)
    for family in {family: None for report in (areas, stored) for one in report.values() for family in one}:
        found = [(stored.get(task, {}) | areas[task]).get(family) for task in tasks]
        rows.add_row(family, *("" if one is None else shown(one) for one in found))
    return rows


def shown(value: dict, sign: str = "") -> str:
    mean, low, high = (f"{value[name]:{sign}.1f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})"
