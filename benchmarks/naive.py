# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The baseline of the decoding bench: the reverse process written down in the plainest way."""

import torch
from torch import nn


class NaiveSampler:
    """
    Semi-autoregressive decoding with low-confidence remasking at temperature 0, for a forced schedule.

    A step does what the reference code does: the logits of all positions of the canvas, the softmax of all of them, and a
    selection of the most confident ones in a Python loop over the rows. No cache, and no tensor is reused. At temperature
    0 the reference draws no noise and makes no float64 copy, so neither does this.

    Args:
        model (`nn.Module`):
            A mask predictor, whose `forward` returns `logits` of shape `(batch, length, vocab_size)`.
        mask_token_id (`int`):
            Id of the mask token; it is never proposed.

    Example:

    ```python
    >>> NaiveSampler(model, mask_token_id=2)(prompts, answer=128, block_length=32, tokens_per_step=1)
    ```
    """

    def __init__(self, model: nn.Module, mask_token_id: int) -> None:
        self.model = model
        self.mask_token_id = mask_token_id

    @torch.no_grad()
    def __call__(
        self, prompts: torch.LongTensor, answer: int, block_length: int, tokens_per_step: int
    ) -> torch.LongTensor:
        """Completes `(batch, prompt_length)` prompts and returns the canvas, `(batch, prompt_length + answer)`."""
        masks = prompts.new_full((len(prompts), answer), self.mask_token_id)
        canvas = torch.cat([prompts, masks], dim=1)
        length = canvas.shape[1]
        for start in range(prompts.shape[1], length, block_length):
            end = min(start + block_length, length)
            for num_left in range(end - start, 0, -tokens_per_step):
                self.step(canvas, end, min(tokens_per_step, num_left))
        return canvas

    def step(self, canvas: torch.LongTensor, end: int, quota: int) -> None:
        """Commits the `quota` most confident predictions before the end of the active block, in each row."""
        mask = canvas == self.mask_token_id
        logits = self.model(input_ids=canvas).logits
        logits[..., self.mask_token_id] = -torch.inf
        proposal = logits.argmax(-1)
        confidence = logits.softmax(-1).gather(-1, proposal[..., None]).squeeze(-1)
        confidence = torch.where(mask, confidence, -torch.inf)
        confidence[:, end:] = -torch.inf
        for row in range(len(canvas)):
            chosen = confidence[row].topk(quota).indices
            canvas[row, chosen] = proposal[row, chosen]
