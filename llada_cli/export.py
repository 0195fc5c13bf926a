# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada export`: writes a checkpoint as a complete folder for the Hub, and uploads it."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import CommandError
from .terminal import quiet_libraries


EXAMPLES = """examples:
  the official weights with code for transformers 5, which loads it with trust_remote_code=True:
    llada export GSAI-ML/LLaDA-8B-Instruct llada-8b-instruct
  your own model, with a model card, on the Hub:
    llada export runs/poet/final my-poet --tokenizer checkpoints/llada-poet --license apache-2.0 \\
        --push-to-hub my-name/my-poet --private
  an adapter, merged into the checkpoint that it was trained on:
    llada export runs/sft/adapter my-chat
  the official layout, for the official code and for programs that read it (llama.cpp, dInfer):
    llada export runs/sft/final my-llada --layout official --dtype bfloat16

A weight that is missing, unexpected or of another shape than config.json says is an error, and nothing is written. The
whole model is read into memory: 16 GB for an 8B model in bfloat16.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "export",
        help="write a checkpoint as a complete folder for the Hub",
        description="Write a checkpoint as a complete folder for the Hub: config, weights, code, tokenizer, model card.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "source", metavar="SOURCE", help="checkpoint in any layout, or PEFT adapter: a folder or a Hub id"
    )
    parser.add_argument("destination", metavar="DESTINATION", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace DESTINATION when the new folder is complete")
    weights = parser.add_argument_group("weights")
    weights.add_argument(
        "--layout",
        choices=["transformers", "official"],
        default="transformers",
        help="transformers: with the code of the model; official: like the official checkpoints (%(default)s)",
    )
    weights.add_argument(
        "--dtype",
        choices=["auto", "bfloat16", "float16", "float32"],
        default="auto",
        help="auto: that of the weights (%(default)s)",
    )
    weights.add_argument(
        "--max-shard-size", default="5GB", metavar="SIZE", help="largest file of weights (%(default)s)"
    )
    beside = parser.add_argument_group(
        "tokenizer and model card", "A model card, and generation marks in a chat template, are kept."
    )
    beside.add_argument("--tokenizer", metavar="PATH_OR_ID", help="checkpoint with the tokenizer (SOURCE)")
    beside.add_argument("--no-tokenizer", action="store_true", help="write no tokenizer")
    beside.add_argument("--license", metavar="NAME", help="licence in the model card, for instance mit")
    beside.add_argument("--base-model", metavar="ID", help="Hub id of the base model, for the model card")
    hub = parser.add_argument_group("upload")
    hub.add_argument("--push-to-hub", metavar="REPO_ID", help="upload the folder to this model repository")
    hub.add_argument("--private", action="store_true", help="make a new repository private")
    hub.add_argument("--commit-message", metavar="TEXT", help="message of the commit")


def run(args: argparse.Namespace) -> None:
    """Exports as the command line asks, and uploads the folder if asked to."""
    check_arguments(args)
    with quiet_library():
        from modeling_llada.export import export_checkpoint

        exported = export_checkpoint(
            args.source,
            args.destination,
            layout=args.layout,
            dtype=args.dtype,
            max_shard_size=args.max_shard_size,
            tokenizer=args.tokenizer,
            include_tokenizer=not args.no_tokenizer,
            license=args.license,
            base_model=args.base_model,
            name=args.push_to_hub,
            overwrite=args.overwrite,
        )
    report(exported)
    if args.push_to_hub:
        sys.stdout.flush()
        sys.stdout.write(f"uploaded to {push(args, exported.folder)}\n")


def report(exported) -> None:
    """Says what the new folder holds."""
    lines = [
        f"{exported.folder}: {exported.num_parameters:,} parameters in {exported.dtype}, {size(exported.num_bytes)}",
        *(f"  {note}" for note in exported.notes),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def check_arguments(args: argparse.Namespace) -> None:
    """Raises a `CommandError` for options that exclude each other, or for an upload that cannot work."""
    if args.tokenizer and args.no_tokenizer:
        raise CommandError("`--tokenizer` and `--no-tokenizer` exclude each other: give one of them.")
    for option in ("private", "commit_message"):
        if getattr(args, option) and not args.push_to_hub:
            raise CommandError(f"`--{option.replace('_', '-')}` needs `--push-to-hub REPO_ID`.")
    if not args.push_to_hub:
        return
    import huggingface_hub

    huggingface_hub.utils.validate_repo_id(args.push_to_hub)
    if huggingface_hub.get_token() is None:
        raise CommandError("`--push-to-hub` needs an account: log in with `hf auth login`, or set HF_TOKEN.")


@contextmanager
def quiet_library() -> Iterator[None]:
    """Silences the library except for its progress bars in a terminal: the errors of the export name what it reports."""
    quiet_libraries()
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    if sys.stderr.isatty():
        logging.enable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.disable_progress_bar()


def push(args: argparse.Namespace, folder) -> str:
    """Uploads the folder."""
    from modeling_llada.export import push_folder

    options = {"commit_message": args.commit_message} if args.commit_message else {}
    try:
        return push_folder(folder, args.push_to_hub, private=args.private or None, **options)
    except Exception as error:  # network, account or quota: the folder stays
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise CommandError(
            f"the folder is complete, but the upload failed: {reason}. Try again with `hf upload {args.push_to_hub} "
            f"{folder}`."
        ) from error


def size(num_bytes: int) -> str:
    """A readable number of bytes."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"
