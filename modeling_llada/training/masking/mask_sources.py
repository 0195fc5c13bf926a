# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Which tokens of a response are masked: those of a random canvas, or those of a canvas that decoding comes through.

- `"uniform"`: each token with the probability t. This is the objective of LLaDA.
- `"block"`: a random block of the response is masked so, what is before it is there, and what is behind it is masked and not
  predicted, as when `generate` fills this block (dParallel, https://huggingface.co/papers/2509.26488).
- `"trajectory"`: the tokens that were committed last when the response was generated, at least the share t of them: a
  canvas of that run (d3LLM, https://huggingface.co/papers/2601.07568).
"""

from typing import NamedTuple

import torch

from ...models.diffusion_llada import mask_tokens


MASK_SOURCES = ("uniform", "block", "trajectory")
LOWEST_RATE = 1e-3  # of a complementary mask, whose loss is weighted by the inverse
COMMIT_STEPS = "commit_steps"  # the column with the step that committed each token; -1 for tokens that no step did


class RowMask(NamedTuple):
    """Which tokens of a row are masked and predicted, its rate, which tokens could have been, and which are masked alone."""

    mask: torch.BoolTensor
    rate: float
    is_maskable: torch.BoolTensor
    is_behind: torch.BoolTensor | None = None

    def complement(self) -> "RowMask":
        """The other tokens that could have been masked."""
        return self._replace(mask=self.is_maskable & ~self.mask, rate=max(1 - self.rate, LOWEST_RATE))


def uniform_mask(
    clean: torch.LongTensor,
    is_response: torch.BoolTensor,
    rate: float,
    mask_token_id: int,
    generator: torch.Generator,
    block_length: int | None = None,
) -> RowMask:
    """Masks each token of a response, or of a random block of it."""
    is_behind = None
    if block_length is not None:
        blocks = (is_response.cumsum(0) - 1) // block_length
        number = int(blocks[-1]) + 1
        block = int(torch.randint(number, (1,), generator=generator)) if number > 0 else 0
        is_behind, is_response = is_response & (blocks > block), is_response & (blocks == block)
    _, mask = mask_tokens(clean[None], torch.tensor([rate]), mask_token_id, is_response[None], generator)
    return RowMask(mask[0], rate, is_response, is_behind)


def trajectory_mask(steps: list[int], is_response: torch.BoolTensor, rate: float) -> RowMask:
    """
    Masks the tokens of a response that were committed last. Tokens of one step are masked together, so the share of masked
    tokens, which becomes the rate of the row, may be larger than `rate`. A token that no step committed, such as an EOS that
    was added, counts as committed last.
    """
    steps = torch.tensor([*steps, *[-1] * (len(is_response) - len(steps))])
    steps = steps.masked_fill(steps < 0, torch.iinfo(torch.long).max)
    latest_first = steps[is_response].sort(descending=True).values
    if len(latest_first) == 0:
        return RowMask(is_response, rate, is_response)
    number = min(max(1, round(rate * len(latest_first))), len(latest_first))
    mask = is_response & (steps >= latest_first[number - 1])
    return RowMask(mask, float(mask.sum() / is_response.sum()), is_response)
