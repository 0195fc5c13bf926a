# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a server takes on: how many requests, how large, and for how long."""

import asyncio
from dataclasses import dataclass, fields

from starlette.exceptions import HTTPException

from ..models.call_llada import Call
from ..models.options_llada import check_integer, check_number


MIB = 2**20
BODY_SECONDS = 60.0  # for the whole body of a request


@dataclass(frozen=True)
class Limits:
    """
    The limits of a server. A request beyond one of them is refused before it takes a forward pass.

    Args:
        max_waiting (`int`, *optional*, defaults to 256):
            Requests that wait for a row. Further ones get the status 503 and `Retry-After`.
        max_body_mib (`int`, *optional*):
            MiB of the body of a request. A larger one gets the status 413. By default 64 for a model that sees images, else what
            the longest prompt may take.
        max_prompt_tokens (`int`, *optional*):
            Tokens of a prompt. By default the checkpoint alone limits prompt and answer together.
        max_answer_tokens (`int`, *optional*):
            Masks behind the prompt, which is what `max_tokens` asks for.
        max_steps (`int`, *optional*):
            Denoising steps that the schedule of an answer may take.
        max_seconds (`float`, *optional*, defaults to 600):
            Seconds from the arrival of a request to the end of its answer. After them it gets the status 503, and its row is
            free.
        max_n (`int`, *optional*, defaults to 16):
            Answers to one prompt.

    Raises:
        `ValueError`: if a limit is not a positive number.

    Example:

    ```python
    >>> from modeling_llada.serving import Limits

    >>> Limits(max_answer_tokens=512, max_seconds=60).max_waiting
    256
    ```
    """

    max_waiting: int = 256
    max_body_mib: int | None = None
    max_prompt_tokens: int | None = None
    max_answer_tokens: int | None = None
    max_steps: int | None = None
    max_seconds: float = 600.0
    max_n: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "max_seconds":
                check_number(field.name, value, minimum=0.001)
            elif value is not None or field.default is not None:
                check_integer(field.name, value, minimum=1)

    def check_lengths(self, num_prompt_tokens: int, max_new_tokens: int) -> None:
        """Raises a `ValueError` for a prompt or an answer that is too long."""
        check_size("The tokens of the prompt", num_prompt_tokens, self.max_prompt_tokens, "Shorten it.")
        check_size("`max_tokens`", max_new_tokens, self.max_answer_tokens, "Ask for fewer.")

    def check_steps(self, call: Call) -> None:
        """Raises a `ValueError` for a call whose schedule is too long."""
        if self.max_steps is not None:
            num_steps = sum(block.max_steps for block in call.plan())
            check_size("`steps`", num_steps, self.max_steps, "By default there is one for each token.")


def check_size(name: str, size: int, limit: int | None, advice: str) -> None:
    """Raises a `ValueError` for what is larger than a limit."""
    if limit is not None and size > limit:
        raise ValueError(f"{name} must be at most {limit} on this server, but got {size}. {advice}")


class BodyLimit:
    """ASGI middleware that refuses a body before it fills the memory (status 413), or if it does not come (408)."""

    def __init__(self, app, max_mib: int) -> None:
        self.app, self.max_mib = app, max_mib

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        num_bytes, deadline = 0, asyncio.get_running_loop().time() + BODY_SECONDS

        async def receive_some():
            nonlocal num_bytes, deadline
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, f"The request must come within {BODY_SECONDS:g} seconds.") from error
            num_bytes += len(message.get("body", b""))
            if num_bytes > self.max_mib * MIB:
                raise HTTPException(413, f"The request must have at most {self.max_mib} MiB.")
            if not message.get("more_body"):
                deadline = None  # what comes now is that the client goes away
            return message

        await self.app(scope, receive_some, send)
