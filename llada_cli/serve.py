# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada serve`: a server with the API of OpenAI."""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

from .arguments import add_model_arguments, check_minimum, find_checkpoint, open_with_processor
from .decoding import add_decoding_arguments, check_options, chosen_options
from .errors import CommandError, warn
from .serve_options import (
    add_access_arguments,
    add_limit_arguments,
    check_limits,
    chosen_limits,
    is_open_to_others,
    read_keys,
)


UNREAD_SECONDS = 5  # after which a client that does not read its answer no longer keeps the server from its end


EXAMPLES = """examples:
  serve the shipped checkpoint, and send it a request ("moonlight before my bed"):
    llada serve
    curl http://127.0.0.1:8000/v1/chat/completions --json '{"messages": [{"role": "user", "content": "床前明月光，"}]}'
  send the request from Python:
    client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
    client.chat.completions.create(model="llada-poet", messages=[{"role": "user", "content": "床前明月光，"}])
  set decoding options in a request:
    client.chat.completions.create(..., extra_body={"steps": 8, "block_length": 16})
  chat in the terminal (the default of this client is 256 tokens at temperature 1):
    transformers chat llada-poet http://127.0.0.1:8000/v1 max_new_tokens=24 do_sample=False

endpoints:
  /v1/chat/completions  needs a chat template; plain and streaming
  /v1/completions       plain and streaming; fills masks in the prompt, and the gap before a suffix
  /v1/models, /v1/models/NAME
  /health               the server is alive
  /ready                its worker answers; 503 while it shuts down
  /metrics              for Prometheus

fields of a request (docs/serving.md says more):
  model                 the name of the folder, or the value of --model; may be left out
  messages              text, and with a model that sees images `image_url` parts: data URLs of at most 20 MiB, up to 16 in a
                        request; URLs of the public web with --allow-remote-images; a file of this machine never
  prompt                a text, token ids, or a list of them
  suffix, echo          of /v1/completions: the answer goes between prompt and suffix; the text begins with the prompt
  max_tokens            (or max_completion_tokens) length of the canvas; the checkpoint has a default
  temperature, top_p    0: most probable token; the checkpoint has a default, which is not 1
  seed, n               the same request with the same seed gets the same answer; choice i of a prompt is that of seed + i
  stop                  texts before which the answer ends
  logprobs              log-probability of each token at the step that committed it; with top_logprobs of others, too
  response_format       json_object or json_schema: the answer always fits; needs the extra `constraints`
  stream                each block is sent when it is finished; without block_length there is one block
  stream_options        include_usage: the usage as the last chunk; include_canvas: the canvas after each step
  steps, block_length   and all other decoding options by their names, or as an object in `generation_config`
  chat_template_kwargs  variables of the chat template; arguments of the tokenizer are refused
  refused (status 400)  penalties, logit_bias, tools, functions, audio, but for neutral values; fields that are not known
  ignored               user, metadata, store, service_tier, reasoning_effort, verbosity, prediction, ...

EOS and the padding after it are neither sent nor counted: finish_reason is "stop" if there was an EOS, else "length".
Up to --batch-size requests are answered side by side, and share forward passes where their options allow it. --host 0.0.0.0 opens the server to everyone who has a key, or to all without keys.

environment:
  LLADA_API_KEY  keys, one in a line

Each request has a line in the log (stderr). SIGTERM lets the requests at work finish; Ctrl-C ends them.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "serve",
        help="serve the API of OpenAI",
        description="Serve the API of OpenAI.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    add_model_arguments(parser)
    group = parser.add_argument_group("server")
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s: this machine only)")
    group.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to listen on (%(default)s); 0: any free port"
    )
    group.add_argument(
        "--batch-size", type=int, default=8, metavar="N", help="requests that are at work at once (%(default)s)"
    )
    group.add_argument(
        "--allow-remote-images",
        action="store_true",
        help="fetch the images of requests from http and https URLs: public addresses only, at most 20 MiB in 10 seconds",
    )
    add_access_arguments(parser)
    add_limit_arguments(parser)
    add_decoding_arguments(parser, without=("num_return_sequences", "seed"))


def run(args: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    check_minimum(args, batch_size=1)
    check_limits(args)
    keys, options = read_keys(args), chosen_options(args)
    name = find_checkpoint(args.model)

    def check() -> None:
        check_dependencies()
        check_options(options)

    with bind(args.host, args.port) as listener:  # before the weights are read
        model, processor = open_with_processor(name, args, check)
        from modeling_llada.serving import Limits, build_app

        # What a request leaves out has these values.
        model.generation_config = model._merge_generation_config(None, options)
        if processor.chat_template is None:
            warn(f"{name} has no chat template, so only `/v1/completions` works.")
        if is_open_to_others(args.host) and not keys:
            warn(f"everyone who reaches {args.host} may use the server. `--api-key-file` asks for keys.")
        names, limits = [served_name(name), name], Limits(**chosen_limits(args))
        app = build_app(
            model, processor, names, args.allow_remote_images, args.batch_size, limits, keys, args.cors_origin
        )
        serve(app, listener, names[0], args.drain_seconds)


def bind(host: str, port: int) -> socket.socket:
    """Reserves an address. Nobody can connect before the server listens on it."""
    listener = None
    try:
        if not 0 <= port < 2**16:  # a system may read a negative number as a large one
            raise OverflowError("there is no such port")
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        if listener is not None:
            listener.close()
        reason = getattr(error, "strerror", None) or error
        raise CommandError(
            f"cannot listen on `--host` {host} `--port` {port}: {reason}. A port is a number from 1 to 65535 that no "
            "other program uses; 0 takes any free port."
        ) from error
    return listener


def check_dependencies() -> None:
    """Raises a `CommandError` if the packages of the server are not installed."""
    from transformers.utils.import_utils import is_serve_available

    if not is_serve_available() or find_spec("prometheus_client") is None:
        raise CommandError(
            "`llada serve` needs fastapi, uvicorn, openai and prometheus-client: pip install -e '.[serve]'."
        )


def served_name(name: str) -> str:
    """The name of the model for clients: the name of its folder, or its Hub id."""
    folder = Path(name).expanduser()
    return folder.resolve().name if folder.is_dir() else name


def serve(app, listener: socket.socket, name: str, drain_seconds: float) -> None:
    """Runs the server, and writes its address when it answers."""
    import uvicorn
    from transformers.utils import logging as transformers_logging

    class Server(uvicorn.Server):
        signals: tuple[int, ...] = ()

        def handle_exit(self, signal_number, frame) -> None:
            self.signals += (signal_number,)
            super().handle_exit(signal_number, frame)

        async def startup(self, sockets=None) -> None:
            await super().startup(sockets=sockets)
            sys.stdout.write(describe(listener, name) + "\n")
            sys.stdout.flush()

        async def shutdown(self, sockets=None) -> None:
            if self.signals == (signal.SIGTERM,):
                await self.drain()
            app.state.shutdown()
            await super().shutdown(sockets=sockets)

        async def drain(self) -> None:
            """Lets the requests at work finish, until another signal comes. New ones are refused, so it still listens."""
            draining = asyncio.ensure_future(app.state.drain(drain_seconds))
            while not draining.done() and len(self.signals) == 1:
                await asyncio.wait([draining], timeout=0.1)
            draining.cancel()

    transformers_logging.set_verbosity_error()  # otherwise each request logs a warning
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("modeling_llada.serving").setLevel(logging.INFO)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=UNREAD_SECONDS)
    Server(config).run(sockets=[listener])


def describe(listener: socket.socket, name: str) -> str:
    """The address of the server, and an example request."""
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
    message = '{"messages": [{"role": "user", "content": "床前明月光，"}]}'
    return f"{name} answers at {url}, for instance: curl {url}/chat/completions --json '{message}' (Ctrl-C stops it)"
