# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What is known of a request when it ends: for its line in the log, and for the metrics."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from urllib.parse import quote

from .job import Job


@dataclass
class RequestRecord:
    """A request from its arrival to its end, and what the worker did for it; times are those of `time.perf_counter`."""

    method: str = ""
    path: str = ""
    client: str = "-"
    status: int | None = None
    is_complete: bool = False  # its answer has been sent
    has_left: bool = False  # the client went away before
    has_failed: bool = False  # an answer ended with an error, perhaps in the middle of a stream
    arrived: float = field(default_factory=time.perf_counter)
    admitted: float | None = None  # when its first row began
    first_block: float | None = None  # when a stream got its first text
    prompt_tokens: int = 0  # each prompt once, however many answers it gets
    answer_tokens: int = 0
    passes: int = 0
    reasons: list[str] = field(default_factory=list)  # `stop` or `length` for each answer

    @classmethod
    def of(cls, scope: dict) -> "RequestRecord":
        """The record of a request of ASGI."""
        return cls(scope["method"], scope["path"], (scope.get("client") or "-")[0])

    def note_text(self) -> None:
        """Notes that a stream gets text."""
        self.first_block = self.first_block or time.perf_counter()

    def note_error(self) -> None:
        """Notes that an answer ends with an error."""
        self.has_failed = True

    def note_end(self, job: Job, answer_tokens: int, reason: str) -> None:
        """Adds a finished call with the tokens of its answer, without EOS and what follows, and why it ended."""
        self.admitted = self.admitted or job.admitted
        self.answer_tokens += answer_tokens
        self.passes += int(job.output.num_forward_passes.sum())
        self.reasons.append(reason)

    def seconds_until(self, moment: float | None) -> float | None:
        """The seconds from the arrival to a moment."""
        return None if moment is None else moment - self.arrived

    @property
    def outcome(self) -> str:
        """The status of the answer, or what became of it after that was sent."""
        if self.has_left:
            return "left"
        return f"{self.status or 500}{' failed' * (self.has_failed and self.status == 200)}"

    def line(self, seconds: float) -> str:
        """The line of the request in the log, after as many seconds."""
        line = f"{self.client} {self.method} {quote(self.path)} {self.outcome} {seconds:.3f} s"
        if self.reasons:
            line += f", {self.prompt_tokens} + {self.answer_tokens} tokens, {self.passes} passes"
        for what, moment in (("waited", self.admitted), ("first text after", self.first_block)):
            if moment is not None:
                line += f", {what} {self.seconds_until(moment):.3f} s"
        return line


current_record: ContextVar[RequestRecord] = ContextVar("current_record")
