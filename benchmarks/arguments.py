# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What the benches of random weights are asked: which shape, where, and in which precision."""

import argparse

import torch

from benchmarks.shapes import config_of


def add_model_arguments(parser: argparse.ArgumentParser, shape: str, dtypes: tuple[str, ...]) -> None:
    """
    Adds the arguments.

    Args:
        parser (`argparse.ArgumentParser`):
            The parser of a bench.
        shape (`str`):
            The shape by default.
        dtypes (`tuple[str, ...]`):
            The precisions to choose from.
    """
    add = parser.add_argument
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    add(
        "--shape",
        choices=("poet", "1b", "1b-paper", "8b", "tiny"),
        default=shape,
        help="of the random weights (%(default)s)",
    )
    add("--layers", type=int, metavar="N", help="cut the shape to N layers, for a look before the whole")
    add("--device", default=default_device, help="where to run (%(default)s)")
    add("--dtype", choices=dtypes, help="of everything; bfloat16 on CUDA, else float32")
    add("--threads", type=int, help="threads of the CPU (as torch decides)")


def settle_device(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Fills in the precision, and ends the program if there is no such device."""
    args.dtype = args.dtype or ("bfloat16" if args.device.startswith("cuda") else "float32")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("`--device cuda` needs a CUDA device, and torch finds none. Pass `--device cpu`.")


def check_layers(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the program if the shape has not so many layers."""
    most = config_of(args.shape).num_hidden_layers
    if args.layers is not None and not 1 <= args.layers <= most:
        parser.error(f"`--layers` must be 1 to {most}, the layers of `--shape {args.shape}`, but got {args.layers}.")
