# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada space`: serves the Gradio Space, or builds a folder to deploy."""

import argparse
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from .arguments import SHIPPED_CHECKPOINTS
from .errors import CommandError
from .light_import import light_import


writing = light_import("modeling_llada.writing")

CLONE = Path(__file__).resolve().parent.parent
PACKAGES = ("modeling_llada", "llada_cli")
NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
EXAMPLES = """examples:
  open the Space in a browser, on http://127.0.0.1:7860:
    llada space
  use another checkpoint, and serve it to everyone in the network:
    llada space --model GSAI-ML/LLaDA-8B-Instruct --host 0.0.0.0 --port 8080
  build a folder, try it, and upload it to the Hub:
    llada space --build my-space
    python my-space/app.py
    hf upload NAME/SPACE my-space . --repo-type space
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "space",
        help="watch the denoising in a browser, or build a Hugging Face Space",
        description="Watch the denoising in a browser: generate, chat, infill, reverse, compare, pictures and Sudoku. This needs gradio.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--build", type=Path, metavar="DIR", help="write the folder of the Space instead of serving it"
    )
    parser.add_argument("--overwrite", action="store_true", help="let --build replace a folder that it wrote earlier")
    parser.add_argument(
        "--model", metavar="PATH_OR_ID", help="first checkpoint of the page (default: $LLADA_MODEL, else llada-poet)"
    )
    parser.add_argument("--host", help="address to listen on (default: $GRADIO_SERVER_NAME, else 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, metavar="N", help="port (default: $GRADIO_SERVER_PORT, else the first free one from 7860)"
    )


def run(args: argparse.Namespace) -> None:
    """Serves the Space until it is interrupted, or builds it."""
    source = find_source()
    if args.build is not None:
        refuse_server_options(args)
        build(source, args.build, args.overwrite)
        sys.stdout.write(f"Wrote the Space to {args.build}. Try it: python {args.build / 'app.py'}\n")
        return
    if args.overwrite:
        raise CommandError("`--overwrite` needs `--build`.")
    if args.port is not None and not 0 < args.port < 2**16:
        raise CommandError(f"`--port` must be a number from 1 to 65535, but got {args.port}.")
    for package in ("gradio", "PIL"):
        if find_spec(package) is None:
            raise CommandError("`llada space` needs gradio and pillow: pip install -e '.[space]'.")
    given = {"LLADA_MODEL": args.model, "GRADIO_SERVER_NAME": args.host, "GRADIO_SERVER_PORT": args.port}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    # app.py finds `llada_space` beside itself, and so the package too, where it is not installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CLONE), os.environ.get("PYTHONPATH")]))
    # In the place of this process, so that signals reach it. Unbuffered, so that a file has its address at once.
    os.execv(sys.executable, [sys.executable, "-u", str(source / "app.py")])


def find_source() -> Path:
    """Finds the source of the Space, which only a clone of the repository has."""
    source = CLONE / "space"
    if not (source / "app.py").is_file():
        raise CommandError(
            "the source of the Space is missing: install the package from a clone of the repository, with `pip install "
            "-e .`."
        )
    return source


def refuse_server_options(args: argparse.Namespace) -> None:
    """Raises a `CommandError` for options that `--build` does not use."""
    for option in ("model", "host", "port"):
        if getattr(args, option) is not None:
            raise CommandError(
                f"`--{option}` is for serving, and `--build` serves nothing: leave it out. A deployed Space reads "
                "LLADA_MODEL from its settings."
            )


def build(source: Path, destination: Path, overwrite: bool = False) -> None:
    """Writes a self-contained folder, complete or not at all: the source, the package, and the shipped checkpoints."""
    destination = destination.expanduser().resolve()
    check_destination(destination, source, overwrite)
    with writing.complete_or_absent(destination) as folder:
        shutil.copytree(source, folder, ignore=NOT_COPIED, dirs_exist_ok=True)
        for name in (*PACKAGES, SHIPPED_CHECKPOINTS):
            shutil.copytree(CLONE / name, folder / name, ignore=NOT_COPIED)


def check_destination(destination: Path, source: Path, overwrite: bool) -> None:
    """Raises a `CommandError` if the build would delete files."""
    if destination == source or destination in source.parents or source in destination.parents:
        raise CommandError(
            f"`--build` must not overlap with the source, but got {str(destination)!r}: give another folder."
        )
    if destination.exists() and not destination.is_dir():
        raise CommandError(f"`--build` must be a folder, but {str(destination)!r} is a file: give another name.")
    if not destination.is_dir() or not any(destination.iterdir()):
        return
    if not overwrite:
        raise CommandError(
            f"`--build` must be a new folder, but {str(destination)!r} has files: give another folder, or replace this one "
            "with `--overwrite`."
        )
    if not (destination / "llada_space").is_dir() or (destination / ".git").exists():
        raise CommandError(
            f"`--overwrite` only replaces a folder that `--build` wrote and that is not a git repository, but got "
            f"{str(destination)!r}: give another folder."
        )
