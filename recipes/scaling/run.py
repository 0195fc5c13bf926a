# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Trains and scores the runs of a plan with several workers on one device. It can be stopped and resumed.

    # The study in small, on the CPU: minutes
    python -m recipes.scaling.run --plan tiny --output runs/scaling-tiny --workers 2

    # The study. The same command continues after the time limit
    python -m recipes.scaling.run --plan poems --corpus data/poems.safetensors.xz --output runs/scaling --workers 4 \
        --max-minutes 8.5 --resume

Each finished run is a file OUTPUT/runs/NAME.json, which is complete or absent. A run that the time limit stops leaves a checkpoint
in OUTPUT/checkpoints and continues from there. A worker takes the first run of the plan that is neither finished nor taken; when
a worker dies, its run is free again. `fit.py` combines the records.
"""

import argparse
import contextlib
import fcntl
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from recipes.scaling.plan import Plan, Run, as_dict
from reporting.results import save


STARTED = time.monotonic()
LEAST_MINUTES = 0.5  # no run starts with less time left


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.workers < 1:
        parser.error(f"`--workers` must be at least 1, but got {args.workers}.")
    if args.max_minutes is not None and args.max_minutes <= 0:
        parser.error(f"`--max-minutes` must be positive, but got {args.max_minutes}.")
    try:
        plan = Plan(args.plan)
    except ValueError as error:
        parser.error(str(error))
    plan.values["corpus"] = corpus = args.corpus or plan.values["corpus"]
    if corpus != "famous" and not Path(corpus).is_file():
        parser.error(
            f"`--corpus` must be a tokenised corpus, but there is no file {corpus}. Write one with "
            "examples/pretrain.py --tokenize-only."
        )
    runs = [run for run in plan.runs if args.only in run.name]
    if not runs:
        parser.error(f"`--only` must be a part of the name of a run, but none holds {args.only!r}.")
    try:
        open_output(args.output, plan, args.resume)
    except ValueError as error:
        parser.error(str(error))
    limit = None if args.max_minutes is None else STARTED + 60 * args.max_minutes
    failed = start_workers(args, limit) if args.workers > 1 else work(plan, runs, corpus, args.output, limit)
    if not args.worker:
        log_call(args.output, args.workers)
    done = sum(record_path(args.output, run).is_file() for run in runs)
    print(f"{done} of {len(runs)} runs are done after {time.monotonic() - STARTED:.0f} s", flush=True)
    sys.exit(bool(failed))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", default="poems", help="poems, tiny or a YAML file (%(default)s)")
    parser.add_argument("--corpus", help="tokenised corpus, or famous (the corpus of the plan)")
    parser.add_argument("--output", type=Path, default=Path("runs/scaling"), help="records go here (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the runs (%(default)s)")
    parser.add_argument("--max-minutes", type=float, help="stop with checkpoints after this time, loading included")
    parser.add_argument("--resume", action="store_true", help="continue the runs of an output folder")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # one of several
    parser.add_argument("--only", default="", metavar="TEXT", help="only the runs with this in their name")
    return parser


def open_output(output: Path, plan: Plan, resume: bool) -> None:
    """Makes the folder, or checks that it has runs of the same plan and corpus."""
    path = output / "plan.json"
    if path.is_file():
        if json.loads(path.read_text(encoding="utf-8")) != plan.values:
            raise ValueError(
                f"`--output` has runs of another plan than {plan.path}, or of another corpus: {output}. Name another folder."
            )
        if not resume:
            raise ValueError(
                f"`--output` already has runs: {output}. Continue with `--resume`, or name another folder."
            )
    (output / "runs").mkdir(parents=True, exist_ok=True)
    (output / "locks").mkdir(exist_ok=True)
    save(path, plan.values)


def record_path(output: Path, run: Run) -> Path:
    return output / "runs" / f"{run.name}.json"


def start_workers(args: argparse.Namespace, limit: float | None) -> int:
    """Starts the processes, waits for them, and returns the number of failures."""
    command = [sys.executable, "-m", "recipes.scaling.run", "--plan", args.plan, "--output", str(args.output)]
    command += ["--resume", "--worker", "--only", args.only] + (["--corpus", args.corpus] if args.corpus else [])
    processes = []
    for _ in range(args.workers):
        minutes = [] if limit is None else ["--max-minutes", str((limit - time.monotonic()) / 60)]
        processes.append(subprocess.Popen(command + minutes))
    return sum(process.wait() != 0 for process in processes)


def log_call(output: Path, workers: int) -> None:
    """Records the seconds of this call."""
    path = output / "calls.json"
    calls = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    save(path, [*calls, {"seconds": round(time.monotonic() - STARTED, 1), "workers": workers}])


@contextlib.contextmanager
def claim(output: Path, run: Run) -> Iterator[bool]:
    """Yields whether this process could take a run. The system frees the run when the process ends for any reason."""
    with open(output / "locks" / run.name, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def work(plan: Plan, runs: list[Run], corpus_source: str, output: Path, limit: float | None) -> int:
    """Does runs that no other worker has taken, until none is left or the time is up; returns the number of failures."""
    bench, failed = None, 0
    for run in runs:
        if limit is not None and limit - time.monotonic() < 60 * LEAST_MINUTES:
            break
        with claim(output, run) as mine:
            if not mine or record_path(output, run).is_file():
                continue
            if bench is None:
                # Loading the corpus takes seconds, and a worker may find nothing to do.
                from recipes.scaling.bench import Bench

                bench = Bench(plan, corpus_source, output)
            try:
                record = bench.do(run, limit)
            except Exception as error:  # other runs do not depend on this one
                failed += 1
                print(f"{run.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            if record is None:
                break
            save(record_path(output, run), record | {"run": as_dict(run), "plan": plan.name})
            shutil.rmtree(bench.folder(run), ignore_errors=True)
            speed = statistics.median(record["tokens_per_second"]) if record["tokens_per_second"] else 0
            print(
                f"{time.monotonic() - STARTED:6.0f} s  {run.name}: {record['scores']['held_out_nats']:.4f} nats per token, "
                f"{speed:,.0f} tokens/s, {record['seconds']:.0f} s",
                flush=True,
            )
    return failed


if __name__ == "__main__":
    main()
