# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The scheduler: which calls of `generate` are at work, and which wait."""

from collections import deque

import torch
from transformers.utils import logging

from ..models.call_llada import Call
from ..models.generation_llada import LLaDAGenerationMixin
from ..models.options_llada import check_integer
from .batch import Alone, Batch, Counts, shared_options, why_alone
from .job import Job
from .memory import memory_limit_of, slot_bytes, step_bytes


logger = logging.get_logger(__name__)

SHORTEST_SLOT = 256  # positions; the slots of longer rows have 4, 16, 64... times as many


class Scheduler:
    """
    Runs calls of `generate` side by side. Calls with equal options and canvases of similar length share their forward passes.

    It has no thread: `step` makes one step of every batch. A call is admitted in its order, if one of `batch_size` rows is free
    and if its keys, values and logits fit into `memory_limit` bytes beside those of the others. It leaves as soon as it has its
    output or an error, or is cancelled.
    """

    def __init__(self, model: LLaDAGenerationMixin, batch_size: int = 8, memory_limit: int | None = None) -> None:
        check_integer("batch_size", batch_size, minimum=1)
        if memory_limit is not None:
            check_integer("memory_limit", memory_limit, minimum=1)
        self.model, self.batch_size = model, batch_size
        self.memory_limit = memory_limit_of(model.device) if memory_limit is None else memory_limit
        self.counts = Counts()
        self.waiting: deque[Job] = deque()
        self.batches: dict[object, Batch | Alone] = {}
        self.bytes_of: dict[object, int] = {}  # those of the slots of a batch, and of the steps of a job

    @property
    def num_running(self) -> int:
        """The calls that are at work."""
        return sum(len(batch.jobs) for batch in self.batches.values())

    @property
    def is_idle(self) -> bool:
        """Whether no call is left."""
        return not (self.batches or self.waiting)

    def submit(self, job: Job) -> None:
        """Lets a call wait for its turn. Any thread may do so."""
        self.waiting.append(job)

    @torch.no_grad()
    def step(self) -> bool:
        """Admits calls, and makes one step of every batch. Returns whether any call is left."""
        self.drop_cancelled()
        self._admit()
        for key, batch in list(self.batches.items()):
            try:
                finished = batch.step()
            except Exception as error:  # of a pass that all its rows share
                finished = batch.jobs
                for job in finished:
                    job.error = error
                    batch.drop(job)
            self._release(key, finished)
        return not self.is_idle

    def drop_cancelled(self) -> None:
        """Takes out the calls that were cancelled. `step` does that, too."""
        for job in list(self.waiting):
            if job.is_cancelled:
                self.waiting.remove(job)
        for key, batch in list(self.batches.items()):
            cancelled = [job for job in batch.jobs if job.is_cancelled]
            for job in cancelled:
                batch.drop(job)
            self._release(key, cancelled)

    def check_size(self, call: Call) -> None:
        """Raises a `ValueError` for a call that is too large for the memory, even if it were alone."""
        for_row = step_bytes(self.model, call) + slot_bytes(self.model, call, slot_length(call))
        if self.memory_limit is not None and for_row > self.memory_limit:
            raise ValueError(
                f"`memory_limit` must allow the keys, values and logits of a row, but this one takes {in_megabytes(for_row)} and "
                f"the limit is {in_megabytes(self.memory_limit)}. Use a smaller `block_length`, a shorter prompt or a smaller "
                "`max_new_tokens`, or raise the limit."
            )

    def close(self, error: Exception | None = None) -> None:
        """Ends all calls with an error, or without a word, and frees their memory."""
        jobs = [*self.waiting, *(job for batch in self.batches.values() for job in batch.jobs)]
        for job in jobs:
            job.is_cancelled, was_cancelled = True, job.is_cancelled
            if error is not None and not was_cancelled:
                job.error = error
                job.done(job)
        self.drop_cancelled()

    def _admit(self) -> None:
        """Admits calls in their order, until one has to wait."""
        while self.waiting and self.num_running < self.batch_size:
            job = self.waiting[0]
            try:
                if not self._admit_one(job):
                    return
            except Exception as error:
                job.error = error
                self._finish(job)
            self.waiting.popleft()

    def _admit_one(self, job: Job) -> bool:
        """Admits a call, if there is room for it."""
        if job.call is None:
            job.call = job.prepare()
        call = job.call
        self.check_size(call)
        reason = why_alone(call)
        length = slot_length(call)
        key = job if reason else (shared_options(call), length)
        num_bytes = step_bytes(self.model, call)
        if key in self.batches:
            if not self.batches[key].has_room or not self._fits(num_bytes):
                return False
        else:
            num_slots = self._num_slots(call, length, num_bytes)
            if num_slots == 0:
                return False
            if reason:
                num_slots = 1
                logger.warning_once(f"A call shares no forward pass with others, because {reason}.")
                self.batches[key] = Alone(self.model, job)
            else:
                self.batches[key] = Batch(self.model, call, num_slots, length, self.counts)
            self.bytes_of[key] = num_slots * slot_bytes(self.model, call, length)
        self.bytes_of[job] = num_bytes + self.bytes_of.get(job, 0)
        if not reason:
            self._release(key, self.batches[key].admit(job))
        return True

    def _fits(self, num_bytes: int) -> bool:
        return self.memory_limit is None or num_bytes + sum(self.bytes_of.values()) <= self.memory_limit

    def _num_slots(self, call: Call, length: int, num_bytes: int) -> int:
        """How many slots a new batch for a call gets: as many as fit, perhaps none."""
        if self.memory_limit is None:
            return self.batch_size
        free = self.memory_limit - sum(self.bytes_of.values())
        return min(self.batch_size, free // max(num_bytes + slot_bytes(self.model, call, length), 1))

    def _release(self, key: object, finished: list[Job]) -> None:
        """Lets calls leave a batch, and drops the batch if it is empty."""
        if not self.batches[key].jobs:
            del self.batches[key]
            self.bytes_of.pop(key, None)
        for job in finished:
            self.bytes_of.pop(job, None)
            self._finish(job)

    def _finish(self, job: Job) -> None:
        if job.is_cancelled:
            return
        if job.error is None:
            try:
                job.output = self.model._output_of(job.call)
                if job.call.feed is not None:
                    job.call.feed.streamer.end()
            except Exception as error:
                job.error = error
        job.done(job)


def slot_length(call: Call) -> int:
    """The length of the slots in which a call has its place."""
    length = SHORTEST_SLOT
    while length < call.canvas.tokens.shape[1]:
        length *= 4
    return length


def in_megabytes(num_bytes: int) -> str:
    """A number of bytes for people."""
    return f"{num_bytes / 2**20:,.0f} MiB"
