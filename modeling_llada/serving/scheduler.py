# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The scheduler: which calls of `generate` are at work, and which wait."""

import math
import time
from collections import deque

import torch
from transformers.utils import logging

from ..models.call_llada import Call
from ..models.generation_llada import LLaDAGenerationMixin
from ..models.options_llada import check_integer
from .batch import Alone, Batch, Counts, shared_options, why_alone
from .job import Job
from .memory import memory_limit_of, slot_bytes, step_bytes
from .recorded_slots import is_recordable


logger = logging.get_logger(__name__)

MAX_EMPTY = 2  # batches that are kept for later calls
SHORTEST_SLOT = 512  # positions; the slots of longer rows have 4, 16, 64... times as many


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
        """The calls that are at work. Any thread may ask, so the list is made at once."""
        return sum(len(batch.jobs) for batch in list(self.batches.values()))

    @property
    def is_idle(self) -> bool:
        """Whether no call is left."""
        return not (self.num_running or self.waiting)

    def submit(self, job: Job) -> None:
        """Lets a call wait for its turn. Any thread may do so."""
        self.waiting.append(job)

    @torch.inference_mode(False)  # whose tensors could not be changed outside of it
    @torch.no_grad()
    def step(self) -> bool:
        """Admits calls, and makes one step of every batch. Returns whether any call is left."""
        self.drop_cancelled()
        self._admit()
        at_work = [(key, batch) for key, batch in self.batches.items() if batch.jobs]
        for key, batch in at_work:
            jobs = batch.jobs
            try:
                finished = batch.step()
            except Exception as error:  # of a pass that all its rows share
                self._drop_batch(key)
                finished = jobs
                for job in jobs:
                    job.error = job.error or error
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
            if cancelled:
                self._release(key, cancelled)

    def check_size(self, call: Call) -> None:
        """Raises a `ValueError` for a call that is too large for the memory, even if it were alone."""
        num_bytes = row_bytes(self.model, call)
        if self.memory_limit is not None and num_bytes > self.memory_limit:
            raise ValueError(
                f"`memory_limit` must allow the keys, values and logits of a row, but this one takes {in_megabytes(num_bytes)} and "
                f"the limit is {in_megabytes(self.memory_limit)}. Use a smaller `block_length`, a shorter prompt or a smaller "
                "`max_new_tokens`, or raise the limit."
            )

    def close(self, error: Exception | None = None) -> None:
        """Ends all calls with an error, or without a word, and frees their memory, whatever state that is in."""
        jobs = [job for batch in self.batches.values() for job in batch.jobs]
        self.batches.clear()
        self.bytes_of.clear()
        while self.waiting:  # another thread may add to them
            jobs.append(self.waiting.popleft())
        for job in jobs:
            job.is_cancelled, was_cancelled = True, job.is_cancelled
            if error is not None and not was_cancelled:
                job.error = error
                try:
                    job.done(job)
                except Exception as failure:  # which keeps the answer from nobody else
                    logger.error("The end of a call has failed.", exc_info=failure)

    def _admit(self) -> None:
        """Admits calls in their order, until one has to wait."""
        while self.waiting and self.num_running < self.batch_size:
            job = self.waiting[0]
            try:
                if not self._admit_one(job):
                    return
            except Exception as error:
                job.error = error
                self.bytes_of.pop(job, None)
                self._finish(job)
            self.waiting.popleft()

    def _admit_one(self, job: Job) -> bool:
        """Admits a call, if there is room for it."""
        if job.call is None:
            job.call = job.prepare()
        self.check_size(job.call)
        reason = why_alone(job.call)
        job.admitted = time.perf_counter()  # or later, if it has to wait
        if reason:
            logger.warning_once(f"A call shares no forward pass with others, because {reason}.")
        # A single client gets the recorded steps of `generate`: those of slots compute all of them. With a constraint slots have
        # none that are recorded.
        is_single = self.num_running == 0 or job.call.constraint is not None
        if reason or (is_single and is_recordable(self.model, job.call)):
            return self._start_alone(job)
        return self._join_batch(job)

    def _start_alone(self, job: Job) -> bool:
        num_bytes = row_bytes(self.model, job.call)
        if not self._make_room(num_bytes):
            return False
        self.batches[job] = Alone(self.model, job, self.counts)
        self.bytes_of[job] = num_bytes
        return True

    def _join_batch(self, job: Job) -> bool:
        """Puts a call into the batch of its options and its length, which begins with it if need be."""
        key = shared_options(job.call), slot_length(job.call)
        num_bytes = step_bytes(self.model, job.call)
        batch = self.batches.get(key)
        if batch is not None and not self._make_room(num_bytes, keep=key) and not batch.jobs:
            self._drop_batch(key)  # it was made for smaller blocks, and has too many slots
            batch = None
        if batch is None:
            has_room = self._open_batch(key, job.call)
        else:
            has_room = batch.has_room and self._num_free() >= num_bytes
        if not has_room:
            return False
        self.bytes_of[job] = num_bytes
        self._release(key, self.batches[key].admit(job))
        return True

    def _open_batch(self, key: tuple, call: Call) -> bool:
        """Makes a batch for a call and others like it, with as many slots as fit."""
        num_slots, for_row = self.batch_size, row_bytes(self.model, call)
        if not self._make_room(num_slots * for_row):
            num_slots = self._num_free() // for_row
        if num_slots == 0:
            return False
        length = slot_length(call)
        self.batches[key] = Batch(self.model, call, num_slots, length, self.counts)
        self.bytes_of[key] = num_slots * slot_bytes(self.model, call, length)
        return True

    def _make_room(self, num_bytes: int, keep: object = None) -> bool:
        """Drops empty batches, the oldest first, until some bytes are free. Returns whether they are."""
        empty = [key for key, batch in self.batches.items() if not batch.jobs and key != keep]
        while self._num_free() < num_bytes and empty:
            self._drop_batch(empty.pop(0))
        return self._num_free() >= num_bytes

    def _num_free(self) -> float:
        return math.inf if self.memory_limit is None else self.memory_limit - sum(self.bytes_of.values())

    def _release(self, key: object, finished: list[Job]) -> None:
        """Lets calls leave. A few empty batches are kept for calls like theirs, with their memory and their recordings."""
        if isinstance(self.batches.get(key), Alone) and not self.batches[key].jobs:
            self._drop_batch(key)
        empty = [key for key, batch in self.batches.items() if not batch.jobs]
        for key in empty[:-MAX_EMPTY]:
            self._drop_batch(key)
        for job in finished:
            self.bytes_of.pop(job, None)
            self._finish(job)

    def _drop_batch(self, key: object) -> None:
        del self.batches[key]
        self.bytes_of.pop(key, None)

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


def row_bytes(model: LLaDAGenerationMixin, call: Call) -> int:
    """The memory of a row and its slot."""
    return step_bytes(model, call) + slot_bytes(model, call, slot_length(call))


def slot_length(call: Call) -> int:
    """The length of the slots in which a call has its place."""
    length = SHORTEST_SLOT
    while length < call.canvas.tokens.shape[1]:
        length *= 4
    return length


def in_megabytes(num_bytes: int) -> str:
    """A number of bytes for people."""
    return f"{num_bytes / 2**20:,.0f} MiB"
