# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada generate`: completes a text, fills its masks, or writes the line before it."""

import argparse
import json
import secrets
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from .checkpoints import add_model_arguments, find_checkpoint, load_checkpoint, quiet_libraries
from .errors import warn
from .poems import FORMS
from .prompts import MASK, build_prompt, check_arguments, warn_about_unknown_characters


REMASKING = ("low_confidence", "random", "margin", "entropy")
DECODING_OPTIONS = (
    "max_new_tokens",
    "steps",
    "block_length",
    "temperature",
    "cfg_scale",
    "remasking",
    "confidence_threshold",
    "confidence_factor",
    "entropy_bound",
    "logits_eos_inf",
    "confidence_eos_eot_inf",
    "stop_at_eos",
    "num_return_sequences",
)
EXAMPLES = """examples:
  complete a poem:
    llada generate "床前明月光，"
  fill masks, wherever they are:
    llada generate --infill "床前[MASK][MASK]光，疑是地上[MASK]。"
  write the line before:
    llada generate "疑是地上霜。" --reverse
  a new poem of a form, with a title:
    llada generate --form 五言绝句 --title 春夜 --temperature 1 --block-length 6 --seed 7
  fewer forward passes, by committing every token the model is sure of:
    llada generate --form 七言绝句 --title 春夜 --confidence-threshold 0.9
  for a program, and as a picture:
    llada generate "床前明月光，" --json
    llada generate "床前明月光，" --svg denoising.svg
  another checkpoint, with the settings of its authors:
    llada generate "Paris is" --model GSAI-ML/LLaDA-8B-Base --max-new-tokens 64 --steps 64 --block-length 32
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "generate",
        help="complete a text, fill its masks, or write the line before it",
        description="Complete a text, fill its masks, or write the line before it, by denoising.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="the text to complete")
    task = parser.add_argument_group("task")
    task.add_argument("--infill", metavar="TEXT", help=f"fill the {MASK} of a text instead of completing a prompt")
    task.add_argument("--reverse", action="store_true", help="write the line before PROMPT, as long as its first line")
    task.add_argument("--form", choices=FORMS, metavar="FORM", help=f"form of the poem: {' '.join(FORMS)}")
    task.add_argument("--title", help="title of the poem")
    task.add_argument("--author", help="poet in whose manner to write; needs --title")
    add_decoding_arguments(parser)
    add_model_arguments(parser)
    add_output_arguments(parser)


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `LLaDAGenerationConfig`, under its names."""
    group = parser.add_argument_group(
        "decoding", "What is left out comes from the checkpoint's generation_config.json, and then from the library."
    )
    group.add_argument("--max-new-tokens", type=int, metavar="N", help="masks to append: the length of the completion")
    group.add_argument("--steps", type=int, metavar="N", help="denoising steps of the whole call (one a token)")
    group.add_argument("--block-length", type=int, metavar="N", help="decode in blocks, left to right (one block)")
    group.add_argument("--temperature", type=float, metavar="T", help="of Gumbel-max sampling; 0: most probable token")
    group.add_argument("--cfg-scale", type=float, metavar="W", help="scale of the classifier-free guidance")
    group.add_argument("--remasking", choices=REMASKING, help="which predictions stay masked (low_confidence)")
    group.add_argument(
        "--confidence-threshold",
        type=float,
        metavar="P",
        help="parallel: commit all tokens of at least this probability",
    )
    group.add_argument(
        "--confidence-factor", type=float, metavar="F", help="parallel: commit n while (n + 1)(1 - confidence) <= F"
    )
    group.add_argument(
        "--entropy-bound", type=float, metavar="H", help="parallel: commit tokens of this joint entropy"
    )
    switch = {"action": argparse.BooleanOptionalAction}
    group.add_argument("--logits-eos-inf", **switch, help="never propose EOS")
    group.add_argument("--confidence-eos-eot-inf", **switch, help="commit EOS and EoT last")
    group.add_argument("--stop-at-eos", **switch, help="end at the block that holds the first EOS (on)")
    group.add_argument("--num-return-sequences", type=int, metavar="N", help="completions of the prompt")
    group.add_argument("--seed", type=int, metavar="N", help="of the sampling, to get the same again (random)")


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what is shown and written."""
    group = parser.add_argument_group("output")
    group.add_argument("--no-animation", action="store_true", help="only print the text, as into a pipe or a file")
    group.add_argument(
        "--delay",
        type=float,
        default=0.12,
        metavar="S",
        help="shortest time between drawn steps (%(default)s seconds)",
    )
    group.add_argument("--json", action="store_true", help="print a JSON object a completion, with the measurements")
    group.add_argument("--svg", type=Path, metavar="FILE", help="also draw the denoising of the first completion")


def run(args: argparse.Namespace) -> None:
    """Generates as the command line asks."""
    check_arguments(args)
    name = find_checkpoint(args.model)
    options = {option: getattr(args, option) for option in DECODING_OPTIONS if getattr(args, option) is not None}
    with spinner(f"loading {name}"):
        quiet_libraries()
        check_options(options)  # before the weights are read
        model, tokenizer = load_checkpoint(name, args.device, args.dtype)

    prompt, length = build_prompt(args, tokenizer, model.config.mask_token_id)
    warn_about_unknown_characters(prompt, tokenizer)
    if length is not None:
        options.setdefault("max_new_tokens", length)
    all_options = effective_options(model, options)
    is_random = all_options["temperature"] > 0 or all_options["remasking"] == "random"
    if all_options["num_return_sequences"] > 1 and not is_random:
        warn("`--num-return-sequences` repeats one completion: add `--temperature`, for instance 0.8.")

    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    rows = all_options["num_return_sequences"]
    animated = sys.stdout.isatty() and not (args.json or args.no_animation)
    output, texts, seconds = denoise(model, tokenizer, prompt, options, seed, rows, args.delay if animated else None)

    completions = describe(output, tokenizer, prompt, model.config.mask_token_id, seconds)
    summaries = [summary(output, row, seconds, seed if is_random else None) for row in range(rows)]
    if args.json:
        write_json(completions, {"model": name, **all_options}, seed)
    else:
        write_texts(texts or [completion["text"] for completion in completions], summaries)
    if args.svg:
        save_picture(args.svg, output, tokenizer, caption=f"{Path(name).name}: {summary(output, row=0)}")


def spinner(message: str) -> AbstractContextManager:
    """Shows that something is going on, where somebody can see it."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(message) if console.is_terminal else nullcontext()


def check_options(options: dict) -> None:
    """Lets the library judge the decoding options."""
    from modeling_llada import LLaDAGenerationConfig

    LLaDAGenerationConfig(**options)


def effective_options(model, options: dict) -> dict:
    """The decoding options, with what the checkpoint and the library say about those that are left out."""
    from modeling_llada.generation_config_llada import DEFAULTS

    own = {name: getattr(model.generation_config, name, None) for name in DECODING_OPTIONS}
    own = {name: value for name, value in own.items() if value is not None}
    return dict.fromkeys(DECODING_OPTIONS) | {"temperature": 0.0} | pick(DEFAULTS) | own | options


def pick(options: dict) -> dict:
    """Those that are options of the command."""
    return {name: value for name, value in options.items() if name in DECODING_OPTIONS}


def denoise(model, tokenizer, prompt: str, options: dict, seed: int, rows: int, delay: float | None):
    """Generates, and draws it unless `delay` is `None`.

    Args:
        model ([`LLaDAForMaskedLM`]):
            The model.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        prompt (`str`):
            The text, with mask tokens where it is to be filled.
        options (`dict`):
            Decoding options.
        seed (`int`):
            The seed of the first completion; the others count on from it.
        rows (`int`):
            The number of completions.
        delay (`float`, *optional*):
            The shortest time between two drawn steps. `None`: nothing is drawn.

    Returns:
        `tuple`: The [`LLaDAGenerationOutput`] on the CPU, the coloured texts if it was drawn (else an empty list), and
        the seconds that the model took.
    """
    import torch

    from modeling_llada.drawing import LiveDenoising

    encoded = tokenizer(prompt, return_tensors="pt")
    generators = [torch.Generator(model.device).manual_seed(seed + row) for row in range(rows)]
    live = None if delay is None else LiveDenoising(tokenizer, model.config.mask_token_id, delay=delay)
    start = time.perf_counter()
    with live or nullcontext():
        output = model.generate(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            generator=generators,
            streamer=live,
            return_dict_in_generate=True,
            output_trajectory=True,
            **options,
        )
    output.sequences, output.num_forward_passes = output.sequences.cpu(), output.num_forward_passes.cpu()
    output.trajectory = tuple(tensor.cpu() for tensor in output.trajectory)
    seconds = time.perf_counter() - start - (live.seconds_waited if live else 0.0)
    return output, [live.draw_text(row) for row in range(rows)] if live else [], seconds


def describe(output, tokenizer, prompt: str, mask_token_id: int, seconds: float) -> list[dict]:
    """What `--json` says about each completion. `completion` is what the model wrote, wherever it stands."""
    given = tokenizer(prompt, return_tensors="pt")["input_ids"][0]
    has_masks = bool((given == mask_token_id).any())
    completions = []
    for row, tokens in enumerate(output.sequences):
        filled = tokens[: len(given)][given == mask_token_id]
        filled = tokenizer.decode(filled, skip_special_tokens=True)
        answer = tokenizer.decode(tokens[len(given) :], skip_special_tokens=True)
        # The prompt as it was typed, unless it has changed: decoding would drop unknown characters.
        start = tokenizer.decode(tokens[: len(given)], skip_special_tokens=True) if has_masks else prompt
        completions.append(
            {
                "prompt": prompt,
                "completion": filled + answer,
                "text": start + answer,
                "num_forward_passes": output.num_forward_passes[row].item(),
                "tokens_per_forward": round(output.tokens_per_forward[row].item(), 4),
                "seconds": round(seconds, 4),
            }
        )
    return completions


def summary(output, row: int, seconds: float | None = None, seed: int | None = None) -> str:
    """The measurements of a completion in one line."""
    tokens = int((output.trajectory[0][row] >= 0).sum())
    passes = output.num_forward_passes[row].item()
    parts = [
        f"{tokens} tokens",
        f"{passes} forward passes",
        f"{output.tokens_per_forward[row].item():.2f} tokens per forward pass",
    ]
    if seconds is not None:
        parts.append(f"{seconds:.2f} s")
    if seed is not None:
        parts.append(f"seed {seed + row}")
    return " · ".join(parts)


def write_json(completions: list[dict], options: dict, seed: int) -> None:
    """Writes one JSON object a line."""
    for row, completion in enumerate(completions):
        line = {**completion, "options": {**options, "seed": seed + row}}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_texts(texts: list, summaries: list[str]) -> None:
    """Writes the texts, plain or coloured, to stdout, and the measurements to stderr."""
    from rich.console import Console

    for text, measurements in zip(texts, summaries, strict=True):
        if isinstance(text, str):
            sys.stdout.write(text + "\n")
        else:
            Console().print(text, soft_wrap=True)
        sys.stdout.flush()
        Console(stderr=True, highlight=False).print(measurements, style="dim", soft_wrap=True)


def save_picture(path: Path, output, tokenizer, caption: str) -> None:
    """Draws the first completion."""
    from modeling_llada.drawing import denoising_svg, write_atomically

    steps, confidence = output.trajectory
    write_atomically(path, denoising_svg(output.sequences[0], steps[0], confidence[0], tokenizer, caption))
