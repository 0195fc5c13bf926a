# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The samplers that are held against the truth: options of `generate` by the name of the setting."""

import torch

from modeling_llada import Constraint
from modeling_llada.models.constraints_llada import TokenAutomaton
from reporting.markdown import counted


REMASKINGS = ("random", "margin", "entropy", "low_confidence")
STEPS = (8, 4, 2, 1)  # for 8 tokens
BLOCKS = (1, 2, 4)
TEMPERATURES = (0.0, 0.25, 0.5, 0.75, 1.25, 1.5)
RULES = {
    "confidence_threshold": (0.5, 0.7, 0.9),
    "confidence_factor": (0.5, 1.0, 2.0),
    "entropy_bound": (0.1, 0.3, 0.6, 1.0, 2.0),
}
LIMITS = {"top_k": 2, "top_p": 0.7, "min_p": 0.2}
CACHES = ("prefix", "dual", "vicinity")


def enumerated_settings() -> dict[str, dict]:
    """Those whose distribution is computed without sampling."""
    settings = {
        f"{remasking}, {counted(steps, 'step')}": {"remasking": remasking, "steps": steps}
        for remasking in REMASKINGS
        for steps in STEPS
    }
    for remasking in REMASKINGS:
        settings |= {
            f"{remasking}, blocks of {size}": {"remasking": remasking, "block_length": size} for size in BLOCKS
        }
    for rule, values in RULES.items():
        settings |= {f"{rule} {value:g}": {rule: value} for value in values}
    leap = {"confidence_threshold": 0.9, "leap_threshold": 0.6, "leap_radius": 1}
    settings["confidence_threshold 0.9, leap_threshold 0.6"] = leap
    for remasking in ("random", "low_confidence"):
        for value in TEMPERATURES:
            name = f"{remasking}, temperature {value:g}"
            settings[name] = {"remasking": remasking, "temperature": value}
    settings |= {f"margin, {name} {value:g}": {"remasking": "margin", name: value} for name, value in LIMITS.items()}
    return {name: {"temperature": 1.0} | options for name, options in settings.items()}


def sampled_settings() -> dict[str, dict]:
    """Those whose texts are sampled: caches, beside the same without one, and constraints."""
    margin = {"temperature": 1.0, "remasking": "margin"}
    blocks = margin | {"block_length": 2}
    settings = {"no cache": blocks}
    settings |= {f"{cache} cache": blocks | {"block_cache": cache} for cache in CACHES}
    settings["dual cache, suffix_window 1"] = blocks | {"block_cache": "dual", "suffix_window": 1}
    constrained = {"constraint": even_number_of(0, vocab_size=5)}
    settings |= {
        f"constraint, {remasking}": constrained | {"temperature": 1.0, "remasking": remasking}
        for remasking in ("random", "margin", "low_confidence")
    }
    return settings | {
        f"constraint, blocks of {size}": constrained | margin | {"block_length": size} for size in (1, 2)
    }


def even_number_of(token: int, vocab_size: int) -> Constraint:
    """The texts that have a token an even number of times: each of their tokens depends on all others."""
    classes = torch.full((vocab_size,), 2)
    classes[token] = 1
    table = torch.tensor([[-1, 1, 0], [-1, 0, 1]])
    return Constraint("", TokenAutomaton(classes, table, torch.tensor([True, False])), "")
