# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Input and output: a terminal, a pipe or a file."""

import argparse
import codecs
import functools
import io
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from .errors import CommandError, warn


NOISY_LOGGERS = ("bitsandbytes", "torchao", "torch.utils._pytree")  # they report kernels that nothing here uses


def add_animation_arguments(group: argparse._ArgumentGroup) -> None:
    """Adds the options of the animation."""
    group.add_argument("--no-animation", action="store_true", help="print only the text, as for a pipe or a file")
    group.add_argument(
        "--delay",
        type=float,
        default=0.12,
        metavar="S",
        help="shortest time between two drawn steps (%(default)s seconds)",
    )


def animation_delay(args: argparse.Namespace) -> float | None:
    """The value of `--delay`, or `None` if nothing is to be drawn."""
    if not 0 <= args.delay <= 60:
        raise CommandError(f"`--delay` must be a number of seconds in [0, 60], but got {args.delay}.")
    return args.delay if sys.stdout.isatty() and not args.no_animation else None


def open_stdin() -> TextIO:
    """Stdin as UTF-8 text, also that of Windows: without a byte order mark, and with plain line breaks."""
    # Other bytes stay, so that a check can name them.
    sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape", newline=None)
    return sys.stdin


def accept_all_letters() -> None:
    """Lets stdout take any text. What its encoding lacks comes out as escapes, which a warning explains once."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("llada", escape)
        sys.stdout.reconfigure(errors="llada")


def escape(error: UnicodeError) -> tuple[str, int]:
    """The text in the place of letters that cannot be encoded."""
    warn_about_escapes(error.encoding)
    return codecs.backslashreplace_errors(error)


@functools.cache
def warn_about_escapes(encoding: str) -> None:
    """Says once why there are escapes."""
    warn(f"stdout is {encoding}, so that other letters are written as escapes: set PYTHONIOENCODING=utf-8.")


def spinner(message: str) -> AbstractContextManager:
    """Shows that something is going on, if stderr is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(message) if console.is_terminal else nullcontext()


def with_progress(
    label: str, steps: Iterable, total: int, amount: Callable[[object], int] = lambda step: 1
) -> Iterator:
    """Yields the steps and shows a progress bar, if stderr is a terminal. `amount` says how much of the total a step is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(label, total=total)
        for step in steps:
            progress.advance(bar, amount(step))
            yield step


def table_console(width: int):
    """A console for tables. A pipe or a file has no width at which lines are folded, and gets this one."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = width
    return console


def write_json(value: object) -> None:
    """Writes a line of JSON to stdout."""
    has_all_letters = (sys.stdout.encoding or "utf-8").lower().startswith("utf")  # else JSON has its own escapes
    sys.stdout.write(json.dumps(value, ensure_ascii=not has_all_letters) + "\n")
    sys.stdout.flush()


def note(message: str) -> None:
    """Writes a line beside the result, to stderr."""
    from rich.console import Console

    Console(stderr=True, highlight=False).print(message, style="dim", soft_wrap=True, markup=False)


def write_text(text) -> None:
    """Writes plain or coloured text to stdout."""
    if isinstance(text, str):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        return
    from rich.console import Console

    Console().print(text, soft_wrap=True)


def quiet_libraries() -> None:
    """Imports the package without the messages of other libraries: the terminal belongs to the text."""
    import torch  # noqa: F401  it sets the levels of its loggers

    for logger in NOISY_LOGGERS:
        logging.getLogger(logger).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    import modeling_llada  # noqa: F401

    transformers_logging.disable_progress_bar()
