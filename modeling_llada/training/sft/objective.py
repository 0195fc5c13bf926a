# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a model is asked for a noisy batch, and how its predictions are weighed in the loss."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ...models.diffusion_llada import LLaDAMaskedLossOutput
from ..masking.collator import KEPT_APART
from ..masking.confidence import masked_slots, sharpened_losses
from .configuration import LLaDASFTConfig
from .vision_batches import IMAGE_INPUTS


Batch = dict[str, torch.Tensor | int]


class WeighedPredictions(NamedTuple):
    """The terms of the loss for each predicted token, `(num_positions,)`; see [`diffusion_loss`]."""

    losses: torch.FloatTensor
    rates: torch.FloatTensor  # by whose inverse the loss is weighed
    lengths: torch.LongTensor | None
    is_masked: torch.BoolTensor  # and not a token that may have been replaced, or a slot without a token
    mask_rates: torch.FloatTensor


def counted_tokens(batch: Batch) -> torch.BoolTensor:
    """The tokens that are no padding, and in no row that fills up the last batch: `(rows, length)`."""
    documents = batch["documents"]
    return (documents >= 0) & (batch["response_lengths"] > 0)[documents]


@dataclass
class ResponseObjective:
    """
    The objective of fine-tuning: that of LLaDA, or block diffusion, with the weights of the arguments.

    Args:
        args ([`LLaDASFTConfig`]):
            The arguments.
        mask_token_id (`int`):
            The mask token.
        has_blocks (`bool`):
            Whether the model is one of blocks, of `args.block_length`.
    """

    args: LLaDASFTConfig
    mask_token_id: int
    has_blocks: bool

    def model_inputs(self, batch: Batch, is_training: bool) -> dict[str, Any]:
        """The arguments of the forward pass."""
        if self.has_blocks:
            seen = {"clean_ids": batch["clean_ids"], "block_length": self.args.block_length}
            seen["attention_mask"] = (batch["documents"] + 1) * counted_tokens(batch)  # 0 for padding
        else:
            seen = {name: batch[name] for name in KEPT_APART if name in batch}
            seen = seen or {"attention_mask": batch["attention_mask"]}
        seen |= {name: batch[name] for name in IMAGE_INPUTS if name in batch}
        if self._sharpens(is_training):
            seen["loss_entropies"] = True
        return seen | {
            "input_ids": batch["input_ids"],
            "labels": batch["labels"],
            "masked_positions": batch["masked_positions"],
            "loss_chunk_size": self.args.loss_chunk_size,
        }

    def weigh(self, batch: Batch, outputs: LLaDAMaskedLossOutput, is_training: bool) -> WeighedPredictions:
        """Weighs the predictions of a forward pass."""
        positions, losses, lengths = batch["masked_positions"], outputs.losses, None
        is_masked = masked_slots(batch["input_ids"], positions, self.mask_token_id)
        if self._sharpens(is_training):
            losses = sharpened_losses(outputs, self.args.confidence_weight, is_masked)
        documents = batch["documents"].flatten()[positions.clamp(min=0)]
        mask_rates = batch["rates"][documents]
        has_weight = is_masked & (not self.args.divides_by_predictions)
        if self.args.loss_normalization == "sequence":
            lengths = self._items(batch).clamp(min=1)[documents]
        return WeighedPredictions(losses, mask_rates.where(has_weight, 1.0), lengths, is_masked, mask_rates)

    def num_items(self, batch: Batch) -> torch.Tensor:
        """The items that the loss of a batch is divided by. Fillers of the last batch have no response."""
        items = self._items(batch)
        return items.sum() if self.args.loss_normalization == "token" else (items > 0).sum()

    def _items(self, batch: Batch) -> torch.LongTensor:
        return batch["num_predicted" if self.args.divides_by_predictions else "response_lengths"]

    def _sharpens(self, is_training: bool) -> bool:
        return is_training and self.args.confidence_weight > 0
