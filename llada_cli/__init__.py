# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The `llada` command.

It is a package beside `modeling_llada`, whose import takes seconds, so that `llada --help` and a mistyped option are answered
at once. Each subcommand is one module with `add_parser`, which only needs argparse, and `run`, which may import torch.
"""

import os
import sys
from collections.abc import Sequence

from . import bench_rule, chat, convert_adapter, convert_ar, eval, export, generate, score, serve, space, tokenize
from .arguments import own_version
from .errors import CommandError
from .light_import import light_import
from .parsing import CommandParser
from .terminal import accept_all_letters


pipes = light_import("modeling_llada.pipes")


EXAMPLES = """examples:
  complete a poem ("moonlight before my bed"), and watch how it is denoised:
    llada generate "床前明月光，"
  write the line before a line ("it looks like frost on the ground"):
    llada generate "疑是地上霜。" --reverse
  list all options of a command:
    llada generate --help

environment:
  LLADA_MODEL    the checkpoint when --model is not given: a folder or a Hub id
  LLADA_DEBUG=1  shows the traceback of an error
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit code: 0, or 2 after an error of the user, or 130 after Ctrl-C."""
    accept_all_letters()
    try:
        with pipes.quiet_when_closed():
            args = build_parser().parse_args(arguments)
            args.run(args)
    except KeyboardInterrupt:
        return 130
    except (CommandError, ValueError, OSError) as error:
        if os.environ.get("LLADA_DEBUG") == "1":
            raise
        sys.stderr.write(f"llada: error: {error}\n")
        return 2
    return 0


def build_parser() -> CommandParser:
    """Builds the parser of the command with all subcommands."""
    parser = CommandParser(
        prog="llada", description="LLaDA: a language model that writes by denoising.", epilog=EXAMPLES
    )
    parser.add_argument("--version", action="version", version=f"llada {own_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    bench_rule.add_parser(commands)
    chat.add_parser(commands)
    convert_adapter.add_parser(commands)
    convert_ar.add_parser(commands)
    eval.add_parser(commands)
    export.add_parser(commands)
    generate.add_parser(commands)
    score.add_parser(commands)
    serve.add_parser(commands)
    space.add_parser(commands)
    tokenize.add_parser(commands)
    return parser
