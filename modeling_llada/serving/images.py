# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The images of a chat request: `image_url` parts, read before anything else sees them.

A request names no file of this machine: a part is a data URL, or, where the server allows it, a URL of the public web.
"""

import asyncio
import base64
import math
import reprlib
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from ..models.image_reading_llada_v import MAX_PIXELS, read_image
from .fetching import fetch


MAX_IMAGES = 16  # in one request
MAX_IMAGE_BYTES = 20 * 2**20
MAX_BODY_BYTES = 64 * 2**20
FETCH_SECONDS = 10.0
# Variables of the chat template that a request may set. All other names would be options of the processor.
TEMPLATE_VARIABLES = ("system_prompt",)


@dataclass(frozen=True)
class ImageReader:
    """
    Reads the images of the messages of a request.

    Args:
        allow_remote (`bool`, *optional*, defaults to `False`):
            Whether images are fetched from `http://` and `https://` URLs of public addresses.
    """

    allow_remote: bool = False

    async def read(self, messages: list[dict]) -> list[dict]:
        """
        Messages for the processor: each image is read.

        Raises:
            `ValueError`: if there are too many images, or one cannot be read or is not allowed. It names the field.
        """
        num_images = sum(is_image(part) for message in messages for part in parts_of(message))
        if num_images > MAX_IMAGES:
            raise ValueError(f"`messages` must have at most {MAX_IMAGES} images, but got {num_images}.")
        read, num_pixels = [], 0
        for number, message in enumerate(messages):
            parts = []
            for place, part in enumerate(parts_of(message)):
                parts.append(await self._read_part(f"`messages[{number}].content[{place}].image_url`", part))
                num_pixels += math.prod(parts[-1]["image"].size) if is_image(part) else 0
                if num_pixels > MAX_PIXELS:  # all of them are in the memory at once
                    raise ValueError(
                        f"the images of `messages` must have at most {MAX_PIXELS:,} pixels. Scale them down."
                    )
            is_text = isinstance(message["content"], str)
            read.append({"role": message["role"], "content": message["content"] if is_text else parts})
        return read

    async def _read_part(self, name: str, part: dict) -> dict:
        if not is_image(part):
            return {"type": "text", "text": part["text"]}
        url = await self._data_url(name, url_of(name, part["image_url"]))
        try:
            # In another thread, since decoding takes a while and the server has other requests.
            image = await asyncio.to_thread(read_image, url, allow_paths=False, allow_urls=False)
        except ValueError as error:
            raise ValueError(str(error).replace("`images`", name)) from error
        return {"type": "image", "image": image}

    async def _data_url(self, name: str, url: str) -> str:
        """A data URL of at most the allowed size, in which the file of a remote one is."""
        if url.startswith("data:"):
            if len(url) > MAX_IMAGE_BYTES * 4 / 3 + 1000:
                raise ValueError(f"{name} must have at most {MAX_IMAGE_BYTES // 2**20} MiB. Scale the image down.")
            return url
        shown = reprlib.repr(url)
        if not url.lower().startswith(("http://", "https://")):
            raise ValueError(
                f"{name} must be a data URL, as 'data:image/png;base64,...', but got {shown}. A server reads no files: send "
                "the content of the file."
            )
        if not self.allow_remote:
            raise ValueError(
                f"{name} must be a data URL, as 'data:image/png;base64,...', but got {shown}. This server fetches no images; "
                "`llada serve --allow-remote-images` does."
            )
        try:
            data = await fetch(url, MAX_IMAGE_BYTES, FETCH_SECONDS)
        except ValueError as error:
            raise ValueError(f"{name} {shown} cannot be fetched: {error}. Send a data URL.") from error
        return "data:image/unknown;base64," + base64.b64encode(data).decode()


def check_messages(messages: Any, sees_images: bool) -> None:
    """Raises a `ValueError` that names what is no message of text, or of text and images."""
    if not isinstance(messages, list) or not all(is_message(message) for message in messages):
        raise ValueError(
            f"`messages` must be a list of objects with a `role` and with text{' and images' * sees_images} as their "
            f"`content`, but got {reprlib.repr(messages)}."
        )
    for number, message in enumerate(messages):
        for place, part in enumerate(parts_of(message)):
            if is_image(part) and not sees_images:
                raise ValueError(
                    f"`messages[{number}].content[{place}]` is an image, but the model of this server reads text alone."
                )


def check_template_variables(values: Any) -> None:
    """Raises a `ValueError` for the field `chat_template_kwargs` if it would reach more than the chat template."""
    if values is None:
        return
    if not isinstance(values, dict) or not set(values) <= set(TEMPLATE_VARIABLES):
        allowed = " and ".join(f"`{name}`" for name in TEMPLATE_VARIABLES)
        raise ValueError(
            f"`chat_template_kwargs` may only have {allowed} with this model, but got {reprlib.repr(values)}."
        )
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"`chat_template_kwargs.{name}` must be a text, but got {reprlib.repr(value)}.")


def is_message(message: Any) -> bool:
    """Whether a message consists of a role, text and images."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str) or message.get("tool_calls"):
        return False
    content = message.get("content")
    if not isinstance(content, list):
        return isinstance(content, str)
    return all(isinstance(part, dict) and (isinstance(part.get("text"), str) or is_image(part)) for part in content)


def is_image(part: dict) -> bool:
    """Whether a part of a message is an image."""
    return part.get("type") == "image_url" and isinstance(part.get("image_url"), str | dict)


def parts_of(message: dict) -> list[dict]:
    """The parts of a message; none of a plain text."""
    return message["content"] if isinstance(message["content"], list) else []


def url_of(name: str, value: str | dict) -> str:
    """The URL of an image: an object with `url`, or the URL itself, as some clients send it."""
    if isinstance(value, dict):
        if value.get("detail") not in (None, "auto"):
            raise ValueError(
                f"{name[:-1]}.detail` must be 'auto' or left out, but got {value['detail']!r}: the model has one resolution for "
                "an image, and a smaller one for several."
            )
        value = value.get("url")
    if not isinstance(value, str):
        raise ValueError(f"{name} must have a `url` that is a text, but got {reprlib.repr(value)}.")
    return value


class BodyLimit:
    """ASGI middleware that refuses a larger body of a request, with the status 413, before it fills the memory."""

    def __init__(self, app, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope, receive, send) -> None:
        num_bytes = 0

        async def receive_some():
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self.max_bytes:
                raise HTTPException(413, f"The request must have at most {self.max_bytes // 2**20} MiB.")
            return message

        await self.app(scope, receive_some if scope["type"] == "http" else receive, send)
