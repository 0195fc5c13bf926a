# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada chat`: a conversation in which you watch each reply being denoised."""

import argparse
import contextlib
import json
import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from .arguments import add_model_arguments, check_output_file, find_checkpoint, open_with_processor
from .constraints import add_constraint_arguments, check_constraint_file, compile_constraint
from .decoding import (
    add_decoding_arguments,
    choose_seed,
    chosen_options,
    effective_options,
    end_tokens,
    is_random,
    with_fast_default,
)
from .errors import CommandError, warn
from .generate import check_before_loading, summary
from .images import add_image_argument, check_sees_images, open_images
from .prompts import warn_about_script, warn_about_unknown_characters
from .terminal import add_animation_arguments, animation_delay, note, open_stdin, write_text


SHIPPED_CHECKPOINT = "llada-poet-instruct"
COMMANDS = {
    "/new": "start a new conversation",
    "/undo": "remove the last message and its reply",
    "/image FILE": "show a picture with the next message",
    "/help": "list the commands",
    "/quit": "end the chat (as Ctrl-D does)",
}
COMMAND_LIST = "\n".join(f"  {name:11} {meaning}" for name, meaning in COMMANDS.items())
EXAMPLES = f"""examples:
  give instructions about classical Chinese poems, in Chinese or English:
    llada chat
  begin poems, and let llada-poet complete them (the system message is the form of the poem):
    llada chat --model checkpoints/llada-poet --system 七言绝句 --temperature 0.7 --remasking random
  commit one token in each step (llada-poet-instruct commits all tokens that have a probability of 0.9):
    llada chat --confidence-threshold 1
  ask about a picture, and show another one later with `/image FILE`:
    llada chat --image photo.jpg --model GSAI-ML/LLaDA-V
  use another checkpoint, with the settings of its authors:
    llada chat --model GSAI-ML/LLaDA-8B-Instruct --max-new-tokens 128 --steps 128 --block-length 32
  read one message from each line of stdin ("which line follows: I raise my head to the bright moon?"):
    echo "举头望明月的下一句是什么？" | llada chat --save messages.json

commands in the chat:
{COMMAND_LIST}
  Ctrl-C stops a reply. The text before its first mask is kept.
"""


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Adds the subcommand to the parser of `llada`."""
    parser = commands.add_parser(
        "chat",
        help="talk to a checkpoint that has a chat template",
        description="Talk to a checkpoint that has a chat template, and watch how it denoises its replies.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(run=run)
    group = parser.add_argument_group("conversation")
    group.add_argument("--system", metavar="TEXT", help="system message, which comes before all turns")
    add_image_argument(group, "a picture for the first message")
    group.add_argument("--save", type=Path, metavar="FILE", help="write the messages as JSON after each turn")
    add_constraint_arguments(parser)
    add_decoding_arguments(parser, is_fast=True)
    add_model_arguments(parser, SHIPPED_CHECKPOINT)
    add_animation_arguments(parser.add_argument_group("output"))


def run(args: argparse.Namespace) -> None:
    """Talks as the command line asks."""
    seed, delay = choose_seed(args), animation_delay(args)
    if args.save:
        check_output_file("--save", args.save)
    check_constraint_file(args)
    name = find_checkpoint(args.model, SHIPPED_CHECKPOINT)
    options = chosen_options(args) | {"num_return_sequences": 1}
    pictures = open_images(args.image)  # for the next message
    model, processor = open_with_processor(name, args, lambda: check_before_loading(name, args, options))
    if processor.chat_template is None:
        raise CommandError(
            f"{name!r} has no chat template: complete texts with `llada generate`, or use a checkpoint for chats, such as "
            "`--model GSAI-ML/LLaDA-8B-Instruct`."
        )
    options = with_fast_default(model, options)
    all_options = effective_options(model, options)
    room = model.config.max_position_embeddings - all_options["max_new_tokens"]
    from modeling_llada.conversation import Conversation

    conversation = Conversation(processor, model.config.mask_token_id, room, args.system)
    constraint = compile_constraint(args, conversation.tokenizer)
    shows_seed = is_random(all_options)
    replier = Replier(model, conversation.tokenizer, options, seed, delay, shows_seed, constraint)
    is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if is_interactive:
        note("/help lists the commands, Ctrl-D ends")
    for line in read_lines(is_interactive):
        if line.startswith("/"):
            if line == "/quit":
                return
            follow(line, conversation, pictures, is_interactive, name)
        else:
            content = [*pictures, {"type": "text", "text": line}] if pictures else line
            if converse(line, content, conversation, replier, is_interactive, name):
                pictures.clear()
        if args.save:
            save(args.save, conversation)


def read_lines(is_interactive: bool) -> Iterator[str]:
    """Yields the lines of stdin that are not empty, until its end, Ctrl-D or Ctrl-C."""
    if is_interactive:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  it gives `input` a history and keys for editing
    lines = None if is_interactive else open_stdin()
    while True:
        try:
            line = input("› ") if is_interactive else next(lines)
        except StopIteration:
            return
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
            return
        if line.strip():
            yield line.strip()


def follow(command: str, conversation, pictures: list[dict], is_interactive: bool, checkpoint: str) -> None:
    """Follows a command in the chat. `pictures` are those for the next message."""
    name, _, argument = command.partition(" ")
    if command == "/new":
        conversation.clear()
        pictures.clear()
        note("a new conversation")
    elif command == "/undo" and pictures:
        pictures.clear()
        note("removed the pictures for the next message")
    elif command == "/undo":
        note("removed the last turn" if conversation.undo() else "there is no turn to remove")
    elif command == "/help":
        note(COMMAND_LIST)
    elif name == "/image":
        try:
            check_sees_images(checkpoint, name)
            pictures += open_images([unquoted(argument.strip())], name)
        except CommandError as error:
            if not is_interactive:
                raise
            note(f"error: {error}")
            return
        count = "picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
        note(f"the next message has the {count}")
    else:
        note(f"there is no command {name}: use {', '.join(COMMANDS)}")


def unquoted(file: str) -> str:
    """The name of a file without the quotes or backslashes that a terminal writes for one that is dropped on it."""
    try:
        words = shlex.split(file)
    except ValueError:  # an apostrophe in a name
        return file
    return words[0] if len(words) == 1 and not os.path.exists(file) else file


def converse(text: str, content, conversation, replier: "Replier", is_interactive: bool, checkpoint: str) -> bool:
    """
    Makes one turn: the message, whose text is `text`, and its reply. In a terminal, a refused message can be typed again.
    Returns whether the turn was made.
    """
    dropped_before = conversation.num_dropped
    try:
        prompt = conversation.prompt_for(content)
    except ValueError as error:
        if not is_interactive:
            raise
        note(f"error: {error}")
        return False
    warn_about_unknown_characters(text, conversation.tokenizer, checkpoint)
    warn_about_script(text, checkpoint)
    if conversation.num_dropped > dropped_before:
        turns = "turn" if conversation.num_dropped == 1 else f"{conversation.num_dropped} turns"
        warn(f"the conversation is too long for the model, which no longer sees the first {turns}.")
    reply, is_whole = replier.write(prompt, can_be_stopped=is_interactive)
    is_made = is_whole or bool(reply)
    if is_made:
        conversation.add(content, reply)
    if not is_whole:
        note("stopped" if reply else "stopped before the first token: the message is removed")
    return is_made


class Replier:
    """
    Writes the replies to stdout. Reply number n has the seed `seed + n`, which is shown if it changes replies; at least
    `delay` seconds pass between two drawn steps, and `None` draws nothing.
    """

    def __init__(
        self, model, tokenizer, options: dict, seed: int, delay: float | None, shows_seed: bool, constraint=None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.options = options
        self.seed = seed
        self.delay = delay
        self.shows_seed = shows_seed
        self.constraint = constraint

    def write(self, prompt, can_be_stopped: bool) -> tuple[str, bool]:
        """Writes the reply to a prompt. Returns it, and whether it is whole: Ctrl-C may have stopped it."""
        import torch

        inputs = {name: value for name, value in prompt.items() if name != "token_type_ids"}  # no model takes them
        last = deque(maxlen=1)
        streamer = self._streamer(last)
        seed, self.seed = self.seed, self.seed + 1
        output, start = None, time.perf_counter()
        try:
            with contextlib.nullcontext() if self.delay is None else streamer:
                output = self.model.generate(
                    **inputs,
                    generator=torch.Generator(self.model.device).manual_seed(seed),
                    streamer=streamer,
                    constraint=self.constraint,
                    return_dict_in_generate=True,
                    output_trajectory=True,
                    **self.options,
                )
        except KeyboardInterrupt:
            if not can_be_stopped:
                raise
        seconds = time.perf_counter() - start - getattr(streamer, "seconds_waited", 0.0)
        reply = text_before_masks(last[0]) if last else ""
        if output is not None or reply:
            write_text(reply if output is None or self.delay is None else streamer.draw_text(0))
        if output is not None and can_be_stopped:
            note(summary(output, 0, seconds, seed if self.shows_seed else None))
        return reply, output is not None

    def _streamer(self, last: deque):
        from modeling_llada.drawing import LiveDenoising
        from modeling_llada.streaming import CanvasStreamer

        arguments = (self.tokenizer, self.model.config.mask_token_id)
        options = {"callback": last.append, **end_tokens(self.model, self.options)}
        if self.delay is None:
            return CanvasStreamer(*arguments, **options)
        return LiveDenoising(*arguments, delay=self.delay, skip_prompt=True, **options)


def text_before_masks(frame) -> str:
    """The answer in a frame, up to its first mask."""
    from modeling_llada.completion import completion_text
    from modeling_llada.streaming import TokenState

    states = frame.states[0, frame.prompt_length :]
    is_written = (states != TokenState.MASK).cumprod(-1).bool() & (states != TokenState.PAD)
    prompt, answer = frame.tokens[0].tensor_split([frame.prompt_length])
    tokens = [*prompt.tolist(), *answer[is_written].tolist()]
    return completion_text(frame.reader.tokenizer, tokens, frame.prompt_length)


def save(path: Path, conversation) -> None:
    """Writes the messages as JSON, with the names of the files of pictures."""
    from modeling_llada.writing import write_atomically

    messages = [message | {"content": name_pictures(message["content"])} for message in conversation.messages]
    write_atomically(path, json.dumps(messages, ensure_ascii=False, indent=1) + "\n")


def name_pictures(content: str | list[dict]) -> str | list[dict]:
    """The content of a message with the file of each picture in the place of its pixels."""
    if isinstance(content, str):
        return content
    return [{"type": "image", "path": part["file"]} if part["type"] == "image" else part for part in content]
