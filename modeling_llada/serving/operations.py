# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a server has beside its answers: probes, metrics, limits, keys and the way to its end."""

import asyncio
from collections.abc import Callable, Sequence

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware

from .errors import error_response
from .front import COME_BACK, Door, Front
from .keys import KeyCheck, check_keys
from .limits import BodyLimit, Limits
from .metrics import Metrics
from .worker import Worker, WorkerDied


READY_SECONDS = 10.0  # in which a worker makes a step, or the server is not ready


def add_operations(
    app: FastAPI,
    worker: Worker,
    name: str,
    limits: Limits,
    max_body_mib: int,
    api_keys: Sequence[str],
    cors_origins: Sequence[str],
    stop: Callable[[], None],
) -> None:
    """
    Adds the routes `/health`, `/ready` and `/metrics`, and the middleware, to an application. Its state gets `drain(seconds)`,
    which refuses new requests, lets those inside finish within so many seconds, and calls `stop` for the others.
    """
    check_keys(api_keys)
    metrics, door = Metrics(worker, name), Door(worker.scheduler.batch_size + limits.max_waiting)
    # The last one that is added sees a request first.
    app.add_middleware(BodyLimit, max_mib=max_body_mib)
    if api_keys:
        app.add_middleware(KeyCheck, keys=api_keys)
    app.add_middleware(Front, door=door, metrics=metrics, max_seconds=limits.max_seconds)
    if cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=cors_origins, allow_methods=["*"], allow_headers=["*"])

    @app.exception_handler(WorkerDied)
    def worker_died(request, error: WorkerDied):
        return error_response(503, str(error), COME_BACK)

    @app.get("/health")
    async def health():
        return {"status": "ok"}

    @app.get("/ready")
    async def ready():
        if door.is_closed:
            raise HTTPException(503, "The server is shutting down.")
        try:
            await asyncio.wait_for(asyncio.wrap_future(worker.ping()), READY_SECONDS)
        except TimeoutError as error:
            raise HTTPException(503, f"The worker has not answered in {READY_SECONDS:g} seconds.") from error
        except Exception as error:
            raise HTTPException(503, f"The worker does not answer: {error}") from error
        return {"status": "ready"}

    @app.get("/metrics")
    async def read_metrics():
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def drain(seconds: float) -> None:
        door.close()
        try:
            await asyncio.wait_for(door.wait_until_empty(), seconds)
        except TimeoutError:
            stop()

    app.state.drain = drain
