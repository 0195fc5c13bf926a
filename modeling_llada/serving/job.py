# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""One call of `generate` on its way through the scheduler."""

from collections.abc import Callable
from dataclasses import dataclass

from ..models.call_llada import Call
from ..models.generation_llada import LLaDAGenerationOutput


@dataclass(eq=False)
class Job:
    """
    A call that waits for a slot, is in one, or has left it.

    `prepare` checks the call and makes its canvas, when its turn comes. `done` is called once with the job when it has an output
    or an error, and never after `cancel`. Both run in the thread of the scheduler.
    """

    prepare: Callable[[], Call]
    done: Callable[["Job"], None]
    call: Call | None = None
    output: LLaDAGenerationOutput | None = None
    error: Exception | None = None
    is_cancelled: bool = False
    admitted: float | None = None  # when it got its slot, by `time.perf_counter`

    def cancel(self) -> None:
        """Takes the call out of the scheduler before its next step. Any thread may do so."""
        self.is_cancelled = True
