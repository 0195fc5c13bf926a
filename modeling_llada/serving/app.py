# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A server with the API of OpenAI, built on the request handlers of `transformers serve`.

The handlers read requests and write answers. This module replaces the source of the model and the decoding options of a request,
and `manager.py` lets a scheduler make the answers, side by side. It needs `transformers[serving]`.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from transformers import BatchEncoding, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.utils import Modality

from ..loading import tokenizer_of
from ..models.modeling_llada import LLaDAForMaskedLM
from .errors import error_response
from .images import MAX_BODY_MIB, ImageReader, PreparedProcessor, check_messages, check_template_variables
from .limits import MIB, Limits
from .manager import LLaDAGenerateManager, LLaDAGenerationState
from .operations import add_operations
from .prompts import check_length, longest_prompt, make_chat_prompt, text_of
from .request_options import RequestOptions


# Fields of OpenAI's API that would change the answer and are not supported, with their neutral values.
NEUTRAL_FIELDS = {
    "n": (1,),
    "best_of": (1,),
    "top_p": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "stop": ([], ""),
    "echo": (False,),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
}


def build_app(
    model: LLaDAForMaskedLM,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    names: list[str],
    allow_remote_images: bool = False,
    batch_size: int = 8,
    limits: Limits | None = None,
    api_keys: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
) -> FastAPI:
    """
    Builds the server as an ASGI application: `/v1/chat/completions`, `/v1/completions`, `/v1/models`, `/health` (it is
    alive), `/ready` (the worker answers), `/metrics` for Prometheus, and `/load_model` for `transformers chat`. Requests are answered side by side, as by [`BatchedDecoder`]; one whose client leaves ends
    at its next step.

    Args:
        model ([`LLaDAForMaskedLM`]):
            The model.
        tokenizer (`PreTrainedTokenizerBase` or `ProcessorMixin`):
            Its tokenizer, or its processor if it sees images. Chats need a chat template.
        names (`list[str]`):
            The names of the model in requests. Answers have the first one.
        allow_remote_images (`bool`, *optional*, defaults to `False`):
            Whether images of requests are fetched from URLs of public addresses. Images in data URLs are always read, and
            files of this machine never.
        batch_size (`int`, *optional*, defaults to 8):
            How many requests are at work at once. Others wait.
        limits ([`Limits`], *optional*):
            How many requests may wait, how large they may be, and how long they may take.
        api_keys (`Sequence[str]`, *optional*):
            Keys, one of which each request but `/health` and `/ready` needs in its header `Authorization: Bearer KEY`. By
            default none is needed.
        cors_origins (`Sequence[str]`, *optional*):
            Origins of web pages, such as `"https://example.org"`, whose scripts may read the answers; `"*"` for all. By default
            browsers let none do so.

    Returns:
        `fastapi.FastAPI`: The application. A request that cannot be answered gets `{"error": {"message": ...}}` and the status
        400 (401 without a key, 404 for another model, 413 for a body that is too large, 422 for an unknown field, 500 after a
        failure, and 503 with `Retry-After` if too many wait, its time is over or the worker died). `app.state.drain(seconds)` is
        the coroutine for the end: it refuses new requests with 503 and lets the others finish. `app.state.shutdown()` ends each
        call at its next step, with the status 503. `app.state.scheduler` knows what is at work.

    Raises:
        `ValueError`: if a key cannot be sent in a header.

    Example:

    ```python
    >>> import uvicorn
    >>> from transformers import AutoModel, AutoTokenizer
    >>> from modeling_llada.serving import build_app

    >>> folder = "checkpoints/llada-poet"
    >>> app = build_app(AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), ["llada-poet"])
    >>> uvicorn.run(app)  # doctest: +SKIP
    ```
    """
    limits = limits or Limits()
    manager = LLaDAGenerateManager(model, batch_size, limits)
    served, state = ServedModel(model, tokenizer, names), LLaDAGenerationState(manager)
    text_handler = LLaDATextHandler(served, state)
    images = ImageReader(tokenizer, allow_remote_images) if served.sees_images else None
    card = {"id": names[0], "object": "model", "created": 0, "owned_by": "modeling_llada"}
    app = FastAPI(title="llada serve")
    app.state.shutdown, app.state.scheduler = state.shutdown, manager.worker.scheduler
    max_body_mib = limits.max_body_mib or (
        MAX_BODY_MIB if served.sees_images else 1 + served.longest_prompt * 6 // MIB
    )
    add_operations(app, manager.worker, names[0], limits, max_body_mib, api_keys, cors_origins, stop=state.shutdown)

    @app.exception_handler(ValueError)
    def invalid_request(request, error: ValueError):
        return error_response(400, str(error))

    @app.exception_handler(RequestValidationError)
    def unreadable_request(request, error: RequestValidationError):
        content_type = request.headers.get("content-type", "")
        advice = "" if "json" in content_type else " Send it with the header `Content-Type: application/json`."
        return error_response(400, f"The request must be a JSON object: {error.errors()[0]['msg']}.{advice}")

    @app.exception_handler(Exception)
    def failed_request(request, error: Exception):
        return error_response(500, f"The server has failed: {type(error).__name__}: {error}")

    @app.exception_handler(AnyHTTPException)
    def refused_request(request, error: AnyHTTPException):
        return error_response(error.status_code, error.detail, error.headers)

    async def respond(request: Request, handler: "LLaDAHandlerMixin", body: dict, request_id: str):
        answer = await unless_gone(request, handler.handle_request(body, request_id))
        if isinstance(answer, StreamingResponse):
            answer.body_iterator = with_last(answer.body_iterator)
        return answer

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request, body: dict):
        handler = LLaDAChatHandler(served, state, images)
        return await respond(request, handler, body, f"chatcmpl-{uuid.uuid4().hex}")

    @app.post("/v1/completions")
    async def completions(request: Request, body: dict):
        return await respond(request, text_handler, body, f"cmpl-{uuid.uuid4().hex}")

    @app.get("/v1/models")
    def models():
        return {"object": "list", "data": [card]}

    @app.get("/v1/models/{name:path}")
    def model_card(name: str):
        served.check_name(name)
        return card

    @app.post("/load_model")
    def load_model(body: dict):
        event = {"status": "ready", "model": served.check_name(body.get("model")), "cached": True}
        return StreamingResponse(iter([f"data: {json.dumps(event)}\n\n"]), media_type="text/event-stream")

    return app


async def unless_gone(request: Request, answer: Coroutine) -> Any:
    """The answer of a handler. It is cancelled if the client goes away before it is there."""

    async def leaving() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks = answering, watching = asyncio.ensure_future(answer), asyncio.ensure_future(leaving())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise HTTPException(499, "The client has gone.")
        return answering.result()
    finally:
        for task in tasks:
            task.cancel()


async def with_last(events: AsyncIterator[str]) -> AsyncIterator[str]:
    """The events of a stream, and the last one of OpenAI's."""
    async with aclosing(events):
        async for event in events:
            yield event
    yield "data: [DONE]\n\n"


@dataclass
class ServedModel:
    """The one model, in place of the manager that loads any model of a request."""

    model: LLaDAForMaskedLM
    processor: PreTrainedTokenizerBase | ProcessorMixin
    names: list[str]

    def __post_init__(self) -> None:
        self.longest_prompt = longest_prompt(tokenizer_of(self.processor), self.model.config)  # in characters

    @property
    def sees_images(self) -> bool:
        """Whether the model sees images."""
        return not isinstance(self.processor, PreTrainedTokenizerBase)

    def get_model_modality(self, model=None, processor=None) -> Modality:
        """What the handlers ask for."""
        return Modality.VLM if self.sees_images else Modality.LLM

    def check_name(self, name: str | None) -> str:
        """The first name of the model. Raises the status 404 if the request names another model."""
        if name is not None and name not in self.names:
            raise HTTPException(404, f"`model` must be {self.names[0]!r}, the model of this server, but got {name!r}.")
        return self.names[0]


class LLaDAHandlerMixin:
    """The common part of the handlers of chats and of texts."""

    def _validate_request(self, body: dict) -> None:
        super()._validate_request(body)
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                "The request must be valid Unicode, but it has a single surrogate (\\ud800 to \\udfff)."
            ) from error
        if not isinstance(body.get("stream"), bool | None):
            raise ValueError(f"`stream` must be true or false, but got {body['stream']!r}.")
        for name, neutral in NEUTRAL_FIELDS.items():
            if body.get(name) is not None and body[name] not in neutral:
                rule = (
                    f"must be {' or '.join(map(json.dumps, neutral))} or left out" if neutral else "must be left out"
                )
                raise ValueError(f"`{name}` {rule}, but got {body[name]!r}: this server does not support it.")

    def _resolve_model(self, body: dict) -> tuple[str, LLaDAForMaskedLM, PreTrainedTokenizerBase | ProcessorMixin]:
        served = self.model_manager
        return served.check_name(body.get("model")), served.model, served.processor

    def _build_generation_config(self, body: dict, model_generation_config, use_cb: bool = False) -> RequestOptions:
        return RequestOptions.read(body, model_generation_config)


class LLaDAChatHandler(LLaDAHandlerMixin, ChatCompletionHandler):
    """One request of `/v1/chat/completions`. It makes the prompt, in the place of the handler of transformers."""

    def __init__(self, served: ServedModel, state: "LLaDAGenerationState", images: ImageReader | None) -> None:
        super().__init__(served, state)
        self.images = images
        self.prompt: BatchEncoding | BatchFeature | None = None

    async def handle_request(self, body: dict, request_id: str):
        """Makes the prompt, and then does what the handler of transformers does."""
        self._validate_request(body)
        self._resolve_model(body)
        messages, variables = body["messages"], body.pop("chat_template_kwargs", None)
        if self.images is not None:
            self.prompt = await self.images.make_prompt(messages, variables or {})
        else:
            self.prompt = make_chat_prompt(self.model_manager.processor, messages, variables)
        return await super().handle_request(body, request_id)

    def _validate_request(self, body: dict) -> None:
        super()._validate_request(body)
        check_messages(body.get("messages"), sees_images=self.images is not None)
        texts = [message["role"] + text_of(message["content"]) for message in body["messages"]]
        check_length("messages", texts, self.model_manager.longest_prompt)
        if self.images is not None:
            check_template_variables(body.get("chat_template_kwargs"))

    def _resolve_model(self, body: dict) -> tuple:
        name, model, processor = super()._resolve_model(body)
        return name, model, processor if self.prompt is None else PreparedProcessor(processor, self.prompt)


class LLaDATextHandler(LLaDAHandlerMixin, CompletionHandler):
    """`/v1/completions`."""

    def _validate_request(self, body: dict) -> None:
        super()._validate_request(body)
        if isinstance(body.get("prompt"), str):
            check_length("prompt", [body["prompt"]], self.model_manager.longest_prompt)
