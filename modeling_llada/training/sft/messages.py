# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The messages of a row, in the form that chat templates read, and which of them are trained on."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trl.trainer.utils import remove_none_values

from ...conversation import message_text


# ShareGPT's names of the roles.
ROLES = {"human": "user", "gpt": "assistant", "observation": "tool"}
KNOWN_ROLES = ("system", "developer", "user", "assistant", "tool")
# Whether a message is trained on: 0 or 1.
FLAGS = ("weight", "train", "training", "trainable", "loss")
# Keys that change what is trained on in a way that is not supported here, or is not the same everywhere.
OTHER_FLAGS = ("mask", "masked", "loss_mask", "loss_scale", "loss_weight", "train_detail", "training_detail")
REPAIR = "Repair or drop these rows."


class RowFault(Exception):
    """A rule that a row breaks, and how to mend it."""

    def __init__(self, rule: str, cure: str = REPAIR):
        super().__init__(rule)
        self.rule, self.cure = rule, cure


@dataclass
class Talk:
    """The messages of a row, with what their flags say."""

    messages: list[dict[str, Any]]
    flags: list[bool | None]

    @property
    def roles(self) -> list[str]:
        return [message["role"] for message in self.messages]

    @property
    def uses_tools(self) -> bool:
        """Whether a template must know tools. It may write the answer of a tool as it writes any other message."""
        return any(message.get("tool_calls") for message in self.messages)


def read_talk(messages: Any, column: str, read_content: Callable[[Any], Any] = message_text) -> Talk:
    """
    Reads the messages of a column, with `role` and `content` or with `from` and `value`. What is asked, and not answered,
    is read by `read_content`, which raises a `ValueError` for what is no text.
    """
    if messages is None:
        raise RowFault(f"something in the column `{column}`")
    if isinstance(messages, str):
        raise RowFault(f"lists of messages in the column `{column}`")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise _not_messages(column)
    read = [_read_message(message, column, read_content) for message in messages]
    return Talk([message for message, _ in read], [flag for _, flag in read])


def _read_message(
    raw: dict[str, Any], column: str, read_content: Callable[[Any], Any]
) -> tuple[dict[str, Any], bool | None]:
    """A message without empty keys, which Arrow adds to messages that others have, and its flag."""
    message = {key: value for key, value in raw.items() if value is not None}
    if "from" in message:
        message["role"] = _shared_role(message.pop("from"))
        message["content"] = message.pop("value", None)
    flag = _take_flag(message)
    if "function_call" in message:
        raise RowFault("`tool_calls` in the place of `function_call`, which templates do not know")
    calls = message.get("tool_calls")
    content = message.get("content")
    if not isinstance(message.get("role"), str) or (content is None and not calls):
        raise _not_messages(column)
    if calls:
        message["tool_calls"] = [_read_call(call) for call in calls]
    try:
        read_content = message_text if message["role"] == "assistant" else read_content
        message["content"] = "" if content is None else read_content(content)
    except ValueError as error:
        raise RowFault(
            f"texts as the `content` of messages ({error})", "Only texts are trained on. " + REPAIR
        ) from error
    return message, flag


def _not_messages(column: str) -> RowFault:
    return RowFault(
        f"messages with a `role` and a `content`, or `from` and `value`, in the column `{column}`",
        'A message looks like {"role": "user", "content": "Hello!"}. ' + REPAIR,
    )


def _shared_role(name: Any) -> str:
    role = ROLES.get(name, name)
    if role not in KNOWN_ROLES:
        raise RowFault(f"one of {', '.join([*ROLES, *KNOWN_ROLES])} as `from` in each message")
    return role


def _take_flag(message: dict[str, Any]) -> bool | None:
    unknown = [key for key in OTHER_FLAGS if key in message]
    if unknown:
        raise RowFault(
            f"messages without `{unknown[0]}`, which has no fixed meaning",
            "To train on some of the answers, give each message a `weight` of 0 or 1.",
        )
    given = {key: message.pop(key) for key in FLAGS if key in message}
    for key, value in given.items():
        if not isinstance(value, int | float) or value not in (0, 1):
            raise RowFault(f"0 or 1 as the `{key}` of a message", "Messages are trained on or not. " + REPAIR)
    if len({bool(value) for value in given.values()}) > 1:
        raise RowFault(f"flags of a message that agree ({', '.join(given)})")
    return bool(next(iter(given.values()))) if given else None


def _read_call(call: Any) -> dict[str, Any]:
    """The call of a tool with its arguments as a dictionary, as chat templates want them; OpenAI writes JSON."""
    try:
        call = remove_none_values(call)
        function = call.get("function", call)
        arguments = function.get("arguments", {})
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        return {"type": "function"} | call | {"function": {"name": function["name"], "arguments": arguments}}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise RowFault(
            "`tool_calls` with a function and its arguments",
            'A call looks like {"type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}.',
        ) from None


def trained_turns(talk: Talk, num_prompt: int, assistant_only: bool, whole: bool) -> list[bool]:
    """
    Whether the answers are trained on, by the flags of their messages: one value for each turn that is marked.

    With `assistant_only`, all answers are, unless their flag is 0. Otherwise the messages after the first `num_prompt` are,
    or the `whole` talk, and flags must say the same.
    """
    chosen = [
        (not assistant_only or role == "assistant") and (whole or number >= num_prompt)
        for number, role in enumerate(talk.roles)
    ]
    pairs = list(zip(chosen, talk.flags, strict=True))
    if (False, True) in pairs:
        raise RowFault(
            "no flag of 1 at a message that is not trained on",
            "`assistant_only_loss=True` trains on all answers whose flag is not 0. Other messages cannot be trained on: set "
            "their flag to 0.",
        )
    if not assistant_only and (True, False) in pairs:
        raise RowFault(
            "no flag of 0 at the message that is trained on, the last one",
            "Train on the other answers with `assistant_only_loss=True`, which heeds these flags, or drop what follows the "
            "last answer to train on.",
        )
    trained = [flag is not False for is_chosen, flag in pairs if is_chosen]
    if not any(trained):
        raise RowFault("an answer of the assistant whose flag is not 0")
    for message, (is_chosen, flag) in zip(talk.messages, pairs, strict=True):
        if is_chosen and flag is not False and message["role"] == "assistant":
            check_answer(message["content"], bool(message.get("tool_calls")))
    return trained if assistant_only else [True]


def check_answer(text: str, has_calls: bool = False) -> None:
    """An empty answer would teach the model to say nothing."""
    if not text.strip() and not has_calls:
        raise RowFault("answers that are not empty")
