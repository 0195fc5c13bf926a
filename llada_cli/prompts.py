# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The prompt of `llada generate`."""

import argparse
from dataclasses import dataclass

from .arguments import check_output_file
from .decoding import flag_of
from .errors import CommandError, warn
from .light_import import light_import


prompt_fields = light_import("modeling_llada.prompt_fields")
MASK, count_tokens = prompt_fields.MASK, prompt_fields.count_tokens


def quoted_flag(one) -> str:
    """The option of a prompt field, for an error."""
    return f"`{flag_of(one.name)}`"


def field_values(args: argparse.Namespace) -> dict[str, str | None]:
    """The values of the options that the checkpoint declares."""
    return {one.name: getattr(args, f"field_{one.name}") for one in args.prompt_fields.fields}


def check_arguments(args: argparse.Namespace) -> None:
    """Checks the arguments before the checkpoint is loaded."""
    if args.infill is not None and (args.prompt is not None or args.reverse):
        raise CommandError("`--infill` takes the whole text: leave PROMPT and `--reverse` out.")
    if args.infill is not None and MASK not in args.infill:
        raise CommandError(f"`--infill` needs one {MASK} for each token to fill, but got {args.infill!r}.")
    if args.image and (args.infill is not None or args.reverse):
        raise CommandError("`--image` asks a question, which is PROMPT: leave `--infill` and `--reverse` out.")
    if args.reverse and not args.prompt:
        raise CommandError("`--reverse` needs PROMPT: the line after the one to write.")
    header = args.prompt_fields.header(field_values(args), quoted_flag)
    if not (args.prompt or args.infill or args.image or header):
        options = ["PROMPT", "`--infill`", *map(quoted_flag, args.prompt_fields.fields)]
        raise CommandError(f"there is nothing to start from: give {', '.join(options[:-1])} or {options[-1]}.")
    if args.svg:
        check_output_file("--svg", args.svg)
    prompt_fields.check_unicode("the text", header + (args.prompt or "") + (args.infill or ""))


def build_prompt(args: argparse.Namespace, tokenizer, mask_token_id: int) -> tuple[str, int | None]:
    """
    The prompt, and the number of masks to append: 0 when masks inside the text are filled, the rest of the answer
    when a prompt field fixes its length, else `None`.
    """
    fields, values = args.prompt_fields, field_values(args)
    header = fields.header(values)
    mask_token = tokenizer.convert_ids_to_tokens(mask_token_id)
    if args.infill is not None:
        return header + args.infill.replace(MASK, mask_token), 0
    if args.reverse:
        masks = mask_token * count_tokens(fields.first_line(args.prompt), tokenizer)
        return header + fields.line_before(args.prompt, masks), 0
    start = (args.prompt or "").replace(MASK, mask_token)
    return header + start, fields.answer_length(values, count_tokens(start, tokenizer), quoted_flag)


@dataclass(frozen=True)
class Prompt:
    """A prompt as text and as inputs of the model. One of a chat (`is_chat`) is not shown with its completion."""

    text: str
    inputs: dict
    is_chat: bool


def encode_prompt(text: str, images: list, config, processor, max_new_tokens: int) -> Prompt:
    """The prompt to complete, or the question of a chat if there are images."""
    from modeling_llada.conversation import Conversation, check_placeholders
    from modeling_llada.loading import tokenizer_of

    if images:
        room = config.max_position_embeddings - max_new_tokens
        conversation = Conversation(processor, config.mask_token_id, room)
        inputs = conversation.prompt_for([*images, {"type": "text", "text": text}])
        return Prompt(text, dict(inputs), is_chat=True)
    check_placeholders("the prompt", text, processor)
    encoded = tokenizer_of(processor)(text, return_tensors="pt")
    return Prompt(text, {name: encoded[name] for name in ("input_ids", "attention_mask")}, is_chat=False)


def warn_about_unknown_characters(prompt: str, tokenizer, checkpoint: str) -> None:
    """Warns if the tokenizer replaces characters of the prompt."""
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown not in tokenizer(prompt, verbose=False)["input_ids"]:
        return
    if tokenizer.is_fast:
        # By position: a character without a token of its own may be part of a longer token, as x is of 9x9.
        encoded = tokenizer(prompt, return_offsets_mapping=True, verbose=False)
        tokens = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        found = [prompt[start:end] for token, (start, end) in tokens if token == unknown and start < end]
    else:
        found = [one for one in prompt if unknown in tokenizer(one, add_special_tokens=False)["input_ids"]]
    characters = dict.fromkeys(one if one.isprintable() and not one.isspace() else repr(one) for one in found)
    hint = prompt_fields.PromptFields.load(checkpoint).notes.get("unknown_characters", "")
    message = f"the tokenizer does not know {' '.join(characters)} and reads {tokenizer.unk_token} instead. {hint}"
    warn(message.strip())


def warn_about_script(text: str, checkpoint: str) -> None:
    """Warns if a text is mostly in a script that the checkpoint does not know."""
    if note := prompt_fields.PromptFields.load(checkpoint).note_on_script(text):
        warn(note)
