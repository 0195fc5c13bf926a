# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Between the requests and the scheduler: a checked request becomes jobs, and what they commit its answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

import torch
from fastapi import HTTPException
from transformers import PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging

from ..constraints import Constraint
from ..models.call_llada import Call
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.generation_inputs_llada import prepare_prompts
from ..models.modeling_llada import LLaDAForMaskedLM
from .answers import AnswerReader, Commit, Draft, Piece
from .job import Job
from .limits import Limits
from .prompts import Prompt
from .request_record import current_record
from .scheduler import Scheduler
from .streamers import CommitStreamer, WatchingStreamer
from .worker import Worker


logger = logging.get_logger(__name__)


@dataclass
class Choice:
    """One answer that a request asks for."""

    prompt: Prompt
    config: LLaDAGenerationConfig
    seed: int


@dataclass
class Watch:
    """What is to be seen of an answer before it is finished, and of its tokens."""

    is_streamed: bool = False
    has_canvas: bool = False
    num_alternatives: int | None = None  # of each token; `None`: no log-probabilities


class Manager:
    """
    Gives the answers that requests ask for to a scheduler. They are checked before that, because a stream cannot change its
    status code later.
    """

    def __init__(
        self, model: LLaDAForMaskedLM, tokenizer: PreTrainedTokenizerBase, batch_size: int, limits: Limits
    ) -> None:
        self.model, self.tokenizer, self.limits = model, tokenizer, limits
        self.worker = Worker(Scheduler(model, batch_size))

    def stop(self) -> None:
        """Ends each call at its next step."""
        self.worker.stop(HTTPException(503, "The server is shutting down."))

    async def begin(self, choices: list[Choice], constraint: Constraint | None, watch: Watch) -> "Answers":
        """
        Checks the answers that a request asks for. They begin when their pieces are read.

        Raises:
            `ValueError`: if one cannot be given.
            `HTTPException`: with the status 503, if too many others wait.
        """
        self._check_room(len(choices))
        answers = Answers(self.tokenizer, watch, self.worker)
        # In another thread, because many prompts or a constraint take time, and the server answers others meanwhile.
        await asyncio.to_thread(self._prepare, answers, choices, constraint)
        self._check_room(len(choices))  # others may have taken it
        return answers

    def _check_room(self, num_choices: int) -> None:
        num_waiting = len(self.worker.scheduler.waiting)
        if num_waiting + num_choices > self.limits.max_waiting:
            raise HTTPException(503, f"{num_waiting} answers are waiting. Try again later.", {"Retry-After": "1"})

    def _prepare(self, answers: "Answers", choices: list[Choice], constraint: Constraint | None) -> None:
        for index, choice in enumerate(choices):
            inputs = choice.prompt.inputs
            num_masks = choice.prompt.num_masks
            self.limits.check_lengths(choice.prompt.length - num_masks, num_masks + choice.config.max_new_tokens)
            images = {name: inputs[name] for name in self.model.embedded_inputs if name in inputs}
            config = check_prompt(self.model, choice, has_images=bool(images))
            streamer = answers.streamer(index)
            prepare = partial(self._call, choice, images, constraint, streamer)
            job = Job(prepare, partial(answers.send, index))
            if not images:  # else the vision tower has its turn first
                job.call = prepare()
                self.worker.scheduler.check_size(job.call)
            answers.add(job, choice.prompt, config, is_constrained=constraint is not None)

    @torch.no_grad()
    def _call(
        self, choice: Choice, images: dict, constraint: Constraint | None, streamer: BaseStreamer | None
    ) -> Call:
        """The call of `generate` for an answer."""
        try:
            call = self.model._prepare_call(
                input_ids=choice.prompt.inputs["input_ids"],
                attention_mask=choice.prompt.inputs.get("attention_mask"),
                generation_config=choice.config,
                logits_processor=None,
                stopping_criteria=None,
                streamer=streamer,
                generator=torch.Generator(self.model.device).manual_seed(choice.seed),
                tokenizer=self.tokenizer,
                kwargs=dict(images),
                constraint=constraint,
            )
        except ValueError as error:
            raise ValueError(str(error).replace("`constraint`", "`response_format`")) from error
        self.limits.check_steps(call)
        return call


def check_prompt(model: LLaDAForMaskedLM, choice: Choice, has_images: bool) -> LLaDAGenerationConfig:
    """Checks what a server refuses and `generate` does not. Returns the options of the whole call."""
    inputs = choice.prompt.inputs
    config = model._merge_generation_config(choice.config, {})
    input_ids, _ = prepare_prompts(
        inputs["input_ids"], inputs.get("attention_mask"), config, model.config, model.device
    )
    placeholders = [getattr(model.config, name, -1) for name in ("image_token_id", "video_token_id")]
    if not has_images and torch.isin(input_ids, torch.tensor(placeholders, device=input_ids.device)).any():
        raise ValueError(
            "The prompt must not hold the tokens `<image>` and `<video>` without an image: send it as an `image_url` part of "
            "a message to /v1/chat/completions."
        )
    return config


class Answers:
    """
    The answers to a request, which begin with the first look at their pieces: a stream that nobody reads does not begin. The
    scheduler tells the event loop what becomes of them, and never waits for it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, watch: Watch, worker: Worker) -> None:
        self.tokenizer, self.watch, self.worker = tokenizer, watch, worker
        self.loop, self.queue = asyncio.get_running_loop(), asyncio.Queue()
        self.drafts: dict[int, Draft] = {}  # the last one of each answer; the queue has the numbers of their steps
        self.jobs: list[Job] = []
        self.readers: list[AnswerReader] = []
        self.record = current_record.get()

    @property
    def num_written(self) -> int:
        """The tokens of all answers, without what follows their ends."""
        return sum(reader.num_written for reader in self.readers)

    def streamer(self, index: int) -> BaseStreamer | None:
        """What follows the answer with this number, if somebody has to."""
        watch, send = self.watch, partial(self.send, index)
        if watch.has_canvas or watch.num_alternatives:
            return WatchingStreamer(send, watch.has_canvas, watch.num_alternatives or 0)
        return CommitStreamer(send) if watch.is_streamed else None

    def add(self, job: Job, prompt: Prompt, config: LLaDAGenerationConfig, is_constrained: bool) -> None:
        """Adds the next answer."""
        has_logprobs = self.watch.num_alternatives is not None
        self.jobs.append(job)
        self.readers.append(AnswerReader(self.tokenizer, prompt, config, is_constrained, has_logprobs))

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """
        Begins the answers. Gives their parts with their numbers, as they come. If it is closed, the answers end at their next
        step.

        Raises:
            `Exception`: what an answer fails with, which ends the others, too.
        """
        num_open = len(self.jobs)
        try:
            for job in self.jobs:
                self.worker.submit(job)
            while num_open:
                index, content = await self.queue.get()
                if isinstance(content, int):
                    if content == self.drafts[index].step:
                        yield index, Piece(canvas=self.drafts[index])
                elif isinstance(content, Commit):
                    yield index, self._read(index, content)
                else:
                    for piece in self._end(index, content):
                        yield index, piece
                    num_open -= 1
        finally:
            self.cancel()

    async def collect(self) -> list[Piece]:
        """The whole answers."""
        whole = [Piece() for _ in self.jobs]
        async for index, piece in self.pieces():
            whole[index].text += piece.text
            whole[index].tokens += piece.tokens
            whole[index].finish_reason = piece.finish_reason
        return whole

    def cancel(self) -> None:
        """Ends what is at work at its next step. It changes nothing if all is finished."""
        for job in self.jobs:
            job.cancel()

    def _read(self, index: int, commit: Commit) -> Piece:
        """Reads tokens that are finished before the answer is."""
        piece = self.readers[index].read(commit)
        if piece.text and self.watch.is_streamed:
            self.record.note_text()
        return piece

    def _end(self, index: int, job: Job) -> list[Piece]:
        if job.error is not None:
            self.record.note_error()
            raise job.error
        reader, canvas, pieces = self.readers[index], job.call.canvas, []
        if job.call.feed is None:  # else its tokens were read
            pieces.append(reader.read(Commit(canvas.tokens[0].tolist(), canvas.confidence[0].tolist())))
        pieces.append(reader.finish())
        self.record.note_end(job, reader.num_written, pieces[-1].finish_reason)
        return pieces

    def send(self, index: int, content: Commit | Draft | Job) -> None:
        """Tells the event loop what is new of an answer, or that its job has ended."""
        call_in(self.loop, self._receive, index, content)

    def _receive(self, index: int, content: Commit | Draft | Job) -> None:
        """Hears of an answer in the event loop. Of its drafts the last one is kept: a client that reads slowly gets fewer."""
        if isinstance(content, Draft):
            self.drafts[index], content = content, content.step
        self.queue.put_nowait((index, content))


def call_in(loop: asyncio.AbstractEventLoop, function: Callable, *args) -> None:
    """Calls a function in the thread of an event loop, if it still runs."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        logger.debug("The event loop is closed, so that nobody waits for an answer.")
