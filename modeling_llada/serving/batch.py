# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the scheduler advances by one step at a time: a batch of rows that share forward passes, or a call that runs alone."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

from ..models.blocks_llada import Block
from ..models.call_llada import Call
from ..models.canvas_llada import Canvas
from ..models.denoising_llada import refreshes_cache
from ..models.generation_llada import LLaDAGenerationMixin
from ..models.options_llada import EARLY_OPTIONS, OPTIONS
from .constrained_slots import ConstrainedSlotDenoiser
from .job import Job
from .recorded_slots import RecordedSlotDenoiser, has_recordable_slots
from .slots import SlotDenoiser


# The options that rows of a batch need not share: those of the blocks and of the end of a row, and what steps do not read.
PER_ROW = {
    "max_new_tokens",
    "steps",
    "block_length",
    "temperature",  # `sampling_temperature` has it
    "do_sample",
    "cache_refresh_interval",
    "stop_at_eos",
    "stop_strings",
    "return_dict_in_generate",
    "output_trajectory",
    "bos_token_id",
    "pad_token_id",
}
SHARED = tuple(option.name for option in OPTIONS if option.name not in PER_ROW)
MAX_WAIT = 4  # steps of other rows before a row gets its own: a refresh if it is due for one, or a step without


def why_alone(call: Call) -> str | None:
    """Says why a call cannot share its forward passes with others. Returns `None` if it can."""
    config = call.config
    if call.strategy or call.processors or call.criteria:
        return "a callable takes part in its steps"
    if config.draft_steps is not None or not config.is_final:
        return "a batch has no drafts, edits or tokens that are taken back"
    if len(call.canvas.tokens) > 1:
        return "it has several rows"
    if call.canvas.embeddings is not None:
        return "it has images"
    if call.feed is not None and getattr(call.feed.streamer, "takes_steps", False):
        return "its streamer takes the predictions of each step"
    return None


def shared_options(call: Call) -> tuple:
    """What calls have in common that can share forward passes."""
    values = [getattr(call.config, name) for name in SHARED]
    block_length = call.config.block_length if call.geometry.is_block_causal else None  # the attention depends on it
    is_constrained = call.constraint is not None  # such steps take longer
    return repr(values), call.config.sampling_temperature, call.canvas.end is None, block_length, is_constrained


@dataclass
class Counts:
    """What a scheduler has done since it began. What is said of passes and rows leaves out the calls that run alone."""

    passes: int = 0  # forward passes, the pair of a guided one counted once
    refreshes: int = 0  # those of them that refresh a cache
    rows: int = 0  # rows of all passes
    passes_alone: int = 0  # those of calls that run alone


@dataclass
class Row:
    """A call of one row in a slot of a batch. Its canvas lies in the slot."""

    job: Job
    canvas: Canvas
    blocks: list[Block]
    waited: int = 0  # steps of others since its last one

    @property
    def block(self) -> Block:
        """The active block."""
        return self.blocks[0]

    @property
    def is_due(self) -> bool:
        """Whether the next step of the row refreshes the cache."""
        config = self.job.call.config
        return config.block_cache is not None and refreshes_cache(self.block, config.cache_refresh_interval)

    def may_be_complete(self, poll_interval: int) -> bool:
        """Whether the active block may hold no mask any more; if no option ends it early, its schedule says when."""
        config, block = self.job.call.config, self.block
        can_be_early = any(option.is_set(getattr(config, option.name)) for option in EARLY_OPTIONS)
        return block.num_passes >= block.max_steps or (can_be_early and block.num_passes % poll_interval == 0)

    def end_block(self) -> bool:
        """Ends the active block and those after it that hold no mask. Returns whether this was the last one."""
        while self.blocks:
            is_end = self.job.call.after_block(self.canvas, self.block)
            del self.blocks[0]
            if is_end:
                return True
            if self.blocks and self.canvas.masked_in(self.block).any():
                return False
        return True


class Batch:
    """
    Rows that share their forward passes. They are at blocks of their own, and join and leave while others go on.

    With a cache, the refreshes of several rows are made together: a row that is due for one waits until half of the rows are,
    or for `MAX_WAIT` steps of the others. The others wait for no more steps than that, too, even if refreshes follow each other.
    """

    def __init__(self, model: LLaDAGenerationMixin, call: Call, num_slots: int, length: int, counts: Counts) -> None:
        self.counts = counts
        self.rows: list[Row | None] = [None] * num_slots
        config = copy(call.config)
        config.cache_refresh_interval = None  # each row has its own
        template = call.canvas.padded(length, config.mask_token_id)
        if call.constraint is not None:
            self.denoiser = ConstrainedSlotDenoiser(model, template, config, num_slots, call.constraint)
            return
        kind = RecordedSlotDenoiser if has_recordable_slots(model, call) else SlotDenoiser
        self.denoiser = kind(model, template, config, num_slots)

    @property
    def jobs(self) -> list[Job]:
        """The calls in the slots."""
        return [row.job for row in self.rows if row is not None]

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return None in self.rows

    def admit(self, job: Job) -> list[Job]:
        """Puts a call into a free slot. Returns it if nothing is to be filled, or if its streamer fails."""
        slot, call = self.rows.index(None), job.call
        row = Row(job, self.denoiser.fill(slot, call.canvas, call.generators[0]), call.plan())
        if call.constraint is not None:
            self.denoiser.constrain(slot, call.constraint)
        self.rows[slot] = row
        try:
            call.begin(row.canvas)
            if row.blocks and row.canvas.masked_in(row.block).any() or not row.end_block():
                self.denoiser.enter(slot, row.block)
                return []
        except Exception as error:
            job.error = error
        return [self._leave(slot)]

    def drop(self, job: Job) -> None:
        """Frees the slot of a call."""
        self._clear(next(slot for slot, row in enumerate(self.rows) if row is not None and row.job is job))

    def step(self) -> list[Job]:
        """Makes one step of the rows whose turn it is. Returns the calls that are finished, or have failed."""
        slots = [slot for slot, row in enumerate(self.rows) if row is not None]
        due = [slot for slot in slots if self.rows[slot].is_due]
        ready = [slot for slot in slots if slot not in due]
        is_refresh = self._is_turn_of(due, ready)
        taking_part = due if is_refresh else ready
        for slot in slots:
            self.rows[slot].waited = 0 if slot in taking_part else self.rows[slot].waited + 1
        self.denoiser.step_of(taking_part, is_refresh)
        self.counts.passes += 1
        self.counts.refreshes += is_refresh
        self.counts.rows += len(taking_part)
        left = [job for slot in taking_part if (job := self._after_step(slot))]
        rows = {slot: row for slot in taking_part if (row := self.rows[slot]) is not None}
        if any(row.may_be_complete(self.denoiser.poll_interval) for row in rows.values()):
            is_open = self.denoiser.is_open()  # the host waits for the device once for all rows
            left += [job for slot in rows if not is_open[slot] and (job := self._end_block(slot))]
        return left

    def _is_turn_of(self, due: list[int], ready: list[int]) -> bool:
        """Whether the next step is a refresh: half of the rows are due, or one has waited; and none of the others has."""
        if not due or not ready:
            return bool(due)
        waited_due, waited = (max(self.rows[slot].waited for slot in slots) for slots in (due, ready))
        return waited < MAX_WAIT and (len(due) >= len(ready) or waited_due >= MAX_WAIT)

    def _after_step(self, slot: int) -> Job | None:
        """Streams the step of a row. What its streamer raises ends this row alone."""
        row = self.rows[slot]
        try:
            row.job.call.after_step(row.canvas, row.block, prediction=None)
        except Exception as error:
            row.job.error = error
            return self._leave(slot)

    def _end_block(self, slot: int) -> Job | None:
        """Ends the block of a row. Returns its call if that was the last one, or if its streamer fails."""
        row = self.rows[slot]
        try:
            if not row.end_block():
                self.denoiser.enter(slot, row.block)
                return None
        except Exception as error:
            row.job.error = error
        return self._leave(slot)

    def _leave(self, slot: int) -> Job:
        """Takes a call out of its slot, with a copy of its canvas."""
        row = self.rows[slot]
        row.job.call.canvas = row.canvas.view(row.job.call.length).copy()
        self._clear(slot)
        return row.job

    def _clear(self, slot: int) -> None:
        self.rows[slot] = None
        self.denoiser.clear(slot)


class Alone:
    """A call that shares no forward pass. It advances by the same steps as `generate`."""

    has_room = False

    def __init__(self, model: LLaDAGenerationMixin, job: Job, counts: Counts) -> None:
        self.counts = counts
        self.jobs = [job]
        self.steps: Iterator[None] = model._denoise(job.call)

    def drop(self, job: Job) -> None:
        """Ends the call."""
        self.steps.close()
        self.jobs = []

    def step(self) -> list[Job]:
        """Makes one step. Returns the call if it is finished."""
        for _ in self.steps:
            self.counts.passes_alone += 1
            return []
        finished, self.jobs = self.jobs, []
        return finished
