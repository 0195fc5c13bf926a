# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada generate`: completes a text, fills its masks, writes the line before it, or answers a question about pictures."""

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from . import generate_file
from .arguments import add_model_arguments, find_checkpoint, open_with_processor
from .constraints import add_constraint_arguments, check_constraint_file, compile_constraint
from .decoding import (
    add_decoding_arguments,
    check_options,
    choose_seed,
    chosen_options,
    effective_options,
    end_tokens,
    flag_of,
    is_random,
    with_fast_default,
)
from .errors import CommandError, warn
from .images import add_image_argument, check_sees_images, open_images
from .parsing import CommandParser
from .prompts import (
    MASK,
    Prompt,
    build_prompt,
    check_arguments,
    encode_prompt,
    prompt_fields,
    warn_about_script,
    warn_about_unknown_characters,
)
from .terminal import add_animation_arguments, animation_delay, note, write_json, write_text


EXAMPLES = """examples:
  complete a poem ("moonlight before my bed"):
    llada generate "床前明月光，"
  fill masks anywhere in a text:
    llada generate --infill "床前[MASK][MASK]光，疑是地上[MASK]。"
  write the line before a line:
    llada generate "疑是地上霜。" --reverse
  commit one token in each step, as the official code does, instead of all that the model is sure of:
    llada generate "床前明月光，" --steps 64
  print JSON for a program, or draw a picture:
    llada generate "床前明月光，" --json
    llada generate "床前明月光，" --svg denoising.svg
  complete the prompts of a file, several at a time; if it is stopped, the same command goes on:
    llada generate --file prompts.jsonl --output answers.jsonl --block-length 8 --block-cache dual
  ask about pictures; PROMPT is the question of a chat then, and only the answer is written:
    llada generate "What is in the picture?" --image photo.jpg --model GSAI-ML/LLaDA-V
  ask for an answer of a given form: two lines of five characters:
    llada generate "明月几时有，" --regex "[^，。]{5}，[^，。]{5}。"
  use another checkpoint, with the settings of its authors:
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
    task.add_argument("--infill", metavar="TEXT", help=f"fill each {MASK} of a text instead of completing a prompt")
    task.add_argument("--reverse", action="store_true", help="write the line before PROMPT, as long as its first line")
    add_image_argument(task, "a picture that PROMPT asks about")
    declared = parser.add_argument_group("prompt fields")
    parser.prepare = lambda arguments: add_prompt_fields(parser, declared, arguments)
    generate_file.add_file_arguments(parser)
    add_constraint_arguments(parser)
    add_decoding_arguments(parser, without=(), is_fast=True)
    add_model_arguments(parser)
    add_output_arguments(parser)


def add_prompt_fields(parser: CommandParser, group: argparse._ArgumentGroup, arguments: Sequence[str] | None) -> None:
    """Adds an option for each prompt field of the checkpoint that the arguments name."""
    first_pass = CommandParser(prog=parser.prog, add_help=False)
    first_pass.add_argument("--model")
    try:
        known, _ = argparse.ArgumentParser.parse_known_args(first_pass, arguments)  # the others come later
        name = find_checkpoint(known.model)
        fields = prompt_fields.PromptFields.load(name, download=False)
    except CommandError:  # no checkpoint: `run` reports it
        return
    except ValueError as error:
        parser.error(str(error))
    if fields.fields:
        group.description = f"{name} declares them in its {prompt_fields.FILE_NAME}."
    for one in fields.fields:
        meanings = ", ".join(f"{each.value} ({each.gloss})" if each.gloss else each.value for each in one.choices)
        text = (
            one.help + (f": {meanings}" if meanings else "") + (f"; needs {flag_of(one.needs)}" if one.needs else "")
        )
        try:
            group.add_argument(
                flag_of(one.name),
                dest=f"field_{one.name}",
                metavar=one.name.upper(),
                choices=[each.value for each in one.choices] or None,
                help=text.replace("%", "%%"),
            )
        except argparse.ArgumentError:
            parser.error(
                f"{prompt_fields.FILE_NAME} of {name} declares `{one.name}`, which is an option of the command"
            )
    parser.set_defaults(prompt_fields=fields)
    declared = ", ".join(flag_of(one.name) for one in fields.fields) or "no prompt fields"
    parser.hint = f"The checkpoint {name} declares {declared}."


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the output."""
    group = parser.add_argument_group("output")
    add_animation_arguments(group)
    group.add_argument(
        "--json", action="store_true", help="print a JSON object for each completion, with the measurements"
    )
    group.add_argument("--svg", type=Path, metavar="FILE", help="also draw the denoising of the first completion")


def run(args: argparse.Namespace) -> None:
    """Generates as the command line asks."""
    if args.file is not None:
        generate_file.run(args)
        return
    generate_file.check_no_file(args)
    name = find_checkpoint(args.model)
    check_arguments(args)
    check_constraint_file(args)
    seed, delay = choose_seed(args), animation_delay(args)
    options = chosen_options(args)
    images = open_images(args.image)
    model, processor = open_with_processor(name, args, lambda: check_before_loading(name, args, options))
    from modeling_llada.loading import tokenizer_of

    tokenizer = tokenizer_of(processor)
    constraint = compile_constraint(args, tokenizer)
    text, length = build_prompt(args, tokenizer, model.config.mask_token_id)
    warn_about_unknown_characters(text, tokenizer, name)
    warn_about_script(args.prompt or args.infill or "", name)
    if length is not None:
        options.setdefault("max_new_tokens", length)
    options = with_fast_default(model, options)
    all_options = effective_options(model, options)
    mask_token = tokenizer.convert_ids_to_tokens(model.config.mask_token_id)
    if all_options["max_new_tokens"] == 0 and mask_token not in text:
        warn(f"there is nothing to fill: the text has no {MASK}, and `--max-new-tokens` is 0.")

    prompt = encode_prompt(text, images, model.config, processor, all_options["max_new_tokens"])
    rows = all_options["num_return_sequences"]
    delay = None if args.json else delay
    output, texts, seconds = denoise(model, tokenizer, prompt, options, seed, rows, delay, constraint)

    completions = describe(output, tokenizer, prompt, model.config.mask_token_id, seconds)
    shown_seed = seed if is_random(all_options) else None
    summaries = [summary(output, row, seconds, shown_seed) for row in range(rows)]
    if args.json:
        more = {"images": args.image} if args.image else {}
        if constraint is not None:
            more["constraint"] = constraint.pattern
        for row, completion in enumerate(completions):
            write_json({**completion, **more, "options": {"model": name, **all_options, "seed": seed + row}})
    else:
        write_texts(texts or [completion["text"] for completion in completions], summaries)
        note_waste(output)
    if args.svg:
        from modeling_llada.drawing import denoising_svg
        from modeling_llada.streaming import DenoisingRecord
        from modeling_llada.writing import write_atomically

        record = DenoisingRecord.from_output(output, prompt.inputs["input_ids"], tokenizer, model.config.mask_token_id)
        caption = f"{Path(name).name}: {summary(output, row=0)}"
        write_atomically(args.svg, denoising_svg(record, caption=caption, skip_prompt=prompt.is_chat))


def check_before_loading(name: str, args: argparse.Namespace, options: dict) -> None:
    """The checks that need the library, but not the weights."""
    check_options(options)
    if args.image:
        check_sees_images(name)


def denoise(model, tokenizer, prompt: Prompt, options: dict, seed: int, rows: int, delay: float | None, constraint):
    """
    Generates, and draws the denoising unless `delay` is `None`. The first completion has the seed `seed`, and each
    further one has the next seed. Returns the output on the CPU, the coloured texts (an empty list if nothing was
    drawn), and the seconds that the model took.
    """
    from modeling_llada.completion import typed_texts
    from modeling_llada.drawing import LiveDenoising
    from modeling_llada.seeds import row_generators

    generators = row_generators(seed, rows, model.device)
    mask_token_id = model.config.mask_token_id
    live = None
    if delay is not None:
        typed = () if prompt.is_chat else typed_texts(tokenizer, prompt.text, mask_token_id)
        shown = {"skip_prompt": prompt.is_chat, "prompt_texts": typed}
        live = LiveDenoising(tokenizer, mask_token_id, delay=delay, **shown, **end_tokens(model, options))
    start = time.perf_counter()
    with live or nullcontext():
        output = model.generate(
            **prompt.inputs,
            generator=generators,
            streamer=live,
            constraint=constraint,
            return_dict_in_generate=True,
            output_trajectory=True,
            **options,
        )
    output.sequences, output.num_forward_passes = output.sequences.cpu(), output.num_forward_passes.cpu()
    output.trajectory = tuple(tensor.cpu() for tensor in output.trajectory)
    seconds = time.perf_counter() - start - (live.seconds_waited if live else 0.0)
    return output, [live.draw_text(row) for row in range(rows)] if live else [], seconds


def describe(output, tokenizer, prompt: Prompt, mask_token_id: int, seconds: float) -> list[dict]:
    """
    The objects of `--json`. `completion` is the text that the model wrote, inside the prompt or after it, and `text` is that
    with the prompt, or the answer alone in a chat.
    """
    from modeling_llada.completion import completion_text, typed_and_written

    completions = []
    for row, tokens in enumerate(output.sequences.tolist()):
        if prompt.is_chat:
            pieces = [(completion_text(tokenizer, tokens, prompt.inputs["input_ids"].shape[1]), True)]
        else:
            pieces = typed_and_written(tokenizer, prompt.text, tokens, mask_token_id)
        completions.append(
            {
                "prompt": prompt.text,
                "completion": "".join(text for text, is_written in pieces if is_written),
                "text": "".join(text for text, _ in pieces),
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


def note_waste(output) -> None:
    """Says it if most of the forward passes were of no use."""
    # What stands behind the end of a completion was replaced with pads, which no step committed.
    useful = sum(len(steps[steps >= 0].unique()) for steps in output.trajectory[0])
    passes = int(output.num_forward_passes.sum())
    if useful < passes / 2:
        note(
            f"{passes - useful} of {passes} forward passes wrote only what stands behind the end. "
            "`--block-length 16` or a smaller `--max-new-tokens` saves most of them."
        )


def write_texts(texts: list, summaries: list[str]) -> None:
    """Writes the plain or coloured texts to stdout, and the measurements to stderr."""
    for text, measurements in zip(texts, summaries, strict=True):
        write_text(text)
        note(measurements)
