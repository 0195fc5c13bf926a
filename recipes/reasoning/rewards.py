# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rewards for answers to problems, functions of the prompts and completions as `LLaDAGRPOTrainer` and TRL call them."""

from recipes.reasoning.problems import TASKS, split_prompt


def is_right(prompts: list[str], completions: list[str], **kwargs) -> list[float]:
    """1 for an answer that is right. Only the last line counts, whatever the working is."""
    return [float(_check("is_right", *pair)) for pair in zip(prompts, completions, strict=True)]


def is_formed(prompts: list[str], completions: list[str], **kwargs) -> list[float]:
    """1 for an answer whose last line could be right: a number, or an expression of the given numbers."""
    return [float(_check("is_formed", *pair)) for pair in zip(prompts, completions, strict=True)]


def _check(name: str, prompt: str, completion: str) -> bool:
    task, rest = split_prompt(prompt)
    return getattr(TASKS[task], name)(rest, completion)
