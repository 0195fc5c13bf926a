# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The turns of a chat, and what of them the model gets."""

from .arguments import check_unicode
from .errors import CommandError


class Conversation:
    """
    The turns of a chat: what the user said, and the replies.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            A tokenizer with a chat template.
        mask_token_id (`int`):
            The mask token of the model.
        max_prompt_length (`int`):
            The most tokens that fit before a reply.
        system (`str`, *optional*):
            The system message, which stays in front of all turns.
    """

    def __init__(self, tokenizer, mask_token_id: int, max_prompt_length: int, system: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.mask_token_id = mask_token_id
        self.max_prompt_length = max_prompt_length
        self.system = system
        self.turns: list[tuple[str, str]] = []
        self.num_dropped = 0  # of the oldest turns, which no longer fit

    @property
    def messages(self) -> list[dict[str, str]]:
        """All messages so far, those that were dropped among them."""
        return self._to_messages(self.turns)

    def prompt_for(self, text: str):
        """
        The prompt of the reply to a text. The oldest turns are dropped when they no longer fit.

        Args:
            text (`str`):
                What the user says.

        Returns:
            `BatchEncoding`: `input_ids` and `attention_mask`, `(1, prompt_length)`.

        Raises:
            `CommandError`: if the text does not fit by itself, is no text, or the template refuses it.
        """
        num_dropped = self.num_dropped
        while True:
            prompt = self._encode([*self._to_messages(self.turns[num_dropped:]), {"role": "user", "content": text}])
            length = prompt["input_ids"].shape[1]
            if length <= self.max_prompt_length:
                self.num_dropped = num_dropped
                return prompt
            if num_dropped == len(self.turns):
                raise CommandError(
                    f"the message is {length} tokens long with the system message and the template, and only "
                    f"{self.max_prompt_length} fit before the reply: shorten it, or lower `--max-new-tokens`."
                )
            num_dropped += 1

    def add(self, text: str, reply: str) -> None:
        """Adds a turn."""
        self.turns.append((text, reply))

    def undo(self) -> bool:
        """Takes the last turn back. Returns whether there was one."""
        had_turn = bool(self.turns)
        del self.turns[-1:]
        # What was dropped for the sake of that turn may fit again.
        self.num_dropped = 0
        return had_turn

    def clear(self) -> None:
        """Forgets all turns."""
        self.turns, self.num_dropped = [], 0

    def _to_messages(self, turns: list[tuple[str, str]]) -> list[dict[str, str]]:
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        for text, reply in turns:
            messages += [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
        return messages

    def _encode(self, messages: list[dict[str, str]]):
        from jinja2 import TemplateError

        check_unicode("a message", "".join(message["content"] for message in messages))
        try:
            prompt = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        except TemplateError as error:
            raise CommandError(f"the chat template of the checkpoint refuses the messages: {error}.") from error
        if (prompt["input_ids"] == self.mask_token_id).any():
            raise CommandError("a message must not hold mask tokens: `llada generate --infill` fills them.")
        return prompt
