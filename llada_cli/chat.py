# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""`llada chat`: a conversation in which you watch each reply being denoised."""

import argparse
import contextlib
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from .arguments import add_model_arguments, check_output_file, find_checkpoint, open_checkpoint
from .decoding import (
    add_decoding_arguments,
    check_options,
    choose_seed,
    chosen_options,
    effective_options,
    is_random,
    with_fast_default,
)
from .errors import CommandError, warn
from .generate import summary
from .prompts import warn_about_script, warn_about_unknown_characters
from .terminal import add_animation_arguments, animation_delay, note, open_stdin, write_text


SHIPPED_CHECKPOINT = "llada-poet-instruct"
COMMANDS = {
    "/new": "start a new conversation",
    "/undo": "remove the last message and its reply",
    "/help": "list the commands",
    "/quit": "end the chat (as Ctrl-D does)",
}
COMMAND_LIST = "\n".join(f"  {name:6} {meaning}" for name, meaning in COMMANDS.items())
EXAMPLES = f"""examples:
  give instructions about classical Chinese poems, in Chinese or English:
    llada chat
  begin poems, and let llada-poet complete them (the system message is the form of the poem):
    llada chat --model checkpoints/llada-poet --system 七言绝句 --temperature 0.7 --remasking random
  commit one token in each step (llada-poet-instruct commits all tokens that have a probability of 0.9):
    llada chat --confidence-threshold 1
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
    group.add_argument("--save", type=Path, metavar="FILE", help="write the messages as JSON after each turn")
    add_decoding_arguments(parser, is_fast=True)
    add_model_arguments(parser, SHIPPED_CHECKPOINT)
    add_animation_arguments(parser.add_argument_group("output"))


def run(args: argparse.Namespace) -> None:
    """Talks as the command line asks."""
    seed, delay = choose_seed(args), animation_delay(args)
    if args.save:
        check_output_file("--save", args.save)
    name = find_checkpoint(args.model, SHIPPED_CHECKPOINT)
    options = chosen_options(args) | {"num_return_sequences": 1}
    model, tokenizer = open_checkpoint(name, args, lambda: check_options(options))
    if tokenizer.chat_template is None:
        raise CommandError(
            f"{name!r} has no chat template: complete texts with `llada generate`, or use a checkpoint for chats, such as "
            "`--model GSAI-ML/LLaDA-8B-Instruct`."
        )
    options = with_fast_default(model, options)
    all_options = effective_options(model, options)
    room = model.config.max_position_embeddings - all_options["max_new_tokens"]
    from modeling_llada.conversation import Conversation

    conversation = Conversation(tokenizer, model.config.mask_token_id, room, args.system)
    replier = Replier(model, tokenizer, options, seed, delay, shows_seed=is_random(all_options))
    is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if is_interactive:
        note("/help lists the commands, Ctrl-D ends")
    for line in read_lines(is_interactive):
        if line.startswith("/"):
            if line == "/quit":
                return
            follow(line, conversation)
        else:
            converse(line, conversation, replier, is_interactive, name)
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


def follow(command: str, conversation) -> None:
    """Follows a command in the chat."""
    if command == "/new":
        conversation.clear()
        note("a new conversation")
    elif command == "/undo":
        note("removed the last turn" if conversation.undo() else "there is no turn to remove")
    elif command == "/help":
        note(COMMAND_LIST)
    else:
        note(f"there is no command {command.split()[0]}: use {', '.join(COMMANDS)}")


def converse(text: str, conversation, replier: "Replier", is_interactive: bool, checkpoint: str) -> None:
    """Makes one turn: the message and its reply. In a terminal, a refused message can be typed again."""
    dropped_before = conversation.num_dropped
    try:
        prompt = conversation.prompt_for(text)
    except ValueError as error:
        if not is_interactive:
            raise
        note(f"error: {error}")
        return
    warn_about_unknown_characters(text, conversation.tokenizer, checkpoint)
    warn_about_script(text, checkpoint)
    if conversation.num_dropped > dropped_before:
        turns = "turn" if conversation.num_dropped == 1 else f"{conversation.num_dropped} turns"
        warn(f"the conversation is too long for the model, which no longer sees the first {turns}.")
    reply, is_whole = replier.write(prompt, can_be_stopped=is_interactive)
    if is_whole or reply:
        conversation.add(text, reply)
    if not is_whole:
        note("stopped" if reply else "stopped before the first token: the message is removed")


class Replier:
    """
    Writes the replies to stdout. Reply number n has the seed `seed + n`, which is shown if it changes replies; at least
    `delay` seconds pass between two drawn steps, and `None` draws nothing.
    """

    def __init__(self, model, tokenizer, options: dict, seed: int, delay: float | None, shows_seed: bool) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.options = options
        self.seed = seed
        self.delay = delay
        self.shows_seed = shows_seed

    def write(self, prompt, can_be_stopped: bool) -> tuple[str, bool]:
        """Writes the reply to a prompt. Returns it, and whether it is whole: Ctrl-C may have stopped it."""
        import torch

        last = deque(maxlen=1)
        streamer = self._streamer(last)
        seed, self.seed = self.seed, self.seed + 1
        output, start = None, time.perf_counter()
        try:
            with contextlib.nullcontext() if self.delay is None else streamer:
                output = self.model.generate(
                    input_ids=prompt["input_ids"],
                    attention_mask=prompt["attention_mask"],
                    generator=torch.Generator(self.model.device).manual_seed(seed),
                    streamer=streamer,
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
        if self.delay is None:
            return CanvasStreamer(*arguments, callback=last.append)
        return LiveDenoising(*arguments, delay=self.delay, skip_prompt=True, callback=last.append)


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
    """Writes the messages as JSON."""
    from modeling_llada.writing import write_atomically

    write_atomically(path, json.dumps(conversation.messages, ensure_ascii=False, indent=1) + "\n")
