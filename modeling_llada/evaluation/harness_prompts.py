# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The prompts of lm-evaluation-harness: tokens, and images of a model that sees them.

A task of the harness writes `<image>` into its text wherever an image is, and `doc_to_image` gives the images, which are the
third argument of a request: `{"visual": [...]}`.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from lm_eval.api.instance import Instance

from ..models.denoising_llada import end_tokens
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.image_reading_llada_v import read_image
from ..models.images_llada_v import num_anyres_tiles
from ..models.processing_llada_v import LLaDAVProcessor


@dataclass(frozen=True)
class Prompt:
    """
    A prompt: its tokens, in which an image is one token, the images, and for each of them what tells it from others. The marks
    go into the seed of the noise, so they may never change.
    """

    tokens: list[int]
    images: list = field(default_factory=list)
    marks: tuple[str, ...] = ()

    @property
    def key(self) -> tuple:
        """Equal for equal prompts."""
        return tuple(self.tokens), self.marks

    def crop(self, room: int) -> "Prompt":
        """The prompt without the start of a text that is too long. Images are never cut, so the model refuses those."""
        return self if self.images else Prompt(self.tokens[max(0, len(self.tokens) - room) :])


@dataclass(frozen=True)
class Completion:
    """A prompt to complete: the generator of its noise, the options of `generate`, their whole config, and what ends the answer."""

    prompt: Prompt
    generator: torch.Generator
    options: dict
    config: LLaDAGenerationConfig
    strings: list[str]

    @property
    def end_token_ids(self) -> list[int]:
        """The tokens that end the answer."""
        return end_tokens(self.config, "cpu").tolist() if self.config.stop_at_eos else []

    @property
    def can_join(self) -> bool:
        """Whether it can share forward passes with prompts that began earlier. Others share them only from beginning to end."""
        return not self.prompt.images and self.config.draft_steps is None and self.config.is_final


def make_prompt(tokens: list[int], images: list, processor: LLaDAVProcessor | None, task: str | None) -> Prompt:
    """
    Joins the tokens of a request with its images. Where it has none, an `<image>` in its text is text.

    Raises:
        `ValueError`: if the model does not see images, if they are not as many as the text says, or if one cannot be read.
    """
    if processor is None:
        if images:
            raise ValueError(f"{task} has images, but the model has no processor for them. Take a LLaDA-V checkpoint.")
        return Prompt(tokens)
    tokens = spell_out(tokens, processor, processor.video_token_id)
    if not images:
        return Prompt(spell_out(tokens, processor, processor.image_token_id))
    count = tokens.count(processor.image_token_id)
    if count != len(images):
        raise ValueError(
            f"{task} has a prompt with {count} `{processor.image_token}` and {len(images)} images. The harness gives examples in "
            "a prompt no images, so set `num_fewshot` to 0 if there are any; else correct `doc_to_text` or `doc_to_image`."
        )
    return Prompt(tokens, images, tuple(map(mark_of, images)))


def spell_out(tokens: list[int], processor: LLaDAVProcessor, token_id: int) -> list[int]:
    """The tokens with that of images or videos as the text that it is, where no image is meant."""
    if token_id not in tokens:
        return tokens
    tokenizer = processor.tokenizer
    text = tokenizer.convert_ids_to_tokens(token_id)
    letters = tokenizer(text, split_special_tokens=True, add_special_tokens=False)["input_ids"]
    return [one for token in tokens for one in (letters if token == token_id else [token])]


def images_of(request: Instance) -> list:
    """The images of a request. A task gives one, a list, or none."""
    more = {key: value for argument in request.args if isinstance(argument, dict) for key, value in argument.items()}
    if more.get("audio"):
        raise ValueError(f"{request.task_name} has sounds, which the model does not hear. Leave the task out.")
    images = more.get("visual")
    images = list(images) if isinstance(images, (list, tuple)) else [images]
    return [image for image in images if image is not None]


def mark_of(image) -> str:
    """A digest of the pixels of an image."""
    picture = read_image(image)
    return hashlib.sha256(repr(picture.size).encode() + picture.tobytes()).hexdigest()


def estimate_length(prompt: Prompt, processor: LLaDAVProcessor | None) -> int:
    """About how many positions a prompt takes, from the sizes of its images alone."""
    if not prompt.images:
        return len(prompt.tokens)
    tiles = len(prompt.images)
    if tiles == 1 and hasattr(prompt.images[0], "height"):
        image, tile_size = prompt.images[0], processor.image_processor.size["height"]
        pinpoints = processor.image_processor.image_grid_pinpoints
        tiles = num_anyres_tiles((image.height, image.width), pinpoints, tile_size)
    return len(prompt.tokens) + tiles * (processor.image_processor.size["height"] // processor.patch_size) ** 2


def add_to_question(messages: list[dict[str, str]], suffix: str) -> list[dict[str, str]]:
    """The messages with some text at the end of the last question."""
    last = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=None)
    return [
        message | {"content": message["content"].rstrip() + suffix} if index == last else message
        for index, message in enumerate(messages)
    ]


def with_image_parts(messages: list[dict], image_token: str) -> list[dict]:
    """Messages in which each `<image>` of a text is a part of its own, which the chat template separates from the text."""
    return [
        message | {"content": split_text(message["content"], image_token)}
        if image_token in message["content"]
        else message
        for message in messages
    ]


def split_text(text: str, image_token: str) -> list[dict[str, str]]:
    """The parts of a text with images."""
    first, *others = text.split(image_token)
    parts = [{"type": "text", "text": first}] if first else []
    for other in others:
        parts += [{"type": "image"}] + ([{"type": "text", "text": other}] if other else [])
    return parts


def batches(items: list, size: int, length: Callable[[object], int]) -> Iterator[list]:
    """Batches of similar length. The longest come first, so that a lack of memory shows at once."""
    items = sorted(items, key=length, reverse=True)
    for start in range(0, len(items), size):
        yield items[start : start + size]
