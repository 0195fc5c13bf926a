# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Between the request handlers of `transformers serve` and the scheduler: a checked request becomes a job, and its tokens text."""

import asyncio
import json
from collections.abc import Callable

import torch
from fastapi import HTTPException
from transformers.cli.serving.utils import BaseGenerateManager, DirectStreamer, GenerationState, _StreamError
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging

from ..loading import tokenizer_of
from ..models.call_llada import Call
from ..models.generation_inputs_llada import prepare_prompts
from ..models.modeling_llada import LLaDAForMaskedLM
from .job import Job
from .limits import Limits
from .request_options import RequestOptions
from .request_record import RequestRecord, current_record
from .scheduler import Scheduler
from .worker import Worker


logger = logging.get_logger(__name__)


class LLaDAGenerationState(GenerationState):
    """One manager for the one model, and so one thread. It has neither continuous batching nor a static cache."""

    def __init__(self, manager: "LLaDAGenerateManager") -> None:
        super().__init__()
        self._manager = manager

    def get_manager(self, model_id: str, use_cb: bool = False) -> "LLaDAGenerateManager":
        return self._manager

    def shutdown(self) -> None:
        """Ends each call at its next step."""
        self._manager.stop()
        super().shutdown()


class LLaDAGenerateManager(BaseGenerateManager):
    """
    Gives the requests to a scheduler. Each is checked before its answer begins, because a stream cannot change its status code
    later.
    """

    def __init__(self, model: LLaDAForMaskedLM, batch_size: int, limits: Limits) -> None:
        self.limits = limits
        self.worker = Worker(Scheduler(model, batch_size))

    def generate_streaming(
        self, model, processor, inputs, gen_config, request_id, response_parser=None
    ) -> tuple[asyncio.Queue, DirectStreamer]:
        """Begins an answer. Gives a queue with its text, and a streamer by which it can be cancelled."""
        loop, queue = asyncio.get_running_loop(), asyncio.Queue()
        streamer = CancellableStreamer(tokenizer_of(processor)._tokenizer, loop, queue, response_parser)

        def done(job: Job) -> None:
            if job.error is not None:
                logger.error("A stream has failed.", exc_info=job.error)
                # The server puts the message between quotes without escaping it.
                call_in(loop, queue.put_nowait, _StreamError(json.dumps(str(job.error))[1:-1]))

        streamer.job = self._submit(model, inputs, gen_config, done, streamer)
        return queue, streamer

    async def generate_non_streaming(
        self, model, processor, inputs, gen_config, request_id
    ) -> tuple[str, int, torch.LongTensor]:
        """The text of a whole answer, the length of the prompt, and the tokens. The call ends early if the task is cancelled."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        job = self._submit(model, inputs, gen_config, lambda job: call_in(loop, settle, answer, job))
        try:
            tokens = await answer
        finally:
            job.cancel()  # changes nothing if it is finished
        return processor.decode(tokens, skip_special_tokens=True), inputs["input_ids"].shape[-1], tokens

    def stop(self) -> None:
        """Ends each call at its next step."""
        self.worker.stop(HTTPException(503, "The server is shutting down."))

    def _submit(
        self,
        model: LLaDAForMaskedLM,
        inputs: dict,
        options: RequestOptions,
        done: Callable[[Job], None],
        streamer: BaseStreamer | None = None,
    ) -> Job:
        num_waiting = len(self.worker.scheduler.waiting)
        if num_waiting >= self.limits.max_waiting:
            raise HTTPException(503, f"{num_waiting} requests are waiting. Try again later.", {"Retry-After": "1"})
        self.limits.check_lengths(inputs["input_ids"].shape[-1], options.max_new_tokens)
        images = {name: inputs[name] for name in model.embedded_inputs if name in inputs}
        eos_token_id = check_request(model, inputs, options, has_images=bool(images))
        record = current_record.get()
        streamer = None if streamer is None else AnswerStreamer(streamer, eos_token_id, record)

        def prepare() -> Call:
            call = prepare_call(model, inputs, images, options, streamer)
            self.limits.check_steps(call)
            return call

        def end(job: Job) -> None:
            if job.error is None:
                record.note_end(job, answer_of(job))
            else:
                record.note_error()
            done(job)

        job = Job(prepare, end)
        if not images:  # else the vision tower has its turn first
            job.call = prepare()
            self.worker.scheduler.check_size(job.call)
        self.worker.submit(job)
        return job


def check_request(
    model: LLaDAForMaskedLM, inputs: dict, options: RequestOptions, has_images: bool
) -> int | list | None:
    """Checks what a server refuses and `generate` does not. Returns the tokens that end the answer."""
    config = model._merge_generation_config(options.config, {})
    input_ids, _ = prepare_prompts(
        inputs["input_ids"], inputs.get("attention_mask"), config, model.config, model.device
    )
    if (input_ids == config.mask_token_id).any():
        raise ValueError(
            "The prompt must not hold mask tokens, because the server returns only the text after a prompt. Fill masks "
            "with `llada generate --infill` or `model.generate`."
        )
    placeholders = [getattr(model.config, name, -1) for name in ("image_token_id", "video_token_id")]
    if not has_images and torch.isin(input_ids, torch.tensor(placeholders, device=input_ids.device)).any():
        raise ValueError(
            "The prompt must not hold the tokens `<image>` and `<video>` without an image: send it as an `image_url` part of "
            "a message to /v1/chat/completions."
        )
    return config.eos_token_id if config.stop_at_eos else None


@torch.no_grad()
def prepare_call(
    model: LLaDAForMaskedLM, inputs: dict, images: dict, options: RequestOptions, streamer: BaseStreamer | None
) -> Call:
    """The call of `generate` for a request."""
    return model._prepare_call(
        input_ids=inputs["input_ids"],
        attention_mask=inputs.get("attention_mask"),
        generation_config=options.config,
        logits_processor=None,
        stopping_criteria=None,
        streamer=streamer,
        generator=torch.Generator(model.device).manual_seed(options.seed),
        tokenizer=None,
        kwargs=dict(images),
    )


class CancellableStreamer(DirectStreamer):
    """The streamer of a request whose client may go away."""

    job: Job | None = None

    def cancel(self) -> None:
        """Ends the call at its next step."""
        super().cancel()
        if self.job is not None:
            self.job.cancel()


class AnswerStreamer(BaseStreamer):
    """Passes the answer to the streamer of the server, without EOS and what follows it."""

    def __init__(self, streamer: DirectStreamer, eos_token_id: int | list[int] | None, record: RequestRecord) -> None:
        self.streamer, self.eos_token_id, self.record = streamer, eos_token_id, record
        self.is_prompt = True

    def put(self, value: torch.LongTensor) -> None:
        if not self.is_prompt:
            self.record.note_text()
        self.streamer.put(value if self.is_prompt else until_eos(value, self.eos_token_id))
        self.is_prompt = False

    def end(self) -> None:
        self.streamer.end()


def settle(answer: asyncio.Future, job: Job) -> None:
    """Gives a finished job to the task that waits for it: the tokens of the answer, or the error."""
    if answer.done():
        return
    if job.error is not None:
        answer.set_exception(job.error)
        return
    answer.set_result(answer_of(job))


def answer_of(job: Job) -> torch.LongTensor:
    """The tokens of the answer of a finished job, `(length,)`."""
    call = job.call
    eos_token_id = call.config.eos_token_id if call.config.stop_at_eos else None
    return until_eos(job.output.sequences[0, call.prompt_length :], eos_token_id)


def call_in(loop: asyncio.AbstractEventLoop, function: Callable, *args) -> None:
    """Calls a function in the thread of an event loop, if it still runs."""
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        logger.debug("The event loop is closed, so that nobody waits for an answer.")


def until_eos(tokens: torch.LongTensor, eos_token_id: int | list[int] | None) -> torch.LongTensor:
    """The tokens before the first EOS, `(length,)`."""
    if eos_token_id is None:
        return tokens
    is_eos = torch.isin(tokens, torch.as_tensor(eos_token_id, device=tokens.device))
    return tokens[: int(is_eos.int().argmax())] if is_eos.any() else tokens
