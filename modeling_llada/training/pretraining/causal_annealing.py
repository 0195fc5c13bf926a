# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Attention that goes from causal to full, for the first steps after a causal model was converted.

Every position sees itself and those before it. It sees each later one with a probability that grows from 0 to 1, as in
DiffuLLaMA (https://huggingface.co/papers/2410.17891). The rows of a step share one mask, which follows from the seed and
the step; its shape never changes, so that one more graph is compiled. After the last of these steps there is no mask.
"""

import torch
from transformers import PreTrainedModel

from ...seeds import named_random


def visible_future(step: int, max_steps: int, annealing_ratio: float) -> float:
    """The probability of a step that a position sees a later one: 0 at the first step, 1 when the annealing is over."""
    return min(1.0, step / (annealing_ratio * max_steps)) if annealing_ratio else 1.0


def annealed_attention(width: int, visible: float, generator: torch.Generator) -> torch.BoolTensor:
    """
    Draws which positions see which.

    Args:
        width (`int`):
            Tokens of a row.
        visible (`float`):
            The probability that a position sees a later one.
        generator (`torch.Generator`):
            Source of the randomness, on the device of the result.

    Returns:
        `torch.BoolTensor` of shape `(1, 1, width, width)`: true where a position, in dimension 2, sees another one.
    """
    uniform = torch.rand(1, 1, width, width, generator=generator, device=generator.device)
    return (uniform < visible) | torch.ones_like(uniform, dtype=torch.bool).tril()


def attention_of_step(
    step: int, max_steps: int, annealing_ratio: float, width: int, seed: int, generator: torch.Generator
) -> torch.BoolTensor | None:
    """The mask of a step, or `None` once every position sees every other. It seeds the generator anew."""
    visible = visible_future(step, max_steps, annealing_ratio)
    if visible == 1.0:
        return None
    # Seeds of its own: rows and noise are those of a run without annealing.
    generator.manual_seed(named_random("causal annealing", seed, step).getrandbits(63))
    return annealed_attention(width, visible, generator)


def check_attention(model: PreTrainedModel, argument: str) -> None:
    """Refuses attention implementations that do not take such a mask as it is."""
    implementation = model.config._attn_implementation
    if implementation != "sdpa":
        raise ValueError(
            f"`{argument}` needs the attention implementation sdpa, but the model has {implementation}. Call "
            "`model.set_attn_implementation('sdpa')`."
        )
