# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tokenizer of problems, and training rows: a prompt, its answer, and EOS up to the end of the row."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerFast

from recipes import symbols
from recipes.reasoning.problems import TASKS, Problem


TOKENS = (*symbols.SPECIAL_TOKENS, *TASKS, "to", "\n", " ", *"+-*()=", *"0123456789")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each character, and for each word."""
    return symbols.build_tokenizer(TOKENS, "|".join((*TASKS, "to")), max_length=512)


def rows_of(problems: Sequence[Problem], prompt_tokens: int, canvas: int) -> tuple[torch.ByteTensor, torch.BoolTensor]:
    """
    The rows of problems, and which of their tokens are predicted: the answer and the EOS that fill its canvas. Both are
    `(problems, prompt_tokens + canvas)`. A shorter prompt leaves a longer canvas.
    """
    tokenizer = build_tokenizer()
    prompts = tokenizer([problem.prompt for problem in problems]).input_ids
    answers = tokenizer([problem.completion for problem in problems]).input_ids
    for name, limit, longest in (
        ("prompt_tokens", prompt_tokens, max(map(len, prompts))),
        ("canvas", canvas, max(map(len, answers)) + 1),
    ):
        if longest > limit:
            raise ValueError(f"`{name}` must be at least {longest}, as the longest text needs, but got {limit}.")
    width = prompt_tokens + canvas
    rows = torch.full((len(problems), width), tokenizer.eos_token_id, dtype=torch.uint8)
    predicted = torch.ones(len(problems), width, dtype=torch.bool)
    for row, is_predicted, prompt, answer in zip(rows, predicted, prompts, answers, strict=True):
        tokens = torch.tensor(prompt + answer, dtype=torch.uint8)
        row[: len(tokens)] = tokens
        is_predicted[: len(prompt)] = False
    return rows, predicted
