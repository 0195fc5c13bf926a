# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Serves the API of OpenAI on several GPUs or machines, by Ray Serve: one copy of the app of `llada serve` for each GPU.

    pip install torch==2.13.0 -e ".[ray]" -c constraints.txt
    serve run examples.ray_serve:app checkpoint=GSAI-ML/LLaDA-8B-Instruct max_replicas=8
    serve run examples.ray_serve:app num_gpus=0 min_replicas=2 max_replicas=2  # llada-poet on the CPU

It answers at http://127.0.0.1:8000. `serve start --http-host 0.0.0.0 --http-port N` before it chooses another address, and `ray start`
joins machines. Arguments, as NAME=VALUE:

    checkpoint       a folder or a Hub id that every machine can read (checkpoints/llada-poet)
    num_gpus         GPUs of a replica (1); 0 for the CPU, with num_cpus=N (1)
    min_replicas     replicas that always run (1); max_replicas: those at most (1)
    batch_size       requests that a replica works at, at once (8); further replicas start when each has more than that
    max_waiting      requests that wait for a replica beside these (256); further ones get the status 503

With keys in the lines of the environment variable LLADA_API_KEY, each request needs one of them. A request goes to a replica through
`Router`. If the replica dies, the router sends a plain request to another one, up to three times, and ends a stream that has begun
with an error event.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle

from llada_cli.serve_options import KEYS_VARIABLE, lines_of


logger = logging.getLogger("ray.serve")

MAX_TRIES = 3  # of a plain request: it may be what kills the replicas
MAX_BODY_BYTES = 64 * 2**20  # the replicas may allow less
UNAVAILABLE = (BackPressureError, DeploymentUnavailableError)


class Arguments(BaseModel):
    """What `serve run` takes as NAME=VALUE."""

    checkpoint: str = "checkpoints/llada-poet"
    num_gpus: float = 1
    num_cpus: float = 1
    min_replicas: int = 1
    max_replicas: int = 1
    batch_size: int = 8
    max_waiting: int = 256


# Answers may take minutes, and a replica that has to go finishes them.
@serve.deployment(graceful_shutdown_timeout_s=600)
class Replica:
    """The app of `llada serve` with a model of its own."""

    def __init__(self, checkpoint: str, batch_size: int, api_keys: list[str]) -> None:
        from modeling_llada.loading import load_with_processor
        from modeling_llada.serving import build_app

        model, processor = load_with_processor(checkpoint)
        names = [Path(checkpoint).name, checkpoint]
        self.app = build_app(model, processor, names, batch_size=batch_size, api_keys=api_keys)

    async def check_health(self) -> None:
        """Raises an error if the worker of the app does not answer. Ray Serve asks, and then starts another replica."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            (await client.get("/ready")).raise_for_status()

    async def answer(self, scope: dict, body: bytes) -> AsyncIterator[dict]:
        """The messages of ASGI with which the app answers a request."""
        messages = asyncio.Queue()
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict:
            return pending.pop() if pending else await asyncio.Future()  # a client that leaves cancels this task

        async def run() -> None:
            try:
                await self.app(scope, receive, messages.put)
            finally:
                messages.put_nowait(None)

        task = asyncio.ensure_future(run())
        try:
            while (message := await messages.get()) is not None:
                yield message
        finally:
            task.cancel()


def picklable(scope: dict) -> dict:
    """What an app reads of a scope of ASGI."""
    names = ("type", "http_version", "method", "scheme", "path", "query_string", "headers", "client", "server")
    return {name: scope[name] for name in names} | {"root_path": ""}


async def pieces_and_error(messages: AsyncIterator[dict]) -> AsyncIterator[bytes]:
    """The pieces of a stream. If its replica dies, an error event follows."""
    try:
        async for message in messages:
            yield message.get("body", b"")
    except RayActorError as error:
        logger.warning("A replica has died in a stream: %s", error)
        event = json.dumps(error_content("The replica of this stream has died. Send the request again."))
        yield f"data: {event}\n\ndata: [DONE]\n\n".encode()


def error_content(message: str, kind: str = "server_error") -> dict:
    """An error in the format of OpenAI."""
    return {"error": {"message": message, "type": kind}}


everything = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)  # whose pages would hide those of the app


@serve.deployment(max_ongoing_requests=4096, ray_actor_options={"num_cpus": 0})  # it only waits
@serve.ingress(everything)
class Router:
    """Sends requests to replicas, and again if these die."""

    def __init__(self, replicas: DeploymentHandle) -> None:
        self.replicas = replicas.options(stream=True)

    @everything.api_route("/{path:path}", methods=["GET", "POST", "OPTIONS"])
    async def forward(self, request: Request) -> Response:
        """The answer of a replica."""
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                text = f"The request must have at most {MAX_BODY_BYTES // 2**20} MiB."
                return JSONResponse(error_content(text, "invalid_request_error"), 413)
        for _ in range(MAX_TRIES):
            try:
                return await self._answer(request, bytes(body))
            except UNAVAILABLE:
                text = "All replicas are busy. Try again later."
                return JSONResponse(error_content(text), 503, {"Retry-After": "1"})
            except RayActorError as error:
                logger.warning("A replica has died with a request, which goes to another one: %s", error)
        return JSONResponse(error_content(f"{MAX_TRIES} replicas have died with this request."), 500)

    async def _answer(self, request: Request, body: bytes) -> Response:
        """The answer of one replica: all of it, or the beginning of a stream."""
        messages = self.replicas.answer.remote(picklable(request.scope), body)
        start = await anext(messages)
        status_code, headers = start["status"], {name.decode(): value.decode() for name, value in start["headers"]}
        if headers.get("content-type", "").startswith("text/event-stream"):
            return StreamingResponse(pieces_and_error(messages), status_code, headers)
        return Response(b"".join([message.get("body", b"") async for message in messages]), status_code, headers)


def app(arguments: Arguments) -> serve.Application:
    """The application that `serve run` starts."""
    replicas = Replica.options(
        max_ongoing_requests=2 * arguments.batch_size,  # half of them wait in the replica, so that no row stays free
        max_queued_requests=arguments.max_waiting,
        autoscaling_config={
            "min_replicas": arguments.min_replicas,
            "max_replicas": arguments.max_replicas,
            "target_ongoing_requests": arguments.batch_size,
        },
        ray_actor_options={"num_gpus": arguments.num_gpus, "num_cpus": arguments.num_cpus},
    )
    api_keys = []
    if KEYS_VARIABLE in os.environ:
        api_keys = lines_of(os.environ[KEYS_VARIABLE], f"the environment variable {KEYS_VARIABLE}")
    return Router.bind(replicas.bind(arguments.checkpoint, arguments.batch_size, api_keys))
