# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The door of a server: which requests come in, how long they may stay, and what is written down when they go."""

import asyncio
import json
import logging
import time
from contextlib import suppress

from .errors import error_object, error_response
from .metrics import Metrics
from .request_record import RequestRecord, current_record


logger = logging.getLogger(__name__)

PROBES = ("/health", "/ready", "/metrics")  # which come every few seconds: they have no line in the log
COME_BACK = {"Retry-After": "1"}


class Door:
    """
    Counts the requests for answers that are inside, so that they cannot fill the memory, and lets the last ones finish.

    Args:
        max_inside (`int`):
            How many there may be at once.
    """

    def __init__(self, max_inside: int) -> None:
        self.max_inside, self.num_inside = max_inside, 0
        self.is_closed = False

    def refusal(self) -> str | None:
        """Why a request cannot come in now."""
        if self.is_closed:
            return "The server is shutting down."
        if self.num_inside >= self.max_inside:
            return f"{self.num_inside} requests are at work or are waiting. Try again later."
        return None

    def close(self) -> None:
        """Refuses further requests."""
        self.is_closed = True

    async def wait_until_empty(self) -> None:
        """Waits until the requests inside are finished."""
        while self.num_inside:
            await asyncio.sleep(0.05)


class Front:
    """ASGI middleware: a request for an answer passes the door, has its time, and is noted when it ends."""

    def __init__(self, app, door: Door, metrics: Metrics, max_seconds: float) -> None:
        self.app, self.door, self.metrics, self.max_seconds = app, door, metrics, max_seconds

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        record = RequestRecord.of(scope)
        is_stream = False

        async def receive_noting():
            message = await receive()
            record.has_left |= message["type"] == "http.disconnect" and not record.is_complete
            return message

        async def send_noting(message):
            nonlocal is_stream
            if message["type"] == "http.response.start":
                record.status = message["status"]
                is_stream = any(value.startswith(b"text/event-stream") for _, value in message["headers"])
            record.is_complete |= message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        token = current_record.set(record)
        try:
            if scope["method"] != "POST" or not scope["path"].startswith("/v1/"):
                await self.app(scope, receive_noting, send_noting)
            elif refusal := self.door.refusal():
                await error_response(503, refusal, COME_BACK)(scope, receive, send_noting)
            elif await self._is_late(scope, receive_noting, send_noting):
                await self._end_late(record, is_stream, scope, receive, send_noting)
        finally:
            current_record.reset(token)
            self._note(record, scope)

    async def _is_late(self, scope, receive, send) -> bool:
        """Lets a request in, and ends it when its time is over."""
        self.door.num_inside += 1
        try:
            async with asyncio.timeout(self.max_seconds) as timeout:
                await self.app(scope, receive, send)
        except TimeoutError:
            if not timeout.expired():
                raise
        finally:
            self.door.num_inside -= 1
        return timeout.expired()

    async def _end_late(self, record: RequestRecord, is_stream: bool, scope, receive, send) -> None:
        """Answers a request whose time is over, also in the middle of a stream."""
        record.note_error()
        text = f"The request took longer than the {self.max_seconds:g} seconds that it may take."
        if record.status is None:
            await error_response(503, text, COME_BACK)(scope, receive, send)
        elif is_stream and not record.is_complete:
            event = json.dumps(error_object(503, text))
            last = send({"type": "http.response.body", "body": f"data: {event}\n\ndata: [DONE]\n\n".encode()})
            with suppress(TimeoutError):  # a client that reads nothing may be why it is late
                await asyncio.wait_for(last, timeout=1)

    def _note(self, record: RequestRecord, scope: dict) -> None:
        seconds = time.perf_counter() - record.arrived
        self.metrics.observe(record, getattr(scope.get("route"), "path", "none"), seconds)
        if record.path not in PROBES:
            logger.info(record.line(seconds))
