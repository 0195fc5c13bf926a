# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Measures the built-in rules, and those of examples/rules/, on the tasks of `llada bench-rule`, which shows a user's rule beside them.

    python -m evidence.rules
    python -m evidence.rules --tasks sudoku --limit 16 --json /tmp/rules.json

The tasks are in evidence/rules/tasks.py and the built-in rules in evidence/quality/settings.py, without a cache. Seconds are processor
time and are compared with those of the plain rule, one token a step, in the same file. A result is written as soon as it
is known, and a result that is in the file is not measured again. `make evidence` writes the tables of docs/rules.md.

The expectation, written down before the first run:

- lines, couplets and poems: as in docs/quality.md, whose questions these are: threshold, factor, entropy bound and leap within each
  other's intervals at equal passes; the largest areas have those with the lowest values that still keep quality: 45 to 50 on
  lines, 30 to 40 on couplets, 20 to 30 on poems;
- Sudoku: the plain rule solves 98 to 100%, threshold 0.9 as many with 8 to 15 times fewer passes; areas of 65 to 80;
- exact: the plain rule is far off, with a quality near 36 (evidence/exact enumerated a total variation of 0.64); entropy bounds
  up to 0.6 have 100 and save no pass; random remasking with 2 tokens a step has the best quality of all that save passes;
- of examples/rules/, after a look at 8 questions of lines, Sudoku and exact: hierarchy is on the frontier of the thresholds; KLASS has their
  quality and takes more passes, because it waits for two stable steps; dilated loses 10 to 40 points on couplets and poems, and
  is the best on exact; Prophet at scale 1 keeps lines and couplets with fewer passes saved than a threshold, and loses Sudoku;
- seconds fall as passes do, but for thresholds by up to a fifth less, since rows of a batch end at different times.

It turned out differently in four places: thresholds have a larger area on couplets (46), all rules a smaller one on poems (at most
10), where the plain rule itself knows few; Sudoku takes 18 times fewer passes without a loss, but threshold 0.9 loses 8 points; and
hierarchy and KLASS lose Sudoku, by up to 38 and 45 points.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import track

from evidence.rules.measuring import STORED, add_comparisons, measure, open_results, stored_rules
from evidence.rules.tasks import TASKS
from reporting.results import save


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), help="what to ask")
    parser.add_argument("--limit", type=int, default=64, help="questions of a task, at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of questions and noise (%(default)s)")
    parser.add_argument("--json", type=Path, default=STORED, help="the results (%(default)s)")
    return parser


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.limit < 1:
        parser.error("`--limit` must be at least 1.")
    values = open_results(args.json, {"limit": args.limit, "seed": args.seed})
    rules = stored_rules()
    steps = measure(values, args.json, args.tasks, rules, args.limit, args.seed)
    for _ in track(steps, "rules", len(args.tasks) * len(rules), console=Console(stderr=True)):
        pass
    add_comparisons(values, rules)
    save(args.json, values)
    print(f"{args.json} has all results. `make evidence` writes the tables of docs/rules.md.")


if __name__ == "__main__":
    main()
