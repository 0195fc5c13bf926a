# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Stop strings: a row stops as soon as its answer is certain to contain one, and the text is cut there."""

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria


class StopStrings(StoppingCriteria):
    """
    Stops a row when the text before its first mask contains a stop string, which may hold special tokens, or an end
    token.

    That text is final, so decoding to the end and cutting the text would give the same answer. Masks of one block
    need not be filled from the left, so rows stop earlier with short blocks.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        strings: list[str],
        end_token_ids: list[int],
        mask_token_id: int,
        prompt_length: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.strings = strings
        self.end_token_ids = end_token_ids
        self.mask_token_id = mask_token_id
        self.prompt_length = prompt_length
        self.seen = {}  # by row: the length of its text at the last step, and whether it stops

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor | None, **kwargs) -> torch.BoolTensor:
        """Which rows of the canvas `input_ids` stop."""
        answers = input_ids[:, self.prompt_length :]
        known = (answers != self.mask_token_id).cumprod(-1).sum(-1).tolist()
        answers = answers.tolist()
        stopped = [self._is_complete(row, answers[row][:length]) for row, length in enumerate(known)]
        return torch.tensor(stopped, device=input_ids.device)

    def _is_complete(self, row: int, tokens: list[int]) -> bool:
        length, stops = self.seen.get(row, (0, False))
        if not stops and len(tokens) > length:
            stops = any(token in self.end_token_ids for token in tokens[length:]) or self._holds_string(tokens)
            self.seen[row] = len(tokens), stops
        return stops

    def _holds_string(self, tokens: list[int]) -> bool:
        text = self.tokenizer.decode(tokens)
        starts = [text.find(string) for string in self.strings if string in text]
        # A longer stop string that starts no later may be incomplete, and the answer is cut at the first one.
        return bool(starts) and len(text) >= min(starts) + max(map(len, self.strings))


def cut_answer(
    tokenizer: PreTrainedTokenizerBase, tokens: list[int], strings: list[str], end_token_ids: list[int]
) -> str:
    """The text of an answer before its first end token and its first stop string, without special tokens."""
    end = next((index for index, token in enumerate(tokens) if token in end_token_ids), len(tokens))
    text = tokenizer.decode(tokens[:end])
    text = text[: min((text.find(string) for string in strings if string in text), default=len(text))]
    # Special tokens are removed last, because stop strings may contain them.
    for special_token in tokenizer.all_special_tokens:
        text = text.replace(special_token, "")
    return text
