# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The arguments and the file of results that all benches with random weights share."""

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.shapes import config_of
from reporting.results import command_of, describe_machine, find_versions, save


DENSE_SHAPES = {"choices": ("poet", "1b", "1b-paper", "8b", "tiny")}


def add_model_arguments(
    parser: argparse.ArgumentParser, shape: str | list[str], dtypes: tuple[str, ...], **shapes
) -> None:
    """
    Adds the arguments for the model, the device and the file, with a default shape and the choices of the precision. `shapes` are
    the options of the argument for other models than dense ones.
    """
    add = parser.add_argument
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    add("--shape", default=shape, help="shape of the random weights (%(default)s)", **shapes or DENSE_SHAPES)
    add("--layers", type=int, metavar="N", help="only the first N layers of the shape, for a quick look")
    add("--device", default=default_device, help="where to run (%(default)s)")
    add("--dtype", choices=dtypes, help="precision of everything (bfloat16 on CUDA, else float32)")
    add("--threads", type=int, help="threads of the CPU (torch decides)")
    add("--json", type=Path, metavar="FILE", help="where to write the numbers")


def settle_device(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Fills in the precision, and exits if there is no such device."""
    args.dtype = args.dtype or ("bfloat16" if args.device.startswith("cuda") else "float32")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("`--device cuda` needs a CUDA device, and torch finds none. Pass `--device cpu`.")


def check_layers(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exits if the shape has fewer layers."""
    for shape in [args.shape] if isinstance(args.shape, str) else args.shape:
        most = config_of(shape).num_hidden_layers
        if args.layers is not None and not 1 <= args.layers <= most:
            parser.error(f"`--layers` must be 1 to {most}, the layers of `--shape {shape}`, but got {args.layers}.")


def start_report(name: str, args: argparse.Namespace, arguments: list[str] | None, *packages: str, **values) -> dict:
    """The report of a bench before its first run."""
    return {
        "benchmark": name,
        "command": command_of(f"benchmarks.{name}", sys.argv[1:] if arguments is None else arguments),
        "machine": describe_machine(args.device),
        "versions": find_versions(*packages),
        "arguments": {key: value for key, value in vars(args).items() if not isinstance(value, Path)},
        **values,
        "rows": [],
    }


def save_report(report: dict, path: Path | None) -> None:
    if path is not None:
        save(path, report)


def shown(values: dict, column: str, form: str) -> str:
    """A measured value, of several the median; empty if there is none."""
    value = values.get(column)
    return "" if value is None else format(value["median"] if isinstance(value, dict) else value, form)


def progress(text: str) -> None:
    """Prints a line for the person who waits."""
    Console(stderr=True).print(text, highlight=False)
