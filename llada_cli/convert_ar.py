# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada convert-ar`: makes a mask predictor of an autoregressive checkpoint, to train on from."""

import argparse

from .export import quiet_library, report


DESCRIPTION = """Make a LLaDA of an autoregressive checkpoint: the same weights without the causal mask, with a mask token.

Llama, Mistral without sliding window, Qwen2 and Qwen3 can be converted. The tokenizer and its chat template are kept. The model
has to be trained before it writes anything: it was made to predict the next token, and not the masked one.
"""
EXAMPLES = """examples:
  convert a checkpoint of the Hub, with a new mask token:
    llada convert-ar HuggingFaceTB/SmolLM2-135M-Instruct smollm2-llada
  a special token that the model does not use becomes the mask token, so that the embedding keeps its size:
    llada convert-ar HuggingFaceTB/SmolLM2-135M-Instruct smollm2-llada --mask-token "<repo_name>"

The whole model is in memory once: 16 GB for an 8B model in bfloat16.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "convert-ar",
        help="make a LLaDA of an autoregressive checkpoint, to train on from",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument("source", metavar="SOURCE", help="autoregressive checkpoint: a folder or a Hub id")
    parser.add_argument("destination", metavar="DESTINATION", help="folder to write")
    parser.add_argument(
        "--mask-token",
        metavar="TOKEN",
        help="special token that the model does not use (default: that of the tokenizer, its first reserved one, or a new one)",
    )
    parser.add_argument("--mask-token-id", type=int, metavar="ID", help="the same by its id")
    parser.add_argument(
        "--dtype",
        choices=["auto", "bfloat16", "float16", "float32"],
        default="auto",
        help="auto: that of the weights (%(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DESTINATION when the new folder is complete")


def run(args: argparse.Namespace) -> None:
    """Converts as the command line asks, and reports the result."""
    with quiet_library():
        from modeling_llada.conversion import convert_autoregressive

        converted = convert_autoregressive(
            args.source,
            args.destination,
            mask_token=args.mask_token,
            mask_token_id=args.mask_token_id,
            dtype=args.dtype,
            overwrite=args.overwrite,
        )
    report(converted)
