# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The turns of a chat, and the prompt for the next reply."""

from typing import Any

from transformers import BatchEncoding, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin

from .prompt_fields import check_unicode


Content = str | list[dict[str, Any]]  # of a message: a text, or parts


def has_images(content: Content) -> bool:
    """Whether a message has an image among its parts."""
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "image" for part in content
    )


def check_placeholders(name: str, text: str, processor: PreTrainedTokenizerBase | ProcessorMixin) -> None:
    """
    Checks that a text holds no token that stands for an image.

    Args:
        name (`str`):
            What the text is, for the error.
        text (`str`):
            The text.
        processor (`PreTrainedTokenizerBase` or `ProcessorMixin`):
            The processor of the model. To the tokenizer of a model for text alone, every text is one.

    Raises:
        `ValueError`: if it holds `<image>` or `<video>`.
    """
    for token in (getattr(processor, "image_token", None), getattr(processor, "video_token", None)):
        if token is not None and token in text:
            raise ValueError(f"{name} must not hold the text `{token}`, which stands for an image: leave it out.")


def message_text(content: Content) -> str:
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
        tokenizer (`PreTrainedTokenizerBase` or `ProcessorMixin`):
            A tokenizer with a chat template. Messages with images need the processor of the model in its place.
        mask_token_id (`int`):
            The mask token of the model.
        max_prompt_length (`int`):
            The longest prompt, in tokens, those of images included. The oldest turns are left out of a longer one.
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
        tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
        mask_token_id: int,
        max_prompt_length: int,
        system: str | None = None,
    ) -> None:
        self.processor = tokenizer
        self.tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        self.mask_token_id = mask_token_id
        self.max_prompt_length = max_prompt_length
        self.system = system
        self.turns: list[tuple[Content, str]] = []
        self.num_dropped = 0  # the number of the oldest turns that no longer fit

    @property
    def messages(self) -> list[dict[str, Content]]:
        """All messages so far, including those that no longer fit."""
        return self._to_messages(self.turns)

    def prompt_for(self, text: Content) -> BatchEncoding | BatchFeature:
        """
        Makes the prompt for the reply to a message. The oldest turns are left out when they no longer fit.

        Args:
            text (`str` or `list[dict]`):
                The message of the user, or its parts; see [`message_text`]. The processor of a model that sees images
                takes parts as `{"type": "image", "image": "photo.jpg"}` too.

        Returns:
            `BatchEncoding` or `BatchFeature`: `input_ids` and `attention_mask`, `(1, prompt_length)`, and what the
                processor makes of the images.

        Raises:
            `ValueError`: if the message does not fit, is not UTF-8 text or holds mask tokens, if it has an image that
                cannot be read or that the model cannot see, or if the chat template refuses it.
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
                    f"{max(self.max_prompt_length, 0)} fit before the reply: shorten the message"
                    f"{', use fewer or smaller images' if has_images(text) else ''}, or lower `max_new_tokens`."
                )
            num_dropped += 1

    def add(self, text: Content, reply: str) -> None:
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

    def _to_messages(self, turns: list[tuple[Content, str]]) -> list[dict[str, Content]]:
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        for text, reply in turns:
            messages += [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
        return messages

    def _encode(self, messages: list[dict[str, Content]]) -> BatchEncoding | BatchFeature:
        from jinja2 import TemplateError

        messages = [message | {"content": self._check(message["content"])} for message in messages]
        # A tokenizer tokenizes without being told; a processor has to be.
        options = {} if self.processor is self.tokenizer else {"tokenize": True}
        try:
            prompt = self.processor.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True, **options
            )
        except TemplateError as error:
            raise ValueError(f"the chat template of the checkpoint refuses the messages: {error}.") from error
        if (prompt["input_ids"] == self.mask_token_id).any():
            raise ValueError("a message must not hold mask tokens. To fill masks, use infilling instead of a chat.")
        return prompt

    def _check(self, content: Content) -> Content:
        """The content for the chat template: its text, or its parts where there are images and the model can see them."""
        with_image = has_images(content)
        text = message_text([part for part in content if not has_images([part])] if with_image else content)
        check_unicode("a message", text)
        if with_image and self.processor is self.tokenizer:
            raise ValueError("a message has an image, but the model is for text alone. Ask LLaDA-V, or leave it out.")
        check_placeholders("a message", text, self.processor)
        return content if with_image else text
