# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From the arguments of `llada generate` to the text that the model gets."""

import argparse

from .arguments import check_output_file, check_unicode
from .errors import CommandError, warn
from .poems import FORM_LENGTHS, end_line, first_line, poem_header


MASK = "[MASK]"  # what a user types, whatever the mask token of the checkpoint is called


def check_arguments(args: argparse.Namespace) -> None:
    """Checks what can be checked without a checkpoint.

    Raises:
        `CommandError`: if arguments are missing, contradict each other, are no text, or name a file that cannot be written.
    """
    if args.infill is not None and (args.prompt is not None or args.reverse):
        raise CommandError("`--infill` takes the whole text: leave PROMPT and `--reverse` out.")
    if args.infill is not None and MASK not in args.infill:
        raise CommandError(
            f"`--infill` needs {MASK} in its text, one for each token to fill, but got {args.infill!r}."
        )
    if args.reverse and not args.prompt:
        raise CommandError("`--reverse` needs PROMPT: the line whose line before is to be written.")
    if args.author and not args.title:
        raise CommandError("`--author` needs `--title`: the checkpoint knows poets only beside a title.")
    if not (args.prompt or args.infill or args.form or args.title):
        raise CommandError("nothing to start from: give PROMPT, `--infill`, `--form` or `--title`.")
    if args.svg:
        check_output_file("--svg", args.svg)
    check_unicode("the text", "".join(filter(None, (args.prompt, args.infill, args.title, args.author))))


def build_prompt(args: argparse.Namespace, tokenizer, mask_token_id: int) -> tuple[str, int | None]:
    """Builds the text that the model gets.

    Args:
        args (`argparse.Namespace`):
            The arguments, checked.
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of the checkpoint.
        mask_token_id (`int`):
            Its mask token.

    Returns:
        `tuple[str, int | None]`: The text, and the number of masks to append that follows from the task: none when
        masks of the text are filled, the rest of the form when it has a known length, else `None`.
    """
    header = poem_header(args.form, args.title, args.author)
    mask_token = tokenizer.convert_ids_to_tokens(mask_token_id)
    if args.infill is not None:
        return header + args.infill.replace(MASK, mask_token), 0
    if args.reverse:
        line = count_tokens(first_line(args.prompt), tokenizer)
        return header + mask_token * line + "，" + end_line(args.prompt), 0
    poem = (args.prompt or "").replace(MASK, mask_token)
    return header + poem, remaining_length(args.form, poem, tokenizer)


def remaining_length(form: str | None, poem: str, tokenizer) -> int | None:
    """The characters that a form has beyond those of the given start, and one for EOS; `None` for a free form.

    Raises:
        `CommandError`: if the start is as long as the form, or longer.
    """
    if form not in FORM_LENGTHS:
        return None
    given = count_tokens(poem, tokenizer) if poem else 0
    if given >= FORM_LENGTHS[form]:
        raise CommandError(
            f"PROMPT has {given} characters and {form} only {FORM_LENGTHS[form]}: leave `--form` out, or shorten PROMPT."
        )
    return FORM_LENGTHS[form] - given + 1


def count_tokens(text: str, tokenizer) -> int:
    """The length of a text in tokens."""
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def warn_about_unknown_characters(prompt: str, tokenizer) -> None:
    """Warns when the tokenizer replaces characters of the prompt."""
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown not in tokenizer(prompt, verbose=False)["input_ids"]:
        return
    if tokenizer.is_fast:
        # By their places: a character that is no token by itself may be part of one, as x is of 9x9.
        encoded = tokenizer(prompt, return_offsets_mapping=True, verbose=False)
        tokens = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        found = [prompt[start:end] for token, (start, end) in tokens if token == unknown and start < end]
    else:
        found = [one for one in prompt if unknown in tokenizer(one, add_special_tokens=False)["input_ids"]]
    characters = dict.fromkeys(one if one.isprintable() and not one.isspace() else repr(one) for one in found)
    hint = " llada-poet knows simplified characters." if "《" in tokenizer.get_vocab() else ""
    warn(f"the tokenizer does not know {' '.join(characters)} and reads {tokenizer.unk_token} instead.{hint}")
