# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The regular expression that an answer has to match."""

import gradio as gr

from modeling_llada import Constraint

from .prompts import check_text


MAX_STATES = 1000  # of a pattern, so that its steps are not slow for everyone in the queue
# Preset: a label, and the expression.
POEM_FORM = ("a quatrain: four lines of five characters", "(?:[^，。]{5}，[^，。]{5}。){2}")


def make_pattern() -> gr.Textbox:
    """The field of the expression, and its preset."""
    label, pattern = POEM_FORM
    field = gr.Textbox(
        "",
        label="Pattern",
        info="A regular expression that the whole answer matches. Empty: any answer.",
        placeholder=pattern,
        max_length=1000,
        elem_id="generate-pattern",
    )
    gr.Examples([[pattern]], field, label="Patterns", example_labels=[label])
    return field


def check_pattern(pattern: str | None, tokenizer, max_new_tokens: int) -> str:
    """
    The text of the field. Raises a `ValueError` if it is no expression, if the page would be slow, or if no answer of this
    length matches.
    """
    pattern = check_text("the pattern", pattern)
    if pattern:
        constraint = compile_pattern(pattern, tokenizer)
        if len(constraint.automaton.accepting) > MAX_STATES:
            raise ValueError(
                f"the pattern has {len(constraint.automaton.accepting):,} states, and at most {MAX_STATES:,} are allowed here: "
                "ask for less."
            )
        constraint.check_length(max_new_tokens)
    return pattern


def compile_pattern(pattern: str, tokenizer) -> Constraint | None:
    """The constraint, which is compiled once; `None` for an empty pattern."""
    try:
        return Constraint.from_regex(pattern, tokenizer) if pattern else None
    except ImportError as error:
        raise ValueError(f"patterns do not work on this page: {error}") from error
