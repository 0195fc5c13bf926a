# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The metrics that are logged while a masked diffusion model is trained or evaluated."""

import torch
from accelerate import Accelerator

from ...models.diffusion_llada import LLaDAMaskedLossOutput


QUARTILES = ("loss_t_0_25", "loss_t_25_50", "loss_t_50_75", "loss_t_75_100")


class MaskedLossMeter:
    """
    Sums over batches. They are kept on the device, so that nothing waits for it until they are read.

    - the loss before its division, and the number of items to divide it by;
    - tokens (without padding), masked tokens, and how many of these are predicted right;
    - cross-entropy and number of the masked tokens in each quarter of the mask rates.
    """

    def __init__(self, device: torch.device):
        # float32 counts up to 2^24 only, but MPS has no float64.
        dtype = torch.float if device.type == "mps" else torch.double
        self.sums = torch.zeros(4, dtype=dtype, device=device)
        self.quartiles = torch.zeros(2, len(QUARTILES), dtype=dtype, device=device)

    @torch.no_grad()
    def add(
        self,
        loss: torch.Tensor,
        num_items: torch.Tensor,
        num_tokens: torch.Tensor,
        outputs: LLaDAMaskedLossOutput,
        is_masked: torch.BoolTensor,
        rates: torch.Tensor,
    ) -> None:
        """Adds a batch: the sum of its weighted cross-entropies, and the mask rate and the score of each position."""
        num_correct = (outputs.correct & is_masked).sum()
        self.sums += torch.stack([loss, num_items, num_tokens, num_correct]).to(self.sums)
        quartile = (rates * len(QUARTILES)).ceil().long().clamp(1, len(QUARTILES)) - 1
        self.quartiles[0].index_add_(0, quartile, (outputs.losses * is_masked).to(self.sums))
        self.quartiles[1].index_add_(0, quartile, is_masked.to(self.sums))

    def read(self, accelerator: Accelerator) -> dict[str, float]:
        """The metrics over all processes since the last call. All processes must call it."""
        totals = accelerator.reduce(torch.cat([self.sums, self.quartiles.flatten()]), "sum").tolist()
        self.sums.zero_()
        self.quartiles.zero_()
        loss, num_items, num_tokens, correct = totals[:4]
        losses, counts = totals[4 : 4 + len(QUARTILES)], totals[4 + len(QUARTILES) :]
        num_masked = sum(counts)
        metrics = {"loss": loss / max(num_items, 1), "masked_accuracy": correct / max(num_masked, 1)}
        metrics |= {
            name: loss / count for name, loss, count in zip(QUARTILES, losses, counts, strict=True) if count > 0
        }
        return metrics | {"num_tokens": num_tokens, "num_masked_tokens": num_masked}
