# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a request for a chat or a completion asks for: its fields become prompts and options, each of them checked."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException
from transformers import PreTrainedTokenizerBase, ProcessorMixin

from ..constraints import Constraint
from ..loading import tokenizer_of
from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.modeling_llada import LLaDAForMaskedLM
from .images import ImageReader, check_messages, check_template_variables
from .logprobs import read_chat_logprobs, read_text_logprobs
from .manager import Answers, Choice, Manager, Watch
from .prompts import (
    Prompt,
    check_length,
    encode_gap,
    encode_prompt,
    longest_prompt,
    make_chat_prompt,
    read_prompts,
    text_of,
)
from .protocol import CHAT_FIELDS, TEXT_FIELDS, StreamOptions, check_bool, check_neutral, read_fields
from .request_options import RequestOptions
from .response_formats import compile_format
from .responses import ChatResponse, Response, TextResponse, usage_of


class ServedModel:
    """The one model of the server, and its names in requests."""

    def __init__(
        self, model: LLaDAForMaskedLM, processor: PreTrainedTokenizerBase | ProcessorMixin, names: list[str]
    ) -> None:
        self.model, self.processor, self.names = model, processor, names
        self.tokenizer = tokenizer_of(processor)
        self.mask_token_id = model.config.mask_token_id
        self.longest_prompt = longest_prompt(self.tokenizer, model.config)  # in characters
        self._compiler = ThreadPoolExecutor(max_workers=1)

    @property
    def sees_images(self) -> bool:
        """Whether the model sees images."""
        return not isinstance(self.processor, PreTrainedTokenizerBase)

    def check_name(self, name: str | None) -> str:
        """The first name of the model. Raises the status 404 if the request names another model."""
        if name is not None and name not in self.names:
            raise HTTPException(404, f"`model` must be {self.names[0]!r}, the model of this server, but got {name!r}.")
        return self.names[0]

    async def compile_format(self, response_format: Any) -> Constraint | None:
        """The constraint of a field. That may take seconds, so it has a thread of its own, and requests without one go on."""
        if response_format is None:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._compiler, compile_format, response_format, self.tokenizer)


@dataclass
class Begun:
    """The answers to a request that has begun, and what is sent of them."""

    answers: Answers
    response: Response
    stream: StreamOptions

    @property
    def usage(self) -> dict[str, int]:
        """The tokens so far."""
        return usage_of(self.answers.record.prompt_tokens, self.answers.num_written)


class Endpoint(ABC):
    """Begins the answers to requests of one kind."""

    fields: set[str]
    response: type[Response]

    def __init__(self, served: ServedModel, manager: Manager) -> None:
        self.served, self.manager = served, manager

    async def begin(self, body: dict) -> Begun:
        """
        Reads a request and begins its answers.

        Raises:
            `ValueError`: if a field is wrong.
            `HTTPException`: for another model, or if too many requests wait.
        """
        served, fields = self.served, read_fields(body, self.fields)
        name, stream = served.check_name(fields.get("model")), StreamOptions.read(fields)
        num_alternatives = self.read_logprobs(fields)
        limits = self.manager.limits
        max_n = min(limits.max_n, limits.max_waiting)
        options = RequestOptions.read(fields, served.model.generation_config, max_n)
        prompts = await self.make_prompts(fields, options)
        constraint = await served.compile_format(fields.get("response_format"))
        choices = [
            Choice(prompt, self.config_of(prompt, options), (options.seed + number) % 2**63)
            for prompt in prompts
            for number in range(options.num_choices)
        ]
        watch = Watch(stream.is_streamed, stream.include_canvas, num_alternatives)
        answers = await self.manager.begin(choices, constraint, watch)
        answers.record.prompt_tokens = sum(prompt.length - prompt.num_masks for prompt in prompts)
        return Begun(answers, self.response(name, has_logprobs=num_alternatives is not None), stream)

    @abstractmethod
    def read_logprobs(self, fields: dict) -> int | None:
        """How many alternatives the log-probabilities have; `None`: there are no log-probabilities."""

    @abstractmethod
    def make_prompts(self, fields: dict, options: RequestOptions) -> Coroutine[None, None, list[Prompt]]:
        """The prompts of a request."""

    def config_of(self, prompt: Prompt, options: RequestOptions) -> LLaDAGenerationConfig:
        """The options of `generate` for a prompt."""
        return options.config


class ChatEndpoint(Endpoint):
    """`/v1/chat/completions`."""

    fields, response = CHAT_FIELDS, ChatResponse

    def __init__(self, served: ServedModel, manager: Manager, allow_remote_images: bool = False) -> None:
        super().__init__(served, manager)
        self.images = ImageReader(served.processor, allow_remote_images) if served.sees_images else None

    def read_logprobs(self, fields: dict) -> int | None:
        return read_chat_logprobs(fields)

    async def make_prompts(self, fields: dict, options: RequestOptions) -> list[Prompt]:
        served, messages, variables = self.served, fields.get("messages"), fields.get("chat_template_kwargs")
        check_messages(messages, sees_images=served.sees_images)
        texts = [message["role"] + text_of(message["content"]) for message in messages]
        check_length("messages", texts, served.longest_prompt)
        if self.images is not None:
            check_template_variables(variables)
            inputs = await self.images.make_prompt(messages, variables or {})
        else:
            inputs = await asyncio.to_thread(make_chat_prompt, served.tokenizer, messages, variables)
        prompt = Prompt(inputs, served.mask_token_id)
        if prompt.num_masks:
            raise ValueError(
                "`messages` must not hold mask tokens, because the answer to a chat is the text behind them. Send a `prompt` with "
                "masks to /v1/completions."
            )
        return [prompt]


class TextEndpoint(Endpoint):
    """`/v1/completions`. With a `suffix` the answer is what goes between the prompt and it; masks in a prompt are filled."""

    fields, response = TEXT_FIELDS, TextResponse

    def read_logprobs(self, fields: dict) -> int | None:
        return read_text_logprobs(fields)

    async def make_prompts(self, fields: dict, options: RequestOptions) -> list[Prompt]:
        is_shown = check_bool("echo", fields.get("echo", False))
        if "best_of" in fields:
            check_neutral("best_of", fields["best_of"], tuple({1, options.num_choices}))
        prompts = read_prompts(fields.get("prompt"), self.manager.limits.max_waiting // options.num_choices)
        for prompt in prompts:
            if isinstance(prompt, str):
                check_length("prompt", [prompt], self.served.longest_prompt)
        suffix = fields.get("suffix") or None
        return await asyncio.to_thread(self._encode, prompts, suffix, is_shown, options.config.max_new_tokens)

    def _encode(
        self, prompts: list[str | list[int]], suffix: str | None, is_shown: bool, num_masks: int
    ) -> list[Prompt]:
        served = self.served
        tokenizer, mask_token_id = served.tokenizer, served.mask_token_id
        if suffix is None:
            return [encode_prompt(tokenizer, prompt, mask_token_id, is_shown) for prompt in prompts]
        limit = served.model.config.max_position_embeddings
        if is_shown or not 1 <= num_masks <= limit:
            raise ValueError(
                f"a `suffix` needs `max_tokens` from 1 to {limit}, the number of tokens before it, and no `echo`, but got "
                f"{num_masks}{' and `echo`' * is_shown}."
            )
        if isinstance(suffix, str):
            check_length("suffix", [suffix], served.longest_prompt)
        return [encode_gap(tokenizer, prompt, suffix, mask_token_id, num_masks) for prompt in prompts]

    def config_of(self, prompt: Prompt, options: RequestOptions) -> LLaDAGenerationConfig:
        if prompt.gap is None and (options.has_length or not prompt.num_masks):
            return options.config
        config = copy(
            options.config
        )  # masks in a prompt are the whole answer, unless the request says how much follows
        config.max_new_tokens = 0
        return config
