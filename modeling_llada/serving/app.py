# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A server with the API of OpenAI, built on the request handlers of `transformers serve`.

The handlers read requests and write answers. This module replaces the autoregressive parts: the source of the model, the
decoding options of a request, and the tokens of a finished canvas that are the answer. It needs `transformers[serving]`.
"""

import json
import secrets
import threading
import uuid
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from transformers import BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.cli.serving.chat_completion import ChatCompletionHandler
from transformers.cli.serving.completion import CompletionHandler
from transformers.cli.serving.utils import GenerateManager, GenerationState, Modality
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging

from ..models.generation_config_llada import LLaDAGenerationConfig
from ..models.generation_inputs_llada import prepare_prompts
from ..models.modeling_llada import LLaDAForMaskedLM
from ..models.options_llada import DEFAULTS, OPTIONS, check_integer
from .images import BodyLimit, ImageReader, PreparedProcessor, check_messages, check_template_variables


logger = logging.get_logger(__name__)

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
# Options that change the output of `generate`: the server returns one text.
ONE_TEXT = {option.name: option.default for option in OPTIONS if option.shapes_output}


def build_app(
    model: LLaDAForMaskedLM,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    names: list[str],
    allow_remote_images: bool = False,
) -> FastAPI:
    """
    Builds the server as an ASGI application: `/v1/chat/completions`, `/v1/completions`, `/v1/models`, `/health`, and
    `/load_model` for `transformers chat`. It answers one request after the other, each with a call of `generate`.

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

    Returns:
        `fastapi.FastAPI`: The application. A request that cannot be answered gets the status 400 (404 for another
        model, 413 for one of more than 64 MiB, 422 for an unknown field, 500 after a failure) and `{"error": {"message": ...}}`. `app.state.shutdown()`
        ends each running call at its next step.

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
    served, state = ServedModel(model, tokenizer, names), LLaDAGenerationState()
    text_handler = LLaDATextHandler(served, state)
    images = ImageReader(tokenizer, allow_remote_images) if served.sees_images else None
    card = {"id": names[0], "object": "model", "created": 0, "owned_by": "modeling_llada"}
    app = FastAPI(title="llada serve")
    app.state.shutdown = state.shutdown
    app.add_middleware(BodyLimit)

    @app.exception_handler(ValueError)
    def invalid_request(request, error: ValueError):
        return error_response(400, str(error))

    @app.exception_handler(RequestValidationError)
    def unreadable_request(request, error: RequestValidationError):
        return error_response(400, f"The request must be a JSON object: {error.errors()[0]['msg']}.")

    @app.exception_handler(Exception)
    def failed_request(request, error: Exception):
        return error_response(500, f"The server has failed: {type(error).__name__}: {error}")

    @app.exception_handler(AnyHTTPException)
    def refused_request(request, error: AnyHTTPException):
        return error_response(error.status_code, error.detail)

    @app.post("/v1/chat/completions")
    async def chat_completions(body: dict):
        return await LLaDAChatHandler(served, state, images).handle_request(body, f"chatcmpl-{uuid.uuid4().hex}")

    @app.post("/v1/completions")
    async def completions(body: dict):
        return await text_handler.handle_request(body, f"cmpl-{uuid.uuid4().hex}")

    @app.get("/v1/models")
    def models():
        return {"object": "list", "data": [card]}

    @app.get("/health")
    def health():
        return {"status": "ok"}

    @app.post("/load_model")
    def load_model(body: dict):
        event = {"status": "ready", "model": served.check_name(body.get("model")), "cached": True}
        return StreamingResponse(iter([f"data: {json.dumps(event)}\n\n"]), media_type="text/event-stream")

    return app


def error_response(status_code: int, message: str) -> JSONResponse:
    """An error in the format of OpenAI."""
    kind = "invalid_request_error" if status_code < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind}}, status_code=status_code)


@dataclass
class ServedModel:
    """The one model, in place of the manager that loads any model of a request."""

    model: LLaDAForMaskedLM
    processor: PreTrainedTokenizerBase | ProcessorMixin
    names: list[str]

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


@dataclass
class RequestOptions:
    """The options of a request for `generate`."""

    config: LLaDAGenerationConfig
    seed: int

    @property
    def max_new_tokens(self) -> int:
        """The handlers compare it with the length of an answer: `finish_reason` is `length` or `stop`."""
        return self.config.max_new_tokens

    @classmethod
    def read(cls, body: dict, defaults: LLaDAGenerationConfig) -> "RequestOptions":
        """
        Reads the options of a request. Fields of the API override `generation_config`, which overrides the checkpoint.

        Raises:
            `ValueError`: if an option is unknown or out of range.
        """
        options = read_generation_config(body.get("generation_config"))
        for field in ("max_tokens", "max_completion_tokens"):
            if body.get(field) is not None:
                options["max_new_tokens"] = body[field]
        if body.get("temperature") is not None:
            options["temperature"] = body["temperature"]
            options.pop("do_sample", None)
        if options.get("max_new_tokens") is None:
            options["max_new_tokens"] = defaults.max_new_tokens or DEFAULTS["max_new_tokens"]
        if body.get("seed") is not None:
            check_integer("seed", body["seed"], minimum=0)
        seed = secrets.randbelow(2**31) if body.get("seed") is None else body["seed"] % 2**63
        return cls(LLaDAGenerationConfig.from_generation_config(SimpleNamespace(**options)), seed)


def read_generation_config(value: str | dict | None) -> dict:
    """Reads the field `generation_config`: an object, or its JSON text as in `transformers serve`."""
    try:
        options = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        options = value
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise ValueError(f"`generation_config` must be a JSON object of decoding options, but got {value!r}.")
    for name, only in ONE_TEXT.items():
        if options.get(name) not in (None, only):
            raise ValueError(
                f"`{name}` must be {json.dumps(only)} or left out, but got {options[name]!r}: the server returns one text."
            )
    return dict(options)


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
    """One request of `/v1/chat/completions`."""

    def __init__(self, served: ServedModel, state: "LLaDAGenerationState", images: ImageReader | None) -> None:
        super().__init__(served, state)
        self.images = images
        self.prompt: BatchFeature | None = None  # with the images

    async def handle_request(self, body: dict, request_id: str):
        """Makes a prompt with images, and then does what the handler of transformers does."""
        self._validate_request(body)
        self._resolve_model(body)
        if self.images is not None:
            variables = body.get("chat_template_kwargs") or {}
            self.prompt = await self.images.make_prompt(body["messages"], variables)
        return await super().handle_request(body, request_id)

    def _validate_request(self, body: dict) -> None:
        super()._validate_request(body)
        check_messages(body.get("messages"), sees_images=self.images is not None)
        if self.images is not None:
            check_template_variables(body.get("chat_template_kwargs"))

    def _resolve_model(self, body: dict) -> tuple:
        name, model, processor = super()._resolve_model(body)
        return name, model, processor if self.prompt is None else PreparedProcessor(processor, self.prompt)


class LLaDATextHandler(LLaDAHandlerMixin, CompletionHandler):
    """`/v1/completions`."""


class LLaDAGenerationState(GenerationState):
    """One manager for the one model, and so one thread. It has neither continuous batching nor a static cache."""

    def __init__(self):
        super().__init__()
        self._manager = LLaDAGenerateManager()

    def get_manager(self, model_id: str, use_cb: bool = False) -> "LLaDAGenerateManager":
        return self._manager

    def shutdown(self) -> None:
        """Ends the running call at its next step, and each waiting call at its first step."""
        self._manager.is_closing.set()
        super().shutdown()


class LLaDAGenerateManager(GenerateManager):
    """Checks each request before its answer begins, because a stream cannot change its status code later."""

    def __init__(self):
        super().__init__()
        self.is_closing = threading.Event()

    def generate_streaming(self, model, processor, inputs, gen_config, *args, **kwargs):
        call = Call(model, inputs, gen_config, self.is_closing)
        return super().generate_streaming(call, processor, inputs, gen_config, *args, **kwargs)

    async def generate_non_streaming(self, model, processor, inputs, gen_config, *args, **kwargs):
        call = Call(model, inputs, gen_config, self.is_closing)
        return await super().generate_non_streaming(call, processor, inputs, gen_config, *args, **kwargs)


class Call:
    """A checked call of `generate`. The manager of the server uses it as the model."""

    def __init__(
        self, model: LLaDAForMaskedLM, inputs: dict, options: RequestOptions, is_closing: threading.Event
    ) -> None:
        self.model, self.options, self.is_closing = model, options, is_closing
        self.images = {name: inputs[name] for name in model.embedded_inputs if name in inputs}
        config = model._merge_generation_config(options.config, {})
        input_ids, _ = prepare_prompts(
            inputs["input_ids"], inputs.get("attention_mask"), config, model.config, model.device
        )
        if (input_ids == config.mask_token_id).any():
            raise ValueError(
                "The prompt must not hold mask tokens, because the server returns only the text after a prompt. Fill masks "
                "with `llada generate --infill` or `model.generate`."
            )
        placeholders = [getattr(model.config, name, -1) for name in ("image_token_id", "video_token_id")]
        if not self.images and torch.isin(input_ids, torch.tensor(placeholders, device=input_ids.device)).any():
            raise ValueError(
                "The prompt must not hold the tokens `<image>` and `<video>` without an image: send it as an `image_url` part of "
                "a message to /v1/chat/completions."
            )
        self.eos_token_id = config.eos_token_id if config.stop_at_eos else None

    def generate(self, input_ids, attention_mask=None, streamer=None, **kwargs) -> torch.LongTensor:
        """The prompt and the answer, `(1, length)`, without EOS and the padding after it."""
        try:
            tokens = self.model.generate(
                input_ids=input_ids,
                attention_mask=attention_mask,
                **self.images,
                generation_config=self.options.config,
                generator=torch.Generator(self.model.device).manual_seed(self.options.seed),
                streamer=CallStreamer(streamer, self.eos_token_id, self.is_closing),
            )
        except (RuntimeError, ValueError) as error:
            if streamer is None:
                raise
            logger.error("A stream has failed.", exc_info=error)
            # The server puts the message between quotes without escaping it.
            raise RuntimeError(json.dumps(str(error))[1:-1]) from error
        prompt_length = input_ids.shape[1]
        return tokens[:, : prompt_length + len(until_eos(tokens[0, prompt_length:], self.eos_token_id))]


class CallStreamer(BaseStreamer):
    """Passes text to the streamer of the server, if there is one, and ends the call when the client has gone."""

    def __init__(self, streamer, eos_token_id: int | list[int] | None, is_closing: threading.Event):
        self.streamer, self.eos_token_id, self.is_closing = streamer, eos_token_id, is_closing
        self.is_prompt = True

    def put(self, value: torch.LongTensor) -> None:
        if self.streamer is not None:
            self.streamer.put(value if self.is_prompt else until_eos(value, self.eos_token_id))
        self.is_prompt = False

    def put_draft(self, value: torch.LongTensor) -> None:
        if self.is_closing.is_set():
            raise HTTPException(503, "The server is shutting down.")
        if self.streamer is not None:
            self.streamer.put(value.new_empty(0))  # no text, but it raises when the client has gone

    def end(self) -> None:
        if self.streamer is not None:
            self.streamer.end()


def until_eos(tokens: torch.LongTensor, eos_token_id: int | list[int] | None) -> torch.LongTensor:
    """The tokens before the first EOS, `(length,)`."""
    if eos_token_id is None:
        return tokens
    is_eos = torch.isin(tokens, torch.as_tensor(eos_token_id, device=tokens.device))
    return tokens[: int(is_eos.int().argmax())] if is_eos.any() else tokens
