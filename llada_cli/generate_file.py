# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada generate --file`: completes the prompts of a JSONL file, several at a time."""

import argparse
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from .arguments import check_minimum, check_output_file, check_seed, find_checkpoint, open_with_processor
from .constraints import check_constraint_file, compile_constraint
from .decoding import OPTIONS, TABLE, check_options, chosen_options, effective_options, with_fast_default
from .errors import CommandError
from .prompts import MASK, encode_prompt, prompt_fields
from .terminal import open_stdin, with_progress, write_json, write_text


ROW_OPTIONS = {option.name for option in OPTIONS if not option.shapes_output}
FIELDS = {"prompt", "seed", "id"} | ROW_OPTIONS


class Row(NamedTuple):
    """A line of the file."""

    name: str  # for errors
    text: str
    options: dict
    seed: int
    id: dict  # the field, if there is one


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command that are for files of prompts."""
    group = parser.add_argument_group("files of prompts")
    group.add_argument(
        "--file",
        metavar="FILE",
        help='complete the prompts of a file, or of stdin (-): a line is a JSON object with "prompt", perhaps with an "id", a '
        '"seed" and decoding options by their names; the output has a line for each, in the same order',
    )
    group.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="with --file: write the lines to a file; if it has some of them, go on behind these (default: stdout)",
    )
    group.add_argument(
        "--batch-size", type=int, metavar="N", help="with --file: how many prompts are at work at once (default: 8)"
    )


def check_no_file(args: argparse.Namespace) -> None:
    """Refuses options that are only for files of prompts."""
    for option, value in (("--output", args.output), ("--batch-size", args.batch_size)):
        if value is not None:
            raise CommandError(f"`{option}` is for `--file`: leave it out.")


def run(args: argparse.Namespace) -> None:
    """Completes the prompts of a file as the command line asks."""
    check_arguments(args)
    options = chosen_options(args)
    rows = read_rows(args.file, options, args.seed or 0)
    name = find_checkpoint(args.model)
    model, processor = open_with_processor(name, args)
    from modeling_llada.loading import tokenizer_of
    from modeling_llada.serving import BatchedDecoder

    tokenizer = tokenizer_of(processor)
    constraint = compile_constraint(args, tokenizer)
    shown_constraint = {} if constraint is None else {"constraint": constraint.pattern}
    mask_token = tokenizer.convert_ids_to_tokens(model.config.mask_token_id)
    inputs, lines = [], []
    for row in rows:
        row_options = with_fast_default(model, row.options)
        try:
            prompt = encode_prompt(row.text.replace(MASK, mask_token), [], model.config, processor, max_new_tokens=0)
            shown = {"model": name, **effective_options(model, row_options), "seed": row.seed}
        except (CommandError, ValueError) as error:
            raise CommandError(f"{row.name}: {error}") from error
        inputs.append({**prompt.inputs, **row_options, "seed": row.seed})
        lines.append({**row.id, "prompt": prompt.text, **shown_constraint, "options": shown})
    num_done, num_failed = (0, 0) if args.output is None else drop_incomplete_line(args.output, lines)
    with (
        BatchedDecoder(model, tokenizer, batch_size=args.batch_size or 8, constraint=constraint) as decoder,
        nullcontext() if args.output is None else open(args.output, "a", encoding="utf-8") as output,
    ):
        answers = decoder.generate(inputs[num_done:])
        for answer in with_progress("generating", answers, len(rows) - num_done):
            line = lines[num_done + answer.index]
            line |= describe(answer, line["prompt"], tokenizer, model.config.mask_token_id)
            num_failed += answer.error is not None
            if output is None:
                write_json(line)
                continue
            output.write(json.dumps(line, ensure_ascii=False) + "\n")
            output.flush()
    if args.output is not None:
        write_text(f"{args.output} has {len(rows)} lines, {num_done} of them from an earlier run.")
    if num_failed:
        raise CommandError(f'{num_failed} of {len(rows)} prompts could not be completed: their lines have an "error".')


def check_arguments(args: argparse.Namespace) -> None:
    """Checks the arguments before the file is read."""
    others = {
        "PROMPT": args.prompt,
        "--infill": args.infill,
        "--reverse": args.reverse or None,
        "--image": args.image or None,
        "--svg": args.svg,
        "--num-return-sequences": args.num_return_sequences,
    }
    others |= {f"--{name.removeprefix('field_')}": value for name, value in vars(args).items() if "field_" in name}
    for option, value in others.items():
        if value is not None:
            raise CommandError(f"`--file` has the prompts and the answers of a file: leave `{option}` out.")
    check_constraint_file(args)
    check_seed(args.seed)
    check_minimum(args, batch_size=1)
    if args.output is not None:
        check_output_file("--output", args.output)


def read_rows(file: str, options: dict, seed: int) -> list[Row]:
    """The lines of a file. Line `i`, from 0, has the seed `seed + i` unless it says another one."""
    try:
        with open_stdin() if file == "-" else open(file, encoding="utf-8-sig") as lines:
            rows = [read_row(number, line, options, seed) for number, line in enumerate(lines) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"`--file` {file} cannot be read: {error}.") from error
    if not rows:
        raise CommandError(f"`--file` {file} holds no prompts.")
    return rows


def read_row(number: int, line: str, options: dict, seed: int) -> Row:
    """A line of the file. Raises a `CommandError` that names the line."""
    name = f"line {number + 1} of `--file`"
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{name} must be JSON, but it is not: {error}.") from error
    if not isinstance(values, dict) or not isinstance(values.get("prompt"), str) or not values["prompt"]:
        raise CommandError(f'{name} must be an object with a text as its "prompt", but got {line.strip()[:100]}.')
    if unknown := sorted(set(values) - FIELDS):
        raise CommandError(
            f'{name} may have "prompt", "id", "seed" and decoding options, but has {unknown[0]!r}. Leave it out, or put it '
            'into the "id".'
        )
    prompt_fields.check_unicode(name, values["prompt"] + json.dumps(values.get("id"), ensure_ascii=False))
    try:
        own = {name: value for name, value in values.items() if name in ROW_OPTIONS}
        check_options(options | own)
        TABLE.check_integer("seed", values.setdefault("seed", seed + number), 0, 2**63 - 1)
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from error
    return Row(name, values["prompt"], options | own, values["seed"], {"id": values["id"]} if "id" in values else {})


def drop_incomplete_line(path: Path, lines: list[dict]) -> tuple[int, int]:
    """
    How many answers the output has from an earlier run, and how many of them are errors. A line that was not written to its end
    is dropped.

    Raises:
        `CommandError`: if these are not the answers to the first prompts with the same options.
    """
    if not path.exists():
        return 0, 0
    data = path.read_bytes()
    num_bytes = data.rfind(b"\n") + 1
    written = list(written_lines(path, data[:num_bytes]))
    for number, line in enumerate(written):
        if number >= len(lines) or {name: line.get(name) for name in lines[number]} != lines[number]:
            raise CommandError(
                f"`--output` {path} has a line {number + 1} that is no answer to prompt {number + 1} with these options. Use "
                "another file, or the prompts, the options and the seed with which it was begun."
            )
    if num_bytes < len(data):
        check_incomplete_line(path, data[num_bytes:], lines[len(written) : len(written) + 1])
        with open(path, "r+b") as output:
            output.truncate(num_bytes)
    return len(written), sum("error" in line for line in written)


def check_incomplete_line(path: Path, data: bytes, line: list[dict]) -> None:
    """Raises a `CommandError` if the end of an output is not the beginning of the next line: it is not ours to drop."""
    begin = json.dumps(line[0], ensure_ascii=False)[:-1].encode() if line else b""
    length = min(len(begin), len(data))
    if not line or data[:length] != begin[:length]:
        raise CommandError(f"`--output` {path} ends with text that is no answer to these prompts. Use another file.")


def written_lines(path: Path, data: bytes) -> Iterator[dict]:
    """The objects in an output."""
    for number, line in enumerate(data.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise CommandError(
                f"`--output` {path} must hold answers, but line {number + 1} is none. Use another file."
            )
        yield value


def describe(answer, prompt: str, tokenizer, mask_token_id: int) -> dict:
    """The fields of a line that an answer adds."""
    if answer.error is not None:
        return {"error": str(answer.error)}
    from modeling_llada.completion import typed_and_written

    output = answer.output
    pieces = typed_and_written(tokenizer, prompt, output.sequences[0].tolist(), mask_token_id)
    return {
        "completion": "".join(text for text, is_written in pieces if is_written),
        "text": "".join(text for text, _ in pieces),
        "num_forward_passes": output.num_forward_passes.item(),
        "tokens_per_forward": round(output.tokens_per_forward.item(), 4),
    }
