# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What only a terminal shows."""

import argparse
import logging
import sys
from contextlib import AbstractContextManager, nullcontext

from .errors import CommandError


NOISY_LOGGERS = ("bitsandbytes", "torchao", "torch.utils._pytree")  # they speak of kernels that nothing here uses


def add_animation_arguments(group: argparse._ArgumentGroup) -> None:
    """The options of the drawing of a denoising."""
    group.add_argument("--no-animation", action="store_true", help="only print the text, as into a pipe or a file")
    group.add_argument(
        "--delay",
        type=float,
        default=0.12,
        metavar="S",
        help="shortest time between drawn steps (%(default)s seconds)",
    )


def animation_delay(args: argparse.Namespace) -> float | None:
    """The value of `--delay`, or `None` where nothing is to be drawn.

    Raises:
        `CommandError`: if it is no reasonable number of seconds.
    """
    if not 0 <= args.delay <= 60:
        raise CommandError(f"`--delay` must be a number of seconds in [0, 60], but got {args.delay}.")
    return args.delay if sys.stdout.isatty() and not args.no_animation else None


def spinner(message: str) -> AbstractContextManager:
    """Shows that something is going on, where somebody can see it."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(message) if console.is_terminal else nullcontext()


def quiet_libraries() -> None:
    """Imports the library, without what others have to say about it. The terminal belongs to the text."""
    import torch  # noqa: F401  it sets the levels of its loggers

    for logger in NOISY_LOGGERS:
        logging.getLogger(logger).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    import modeling_llada  # noqa: F401

    transformers_logging.disable_progress_bar()
