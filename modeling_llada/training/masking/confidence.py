# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The confidence term of LLaDA2-CAP (https://huggingface.co/papers/2512.15745): sharper predictions where they are right.

With the prediction p_i of a masked token and its entropy H(p_i), the loss of a token that is predicted right is

    -log p_i(x_0^i) + beta H(p_i)

So the term has the weight and the divisor of the cross-entropy, and accumulation does not change it. dFactory divides it by the
number of right tokens in the micro-batch instead.
"""

import torch

from ...models.diffusion_llada import LLaDAMaskedLossOutput


def masked_slots(
    input_ids: torch.LongTensor, masked_positions: torch.LongTensor, mask_token_id: int
) -> torch.BoolTensor:
    """Which of the predicted positions have the mask token, and not a token that may have been replaced, or are empty slots."""
    return (masked_positions >= 0) & (input_ids.flatten()[masked_positions.clamp(min=0)] == mask_token_id)


def sharpened_losses(
    outputs: LLaDAMaskedLossOutput, confidence_weight: float, is_masked: torch.BoolTensor
) -> torch.FloatTensor:
    """The losses of predicted tokens, `(num_positions,)`, with the confidence term."""
    return outputs.losses + confidence_weight * outputs.entropies * (outputs.correct & is_masked)
