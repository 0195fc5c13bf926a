# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The flags of `llada serve` for those who run a server: who may send requests, and how large these may be."""

import argparse
import os
from ipaddress import ip_address
from pathlib import Path

from .arguments import check_minimum
from .decoding import flag_of
from .errors import CommandError


KEYS_VARIABLE = "LLADA_API_KEY"
# The fields of `Limits`, with what they limit. Without a flag they have their defaults there.
LIMITS = {
    "max_waiting": "requests that wait for a row; further ones get the status 503 with Retry-After (256)",
    "max_body_mib": "MiB of a request (64 for a model that sees images, else what the longest prompt may take)",
    "max_prompt_tokens": "tokens of a prompt (prompt and answer together fit into the model)",
    "max_answer_tokens": "the largest `max_tokens` (prompt and answer together fit into the model)",
    "max_steps": "denoising steps of an answer (one for each token)",
    "max_seconds": "seconds of a request in all; then it gets the status 503, and its row is free (600)",
    "max_n": "answers to a prompt (16)",
}


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of keys and origins."""
    group = parser.add_argument_group(
        "access", "By default everyone who reaches the server may use it, and that is this machine alone."
    )
    group.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="a key, which each request but /health and /ready needs in the header `Authorization: Bearer KEY`; may be given "
        "several times. Other users of the machine see it in the list of processes: prefer a file or the environment",
    )
    group.add_argument("--api-key-file", type=Path, metavar="FILE", help="a file with a key in each line")
    group.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let the scripts of web pages from https://HOST read answers, or from everywhere with '*'; may be given several times "
        "(default: browsers let none)",
    )


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the fields of `Limits`."""
    group = parser.add_argument_group("limits")
    for name, text in LIMITS.items():
        kind, metavar = (float, "SECONDS") if name == "max_seconds" else (int, "N")
        group.add_argument(flag_of(name), type=kind, metavar=metavar, help=text)
    group.add_argument(
        "--drain-seconds",
        type=float,
        default=25.0,
        metavar="SECONDS",
        help="time for the requests at work after SIGTERM; then they get the status 503 (%(default)g)",
    )


def check_limits(args: argparse.Namespace) -> None:
    """Raises a `CommandError` for a limit that is none."""
    minimums = dict.fromkeys(LIMITS, 1) | {"max_seconds": 0.001, "drain_seconds": 0}
    check_minimum(args, **minimums)


def chosen_limits(args: argparse.Namespace) -> dict:
    """The limits that the command line gives."""
    return {name: value for name in LIMITS if (value := getattr(args, name)) is not None}


def read_keys(args: argparse.Namespace) -> list[str]:
    """The keys of the command line, of the file and of the environment, together. A source without a key is an error."""
    keys = list(args.api_key)
    if args.api_key_file is not None:
        keys += lines_of(args.api_key_file.read_text(encoding="utf-8"), f"`--api-key-file` {args.api_key_file}")
    if KEYS_VARIABLE in os.environ:
        keys += lines_of(os.environ[KEYS_VARIABLE], f"the environment variable {KEYS_VARIABLE}")
    return keys


def lines_of(text: str, source: str) -> list[str]:
    """The keys in a text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise CommandError(f"{source} must have a key in each line, but has none. Write one, or leave it out.")
    return lines


def is_open_to_others(host: str) -> bool:
    """Whether other machines can reach a server that listens on an address."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
