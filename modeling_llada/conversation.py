# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The turns of a chat, and the prompt for the next reply."""

from transformers import BatchEncoding, PreTrainedTokenizerBase

from .prompt_fields import check_unicode


def message_text(content: str | list[dict]) -> str:
    """
    The text of a message. The texts of several parts are joined without anything between them.

    Args:
        content (`str` or `list[dict]`):
            The `content` of a message: a text, or parts as `{"type": "text", "text": "Hello!"}`.

    Returns:
        `str`: The text.

    Raises:
        `ValueError`: if the content is something else, or a part is no text, such as an image.

    Example:

    ```python
    >>> from modeling_llada.conversation import message_text

    >>> message_text([{"type": "text", "text": "床前明月光，"}, {"type": "text", "text": "疑是地上霜。"}])
    '床前明月光，疑是地上霜。'
    ```
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"`content` must be a text or a list of parts, but got {str(content)[:80]!r}.")
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ValueError(
                f'a part of `content` must be a text, as {{"type": "text", "text": "Hello!"}}, but got {str(part)[:80]!r}.'
            )
    return "".join(part["text"] for part in content)


class Conversation:
    """
    The turns of a chat: the messages of the user, and the replies.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A tokenizer with a chat template.
        mask_token_id (`int`):
            The mask token of the model.
        max_prompt_length (`int`):
            The longest prompt, in tokens. The oldest turns are left out of a longer one.
        system (`str`, *optional*):
            The system message. It comes before all turns.

    Example:

    ```python
    >>> from transformers import AutoTokenizer
    >>> from modeling_llada.conversation import Conversation

    >>> tokenizer = AutoTokenizer.from_pretrained("checkpoints/llada-poet")
    >>> conversation = Conversation(tokenizer, tokenizer.mask_token_id, max_prompt_length=1000)
    >>> conversation.prompt_for("床前明月光，")["input_ids"].shape
    torch.Size([1, 6])
    >>> conversation.add("床前明月光，", "疑是地上霜。")
    ```
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        mask_token_id: int,
        max_prompt_length: int,
        system: str | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.mask_token_id = mask_token_id
        self.max_prompt_length = max_prompt_length
        self.system = system
        self.turns: list[tuple[str, str]] = []
        self.num_dropped = 0  # the number of the oldest turns that no longer fit

    @property
    def messages(self) -> list[dict[str, str]]:
        """All messages so far, including those that no longer fit."""
        return self._to_messages(self.turns)

    def prompt_for(self, text: str | list[dict]) -> BatchEncoding:
        """
        Makes the prompt for the reply to a message. The oldest turns are left out when they no longer fit.

        Args:
            text (`str` or `list[dict]`):
                The message of the user, or its parts; see [`message_text`].

        Returns:
            `BatchEncoding`: `input_ids` and `attention_mask`, `(1, prompt_length)`.

        Raises:
            `ValueError`: if the message does not fit, is not UTF-8 text or holds mask tokens, or if the chat template
                refuses it.
        """
        num_dropped = self.num_dropped
        while True:
            prompt = self._encode([*self._to_messages(self.turns[num_dropped:]), {"role": "user", "content": text}])
            length = prompt["input_ids"].shape[1]
            if length <= self.max_prompt_length:
                self.num_dropped = num_dropped
                return prompt
            if num_dropped == len(self.turns):
                raise ValueError(
                    f"the message has {length} tokens, with the system message and the chat template, and only "
                    f"{self.max_prompt_length} fit before the reply: shorten the message, or lower `max_new_tokens`."
                )
            num_dropped += 1

    def add(self, text: str, reply: str) -> None:
        """Adds a turn."""
        self.turns.append((text, reply))

    def undo(self) -> bool:
        """Removes the last turn. Returns whether there was one."""
        had_turn = bool(self.turns)
        del self.turns[-1:]
        self.num_dropped = 0  # older turns may fit again
        return had_turn

    def clear(self) -> None:
        """Removes all turns."""
        self.turns, self.num_dropped = [], 0

    def _to_messages(self, turns: list[tuple[str, str]]) -> list[dict[str, str]]:
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        for text, reply in turns:
            messages += [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
        return messages

    def _encode(self, messages: list[dict[str, str]]) -> BatchEncoding:
        from jinja2 import TemplateError

        messages = [message | {"content": message_text(message["content"])} for message in messages]
        check_unicode("a message", "".join(message["content"] for message in messages))
        try:
            prompt = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        except TemplateError as error:
            raise ValueError(f"the chat template of the checkpoint refuses the messages: {error}.") from error
        if (prompt["input_ids"] == self.mask_token_id).any():
            raise ValueError("a message must not hold mask tokens. To fill masks, use infilling instead of a chat.")
        return prompt
