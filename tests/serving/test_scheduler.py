# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Which calls are at work and which wait: arrivals at any time, refreshes, memory, cancellation and failures."""

from random import Random

import pytest
import torch
from support.generate_calls import tiny_model
from transformers.generation.streamers import BaseStreamer

from modeling_llada.serving.batch import MAX_WAIT
from modeling_llada.serving.job import Job
from modeling_llada.serving.memory import memory_limit_of
from modeling_llada.serving.scheduler import Scheduler


def job_of(model, input_ids, seed=0, streamer=None, **options):
    """A job, which is put into `job.finished` by its `done`."""

    def prepare():
        generator = torch.Generator().manual_seed(seed)
        options.setdefault("output_trajectory", True)
        return model._prepare_call(
            torch.tensor([input_ids]), None, None, None, None, streamer, generator, None, dict(options)
        )

    return Job(prepare, done=lambda job: None)


def run(scheduler):
    while scheduler.step():
        pass


def is_finished(job):
    return job.output is not None or job.error is not None


@pytest.fixture
def model():
    return tiny_model(0)


@pytest.fixture
def passes(model):
    """A list with the number of rows and of positions of each forward pass of the model."""
    shapes = []

    def note(module, args, kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    yield shapes
    hook.remove()


@pytest.mark.parametrize("cache", [None, "dual", "prefix"])
def test_arrivals_at_any_step(model, cache):
    chance, scheduler = Random(cache), Scheduler(model, batch_size=3)
    asked = [
        ([chance.randrange(9) for _ in range(chance.randint(1, 6))], chance.randint(1, 12), chance.randint(1, 5))
        for _ in range(8)
    ]
    options = {"block_cache": cache, "confidence_threshold": 0.4}
    jobs = []
    for ids, length, block_length in asked:
        jobs.append(job_of(model, ids, max_new_tokens=length, block_length=block_length, **options))
        scheduler.submit(jobs[-1])
        for _ in range(chance.randrange(4)):
            scheduler.step()
    run(scheduler)
    for job, (ids, length, block_length) in zip(jobs, asked, strict=True):
        alone = model.generate(
            torch.tensor([ids]),
            max_new_tokens=length,
            block_length=block_length,
            return_dict_in_generate=True,
            **options,
        )
        assert torch.equal(job.output.sequences, alone.sequences)
        assert torch.equal(job.output.num_forward_passes, alone.num_forward_passes)


def test_another_thread_may_ask_how_many_are_at_work(model):
    """Here a batch is opened while the others are counted."""
    scheduler = Scheduler(model)

    class Opening:
        @property
        def jobs(self):
            scheduler.batches[object()] = self
            return [None]

    scheduler.batches["first"] = Opening()
    assert scheduler.num_running == 1


class TestRefreshes:
    def test_of_rows_that_keep_step_are_made_together(self, model, passes):
        scheduler = Scheduler(model, batch_size=4)
        options = {"max_new_tokens": 8, "block_length": 4, "block_cache": "dual", "stop_at_eos": False}
        for _ in range(4):
            scheduler.submit(job_of(model, [1, 2], **options))
        run(scheduler)
        assert passes == 2 * [(4, 10), (4, 4), (4, 4), (4, 4)]

    def test_a_row_waits_for_others(self, model, passes):
        """Three rows are inside a block when the fourth begins: it waits, and then is refreshed alone."""
        scheduler = Scheduler(model, batch_size=4)
        options = {"block_length": 10, "block_cache": "dual", "stop_at_eos": False, "max_new_tokens": 10}
        for _ in range(3):
            scheduler.submit(job_of(model, [1, 2], **options))
        scheduler.step()
        scheduler.submit(job_of(model, [3], **options))
        for _ in range(MAX_WAIT + 2):
            scheduler.step()
        assert passes[0] == (3, 12)
        assert passes[1 : MAX_WAIT + 1] == MAX_WAIT * [(3, 10)]
        assert passes[MAX_WAIT + 1 :] == [(1, 11), (4, 10)]


class TestMemory:
    options = {"block_cache": "dual", "max_new_tokens": 8, "block_length": 4}

    def test_a_call_that_never_fits_is_refused(self, model):
        scheduler = Scheduler(model, memory_limit=50_000)
        job, small = job_of(model, [1], **self.options), job_of(model, [1], max_new_tokens=2)
        scheduler.submit(job)
        scheduler.submit(small)
        run(scheduler)
        assert "`memory_limit` must allow the keys, values and logits of a row" in str(job.error)
        assert small.error is None and small.output is not None

    def test_calls_wait_until_they_fit(self, model):
        """The slots of a batch are as many as fit, and a call with other options waits until it is empty."""
        scheduler = Scheduler(model, batch_size=8, memory_limit=300_000)
        jobs = [job_of(model, [1], **self.options) for _ in range(4)]
        other = job_of(model, [1], temperature=1.0, **self.options)
        for job in [*jobs, other]:
            scheduler.submit(job)
        most = 0
        while scheduler.step():
            most = max(most, scheduler.num_running)
            assert sum(scheduler.bytes_of.values()) <= 300_000
        assert most == 2
        assert all(job.output is not None for job in [*jobs, other])
        assert not set(jobs) & set(scheduler.bytes_of)

    def test_a_larger_block_in_a_batch_with_many_slots(self, model):
        """It fits alone: the batch, which small blocks have filled with slots, is made anew when it is empty."""
        scheduler = Scheduler(model, batch_size=8, memory_limit=270_000)
        small = [job_of(model, [1], max_new_tokens=4, block_length=1, block_cache="dual") for _ in range(3)]
        large = job_of(model, [1], max_new_tokens=30, block_cache="dual")
        for job in [*small, large]:
            scheduler.submit(job)
        for _ in range(200):
            scheduler.step()
        assert scheduler.is_idle and large.output is not None

    def test_what_torch_keeps_of_earlier_work_is_free(self, monkeypatch):
        for name, num_bytes in (("mem_get_info", (100, 1000)), ("memory_reserved", 500), ("memory_allocated", 300)):
            monkeypatch.setattr(torch.cuda, name, lambda device, num_bytes=num_bytes: num_bytes)
        assert memory_limit_of(torch.device("cuda")) == 270

    @pytest.mark.parametrize("name", ["batch_size", "memory_limit"])
    def test_limits_are_positive(self, model, name):
        with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least 1"):
            Scheduler(model, **{name: 0})


class TestCancel:
    @pytest.mark.parametrize("more", [{}, {"edit_threshold": 0.9}], ids=["in-a-slot", "alone"])
    def test_frees_the_slot_at_the_next_step(self, model, more):
        scheduler = Scheduler(model, batch_size=1)
        long = job_of(model, [1], max_new_tokens=20, **more)
        short = job_of(model, [2], max_new_tokens=1)
        scheduler.submit(long)
        scheduler.submit(short)
        scheduler.step()
        long.cancel()
        scheduler.step()
        assert short.output is not None
        assert not is_finished(long) and scheduler.is_idle

    def test_of_a_call_that_waits(self, model):
        scheduler = Scheduler(model, batch_size=1)
        jobs = [job_of(model, [1], max_new_tokens=3) for _ in range(3)]
        for job in jobs:
            scheduler.submit(job)
        jobs[1].cancel()
        run(scheduler)
        assert [is_finished(job) for job in jobs] == [True, False, True]

    def test_close_frees_all(self, model):
        scheduler = Scheduler(model, batch_size=2)
        for _ in range(4):
            scheduler.submit(job_of(model, [1], max_new_tokens=9))
        scheduler.step()
        scheduler.close()
        assert not scheduler.batches and not scheduler.bytes_of and not scheduler.step()


class Recorder(BaseStreamer):
    """What a streamer gets."""

    def __init__(self, fails_at=None):
        self.parts, self.fails_at = [], fails_at

    def put(self, value):
        self.parts.append(value.tolist())
        if len(self.parts) == self.fails_at:
            raise ConnectionError("the client has gone")

    def end(self):
        self.parts.append("end")


class TestStreamers:
    def test_get_what_generate_gives_them(self, model):
        scheduler, alone = Scheduler(model), Recorder()
        options = {"max_new_tokens": 9, "block_length": 4}
        streamers = [Recorder(), Recorder()]
        for streamer in streamers:
            scheduler.submit(job_of(model, [1, 2], streamer=streamer, **options))
        run(scheduler)
        model.generate(torch.tensor([[1, 2]]), streamer=alone, **options)
        assert streamers[0].parts == streamers[1].parts == alone.parts
        assert alone.parts[-1] == "end"

    @pytest.mark.parametrize("fails_at", [1, 2])
    def test_one_that_fails_ends_its_call_alone(self, model, fails_at):
        scheduler = Scheduler(model)
        options = {"max_new_tokens": 9, "block_length": 4}
        bad = job_of(model, [1, 2], streamer=Recorder(fails_at), **options)
        good = job_of(model, [1, 2], streamer=Recorder(), **options)
        scheduler.submit(bad)
        scheduler.submit(good)
        run(scheduler)
        assert isinstance(bad.error, ConnectionError) and good.error is None


def test_a_pass_that_fails_ends_the_rows_that_share_it(model, monkeypatch):
    scheduler = Scheduler(model)
    together = [job_of(model, [1], max_new_tokens=4) for _ in range(2)]
    other = job_of(model, [1], max_new_tokens=4, block_cache="dual")
    for job in [*together, other]:
        scheduler.submit(job)
    scheduler.step()
    batch = scheduler.batches[next(iter(scheduler.batches))]
    monkeypatch.setattr(batch.denoiser, "step", lambda block: 1 / 0)
    run(scheduler)
    assert all(isinstance(job.error, ZeroDivisionError) for job in together)
    assert other.output is not None and scheduler.is_idle


def test_the_log_says_why_a_call_runs_alone(model, caplog):
    from transformers.utils import logging

    logging.get_logger("modeling_llada").parent.propagate = True
    scheduler = Scheduler(model)
    scheduler.submit(job_of(model, [1], max_new_tokens=2, num_return_sequences=2, temperature=1.0))
    run(scheduler)
    assert "shares no forward pass with others, because it has several rows" in caplog.text


def test_rows_that_always_refresh_let_the_others_go_on(model):
    """An interval of 1 makes each step a refresh, so that half of the rows are always due."""
    scheduler = Scheduler(model, batch_size=2)
    greedy, short = (
        job_of(
            model,
            [1, 2],
            max_new_tokens=length,
            stop_at_eos=False,
            block_cache="dual",
            cache_refresh_interval=interval,
        )
        for length, interval in ((28, 1), (4, None))
    )
    scheduler.submit(greedy)
    scheduler.submit(short)
    num_steps = 0
    while not is_finished(short):
        scheduler.step()
        num_steps += 1
    assert num_steps <= 4 * (MAX_WAIT + 1) and not is_finished(greedy)
    run(scheduler)
    assert int(greedy.output.num_forward_passes) == 28 and int(short.output.num_forward_passes) == 4
