# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A server with the API of OpenAI: its routes, and how errors and clients that leave are answered."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from transformers import PreTrainedTokenizerBase, ProcessorMixin
from transformers.utils import logging

from ..models.modeling_llada import LLaDAForMaskedLM
from .endpoints import Begun, ChatEndpoint, Endpoint, ServedModel, TextEndpoint
from .errors import error_object, error_response, status_and_message
from .images import MAX_BODY_MIB
from .limits import MIB, Limits
from .manager import Manager
from .openapi import request_body
from .operations import add_operations
from .responses import canvas_of, event


logger = logging.get_logger(__name__)


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
    alive), `/ready` (the worker answers), `/metrics` for Prometheus, and `/load_model` for `transformers chat`. Requests are
    answered side by side, as by [`BatchedDecoder`]; one whose client leaves ends at its next step.

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
        400 (401 without a key, 404 for another model, 413 for a body that is too large, 500 after a failure, and 503 with
        `Retry-After` if too many wait, its time is over or the worker died). `app.state.drain(seconds)` is the coroutine for the
        end: it refuses new requests with 503 and lets the others finish. `app.state.shutdown()` ends each call at its next step,
        with the status 503. `app.state.scheduler` knows what is at work.

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
    served = ServedModel(model, tokenizer, names)
    manager = Manager(model, served.tokenizer, batch_size, limits)
    chats, texts = ChatEndpoint(served, manager, allow_remote_images), TextEndpoint(served, manager)
    card = {"id": names[0], "object": "model", "created": 0, "owned_by": "modeling_llada"}
    app = FastAPI(title="llada serve")
    app.state.shutdown, app.state.scheduler = manager.stop, manager.worker.scheduler
    max_body_mib = limits.max_body_mib or (
        MAX_BODY_MIB if served.sees_images else 1 + served.longest_prompt * 6 // MIB
    )
    add_operations(app, manager.worker, names[0], limits, max_body_mib, api_keys, cors_origins, stop=manager.stop)

    @app.exception_handler(RequestValidationError)
    def unreadable_request(request, error: RequestValidationError):
        content_type = request.headers.get("content-type", "")
        advice = "" if "json" in content_type else " Send it with the header `Content-Type: application/json`."
        return error_response(400, f"The request must be a JSON object: {error.errors()[0]['msg']}.{advice}")

    @app.exception_handler(ValueError)
    @app.exception_handler(AnyHTTPException)
    @app.exception_handler(Exception)
    def failed_request(request, error: Exception):
        return error_response(*status_and_message(error), getattr(error, "headers", None))

    @app.post("/v1/chat/completions", openapi_extra=request_body(chats.fields, required="messages"))
    async def chat_completions(request: Request, body: dict):
        return await unless_gone(request, respond(chats, body))

    @app.post("/v1/completions", openapi_extra=request_body(texts.fields, required="prompt"))
    async def completions(request: Request, body: dict):
        return await unless_gone(request, respond(texts, body))

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


async def respond(endpoint: Endpoint, body: dict) -> JSONResponse | StreamingResponse:
    """The answer to a request, or the stream of it, which begins when all of it is checked."""
    begun = await endpoint.begin(body)
    if begun.stream.is_streamed:
        return StreamingResponse(events_of(begun, endpoint.served), media_type="text/event-stream")
    pieces = await begun.answers.collect()
    return JSONResponse(begun.response.whole(pieces, begun.usage))


async def events_of(begun: Begun, served: ServedModel) -> AsyncIterator[str]:
    """The events of a stream. The last one is `[DONE]`."""
    response, more = begun.response, {"usage": None} if begun.stream.include_usage else {}
    try:
        async with aclosing(begun.answers.pieces()) as pieces:
            for chunk in response.first_chunks(len(begun.answers.jobs)):
                yield event(chunk | more)
            async for index, piece in pieces:
                canvas = {}
                if piece.canvas is not None:
                    canvas = {"canvas": canvas_of(piece, served.tokenizer, served.mask_token_id)}
                if canvas or piece.text or piece.tokens or piece.finish_reason:
                    yield event(response.chunk(index, piece, **canvas) | more)
        if begun.stream.include_usage:
            yield event(response.usage_chunk(begun.usage))
    except Exception as error:
        status_code, message = status_and_message(error)
        if status_code == 500:
            logger.error("A stream has failed.", exc_info=error)
        yield event(error_object(status_code, message))
    yield event("[DONE]")


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
