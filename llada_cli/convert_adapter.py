# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada convert-adapter`: renames a LoRA adapter of the official modules for this package, or the other way round."""

import argparse
import sys
from pathlib import Path

from .errors import warn
from .terminal import quiet_libraries


DESCRIPTION = """Rename a LoRA adapter that was trained on the official LLaDA code, so that PEFT loads it here.

The official modules have other names (`blocks.0.attn_out` is `layers.0.self_attn.o_proj` here), and PEFT loads weights by
name: without the conversion it loads nothing or only a part, and only warns. SOURCE is not changed.
"""
EXAMPLES = """examples:
  convert an adapter, and list the modules that it adapts:
    llada convert-adapter official-adapter adapter
  replace an earlier conversion:
    llada convert-adapter official-adapter adapter --overwrite
  convert in the other direction, for a program with the official modules:
    llada convert-adapter adapter official-adapter --to official

then, in Python:
    model = PeftModel.from_pretrained(AutoModel.from_pretrained("GSAI-ML/LLaDA-8B-Instruct"), "adapter")
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "convert-adapter",
        help="rename a LoRA adapter of the official modules, so that PEFT loads it here",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="folder with adapter_config.json and adapter_model.safetensors"
    )
    parser.add_argument("destination", type=Path, metavar="DESTINATION", help="folder to write")
    parser.add_argument(
        "--to",
        choices=["canonical", "official"],
        default="canonical",
        help="write the names of this package, or the official ones (%(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an adapter in DESTINATION")


def run(args: argparse.Namespace) -> None:
    """Converts as the command line asks, and reports the result."""
    quiet_libraries()
    from modeling_llada.adapters import convert_adapter

    report = convert_adapter(args.source, args.destination, to=args.to, overwrite=args.overwrite)
    for warning in report.warnings:
        warn(f"{warning}.")
    sys.stdout.write(f"{report}\nwritten to {args.destination}\n")
