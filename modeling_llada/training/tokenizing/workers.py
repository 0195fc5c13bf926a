# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Several processes that encode batches, and hand them out in order."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

from .encoding import Encoder
from .sources import Batch, Position


# Calls a method of the encoder with each batch and further arguments, and yields the ends of batches with what it returns.
Encoders = Callable[..., Iterator[tuple[Position, object]]]
_encoder: Encoder | None = None  # of a worker process


@contextmanager
def start_workers(num_processes: int, **encoder) -> Iterator[Encoders]:
    """
    Starts processes with an [`Encoder`] of these arguments. One process is this one.

    Example:

    ```python
    >>> with start_workers(4, tokenizer_file="tokenizer.json", ...) as encoders:
    ...     for end, encoded in encoders("encode", batches, 0):
    ...         ...
    ```
    """
    if num_processes == 1:
        own = Encoder(**encoder)
        yield lambda method, batches, *args: ((batch.end, getattr(own, method)(batch, *args)) for batch in batches)
        return
    # Forks share the memory of the libraries, whose import takes seconds. They use nothing else of this process.
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    executor = ProcessPoolExecutor(num_processes, context, _start, (encoder,))
    try:
        yield lambda *args: _in_order(executor, 2 * num_processes, *args)
    except BrokenProcessPool:
        raise ChildProcessError(
            "a worker process was killed, perhaps because memory ran out. Run the same command again, with a smaller "
            "`num_processes`: it goes on."
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def _in_order(
    executor: ProcessPoolExecutor, ahead: int, method: str, batches: Iterable[Batch], *args
) -> Iterator[tuple[Position, object]]:
    """Yields in the order of the batches, of which only a few are in memory."""
    pending = deque()
    for batch in batches:
        pending.append((batch.end, executor.submit(_call, method, batch, *args)))
        if len(pending) > ahead:
            end, future = pending.popleft()
            yield end, future.result()
    for end, future in pending:
        yield end, future.result()


def _start(encoder: dict) -> None:
    global _encoder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _encoder = Encoder(**encoder)
    end_with_parent()


def end_with_parent() -> None:
    """Lets this worker end when its main process is killed, which then cannot stop it."""

    def watch() -> None:
        wait([parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(method: str, batch: Batch, *args) -> object:
    return getattr(_encoder, method)(batch, *args)
