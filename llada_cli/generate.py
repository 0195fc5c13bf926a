# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada generate`: completes a text, fills its masks, or writes the line before it."""

import argparse
import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from .arguments import add_model_arguments, find_checkpoint
from .decoding import (
    add_decoding_arguments,
    check_options,
    choose_seed,
    chosen_options,
    effective_options,
    is_random,
    replace_parallel_rule,
)
from .errors import warn
from .poems import FORMS
from .prompts import MASK, build_prompt, check_arguments, warn_about_unknown_characters
from .terminal import add_animation_arguments, animation_delay, quiet_libraries, spinner


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
    add_decoding_arguments(parser, without=())
    add_model_arguments(parser)
    add_output_arguments(parser)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what is shown and written."""
    group = parser.add_argument_group("output")
    add_animation_arguments(group)
    group.add_argument("--json", action="store_true", help="print a JSON object a completion, with the measurements")
    group.add_argument("--svg", type=Path, metavar="FILE", help="also draw the denoising of the first completion")


def run(args: argparse.Namespace) -> None:
    """Generates as the command line asks."""
    check_arguments(args)
    seed, delay = choose_seed(args), animation_delay(args)
    name = find_checkpoint(args.model)
    options = replace_parallel_rule(chosen_options(args))
    with spinner(f"loading {name}"):
        quiet_libraries()
        check_options(options)  # before the weights are read
        from modeling_llada.loading import load_checkpoint

        model, tokenizer = load_checkpoint(name, args.device, args.dtype)

    prompt, length = build_prompt(args, tokenizer, model.config.mask_token_id)
    warn_about_unknown_characters(prompt, tokenizer)
    if length is not None:
        options.setdefault("max_new_tokens", length)
    all_options = effective_options(model, options)
    mask_token = tokenizer.convert_ids_to_tokens(model.config.mask_token_id)
    if all_options["max_new_tokens"] == 0 and mask_token not in prompt:
        warn(f"nothing is filled: the text has no {MASK}, and none are added (`--max-new-tokens` is 0).")
    if all_options["num_return_sequences"] > 1 and not is_random(all_options):
        warn("`--num-return-sequences` repeats one completion: add `--temperature`, for instance 0.8.")

    rows = all_options["num_return_sequences"]
    output, texts, seconds = denoise(model, tokenizer, prompt, options, seed, rows, None if args.json else delay)

    completions = describe(output, tokenizer, prompt, model.config.mask_token_id, seconds)
    shown_seed = seed if is_random(all_options) else None
    summaries = [summary(output, row, seconds, shown_seed) for row in range(rows)]
    if args.json:
        write_json(completions, {"model": name, **all_options}, seed)
    else:
        write_texts(texts or [completion["text"] for completion in completions], summaries)
    if args.svg:
        from modeling_llada.drawing import denoising_svg
        from modeling_llada.streaming import DenoisingRecord
        from modeling_llada.writing import write_atomically

        record = DenoisingRecord.from_output(
            output, tokenizer(prompt, return_tensors="pt")["input_ids"], tokenizer, model.config.mask_token_id
        )
        caption = f"{Path(name).name}: {summary(output, row=0)}"
        write_atomically(args.svg, denoising_svg(record, caption=caption))


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
    from modeling_llada.drawing import LiveDenoising
    from modeling_llada.seeds import row_generators

    encoded = tokenizer(prompt, return_tensors="pt")
    generators = row_generators(seed, rows, model.device)
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
