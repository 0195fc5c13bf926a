# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Commands and scripts in a pipe. This module must not import torch, because `llada --help` uses it."""

import contextlib
import os
import sys
from collections.abc import Iterator


BROKEN_PIPE_CODE = 141  # of a program that SIGPIPE ends: 128 + 13


@contextlib.contextmanager
def quiet_when_closed() -> Iterator[None]:
    """
    Ends the program quietly when the reader of stdout has gone, as in `| head -1`. It is also a decorator.

    Raises:
        `SystemExit`: with exit code 141, as shells know it from other programs.

    Example:

    ```python
    >>> from modeling_llada.pipes import quiet_when_closed

    >>> @quiet_when_closed()
    ... def main():
    ...     print("a line")
    ```
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        with contextlib.suppress(OSError):  # a stdout without a file
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more
        sys.exit(BROKEN_PIPE_CODE)
