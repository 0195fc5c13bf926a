# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The images of a chat request: `image_url` parts, read before anything else sees them.

A request names no file of this machine: a part is a data URL, or, where the server allows it, a URL of the public web.
"""

import asyncio
import base64
import math
import reprlib
import time
from collections.abc import Iterator
from typing import Any

from transformers import BatchFeature, ProcessorMixin

from ..conversation import check_placeholders
from ..models.image_reading_llada_v import MAX_PIXELS, read_image
from .fetching import fetch


MAX_IMAGES = 16  # in one request
MAX_IMAGE_BYTES = 20 * 2**20
MAX_BODY_MIB = 64
FETCH_SECONDS = 10.0  # for all images of a request
# Variables of the chat template that a request may set. All other names would be options of the processor.
TEMPLATE_VARIABLES = ("system_prompt",)


class ImageReader:
    """
    Makes the prompts of requests with images.

    Args:
        processor (`ProcessorMixin`):
            The processor of the model.
        allow_remote (`bool`, *optional*, defaults to `False`):
            Whether images are fetched from `http://` and `https://` URLs of public addresses.
    """

    def __init__(self, processor: ProcessorMixin, allow_remote: bool = False) -> None:
        self.processor, self.allow_remote = processor, allow_remote
        self._one_at_a_time = asyncio.Lock()  # so many pixels are in the memory at most

    async def make_prompt(self, messages: list[dict], variables: dict[str, str]) -> BatchFeature:
        """
        The inputs of the model for the answer to messages. A photo takes a second, so another thread makes them, and the
        server answers others meanwhile.

        Args:
            messages (`list[dict]`):
                The messages, as `check_messages` wants them.
            variables (`dict[str, str]`):
                Those of the chat template.

        Raises:
            `ValueError`: if there are too many images, one cannot be read or is not allowed, or a text would stand for one.
                It names the field.
        """
        num_images = sum(is_image(part) for message in messages for part in parts_of(message))
        if num_images > MAX_IMAGES:
            raise ValueError(f"`messages` must have at most {MAX_IMAGES} images, but got {num_images}.")
        self._check_texts(messages, variables)
        urls = await self._collect(messages)
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._make_prompt, messages, urls, variables)

    def _check_texts(self, messages: list[dict], variables: dict[str, str]) -> None:
        for number, message in enumerate(messages):
            content = message["content"]
            texts = [content] if isinstance(content, str) else [part["text"] for part in content if is_text(part)]
            check_placeholders(f"`messages[{number}]`", "".join([message["role"], *texts]), self.processor)
        for name, text in variables.items():
            check_placeholders(f"`chat_template_kwargs.{name}`", text, self.processor)

    async def _collect(self, messages: list[dict]) -> dict[str, str]:
        """A data URL for the name of each image. All fetches of a request share its time."""
        urls, deadline = {}, time.monotonic() + FETCH_SECONDS
        for name, part in named_parts(messages):
            if is_image(part):
                urls[name] = await self._data_url(f"`{name}.image_url`", part["image_url"], deadline)
        return urls

    async def _data_url(self, name: str, value: str | dict, deadline: float) -> str:
        """A data URL of at most the allowed size, in which the file of a remote one is."""
        url = url_of(name, value)
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
            data = await fetch(url, MAX_IMAGE_BYTES, deadline - time.monotonic())
        except ValueError as error:
            raise ValueError(f"{name} {shown} cannot be fetched: {error}. Send a data URL.") from error
        return "data:image/unknown;base64," + base64.b64encode(data).decode()

    def _make_prompt(self, messages: list[dict], urls: dict[str, str], variables: dict[str, str]) -> BatchFeature:
        num_pixels, read = 0, {}
        for name, url in urls.items():
            try:
                read[name] = read_image(url, allow_paths=False, allow_urls=False)
            except ValueError as error:
                raise ValueError(str(error).replace("`images`", f"`{name}.image_url`")) from error
            num_pixels += math.prod(read[name].size)
            if num_pixels > MAX_PIXELS:
                raise ValueError(f"the images of `messages` must have at most {MAX_PIXELS:,} pixels. Scale them down.")
        # Nothing else of a part goes on: the processor would open files that its other fields name.
        parts = {
            name: {"type": "image", "image": read[name]} if name in read else {"type": "text", "text": part["text"]}
            for name, part in named_parts(messages)
        }
        chat = []
        for number, message in enumerate(messages):
            content = message["content"]
            if isinstance(content, list):
                content = [parts[name_of(number, place)] for place in range(len(content))]
            chat.append({"role": message["role"], "content": content})
        return self.processor.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", **variables
        )


def named_parts(messages: list[dict]) -> Iterator[tuple[str, dict]]:
    """The parts of all messages, with the names of their fields."""
    for number, message in enumerate(messages):
        for place, part in enumerate(parts_of(message)):
            yield name_of(number, place), part


def name_of(number: int, place: int) -> str:
    """The name of the field of a part."""
    return f"messages[{number}].content[{place}]"


def check_messages(messages: Any, sees_images: bool) -> None:
    """Raises a `ValueError` that names what is no message of text, or of text and images."""
    if not isinstance(messages, list) or not messages or not all(is_message(message) for message in messages):
        raise ValueError(
            f"`messages` must be a list of one or more objects with a `role` and with text{' and images' * sees_images} as their "
            f"`content`, but got {reprlib.repr(messages)}."
        )
    for name, part in named_parts(messages):
        if is_image(part) and not sees_images:
            raise ValueError(f"`{name}` is an image, but the model of this server reads text alone.")


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
    return all(isinstance(part, dict) and (is_text(part) or is_image(part)) for part in content)


def is_text(part: dict) -> bool:
    """Whether a part of a message is text."""
    return part.get("type") == "text" and isinstance(part.get("text"), str)


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
