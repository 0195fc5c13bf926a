# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Cross-entropy of the masked tokens alone, chunk by chunk, inside the forward pass of the model.

Logits exist for one chunk of positions at a time, and are computed again in the backward pass. The loss is part of
`model(...)`, since wrappers (DistributedDataParallel, FSDP, PEFT, autocast) act in that call.
"""

import functools
import types
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.utils import ModelOutput


@dataclass
class MaskedTokensOutput(ModelOutput):
    """
    What a model returns when it is called with `masked_positions`.

    Args:
        losses (`torch.FloatTensor` of shape `(num_positions,)`):
            The cross-entropy of each masked token, in float32; 0 where `masked_positions` is -1.
        correct (`torch.BoolTensor` of shape `(num_positions,)`):
            Whether the token is the most likely one; `False` where `masked_positions` is -1.
    """

    losses: torch.FloatTensor | None = None
    correct: torch.BoolTensor | None = None


def masked_cross_entropy(
    hidden_states: torch.Tensor,
    labels: torch.LongTensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    chunk_size: int = 1024,
) -> MaskedTokensOutput:
    """
    Cross-entropy of the logits `head(hidden_states)`, which never exist as a whole.

    Args:
        hidden_states (`torch.Tensor` of shape `(num_positions, hidden_size)`):
            The last hidden states.
        labels (`torch.LongTensor` of shape `(num_positions,)`):
            The clean tokens; -100 for none.
        head (`Callable`):
            The output head.
        chunk_size (`int`, *optional*, defaults to 1024):
            Positions whose logits are in memory at a time.

    Returns:
        [`MaskedTokensOutput`]
    """
    chunks = zip(hidden_states.split(chunk_size), labels.split(chunk_size), strict=True)
    if torch.is_grad_enabled():
        scores = [checkpoint(_score, head, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
    else:
        scores = [_score(head, *chunk) for chunk in chunks]
    losses, correct = zip(*scores, strict=True)
    return MaskedTokensOutput(losses=torch.cat(losses), correct=torch.cat(correct))


def _score(head: Callable, hidden_states: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = head(hidden_states)
    return F.cross_entropy(logits.float(), labels, reduction="none"), logits.argmax(-1) == labels


def add_masked_loss(model: PreTrainedModel, chunk_size: int = 1024) -> None:
    """
    Teaches a mask predictor the call `model(..., labels=labels, masked_positions=positions)`, which returns a
    [`MaskedTokensOutput`]. Any other call is what it was.

    Args:
        model ([`PreTrainedModel`]):
            The mask predictor itself, without a wrapper; wrappers may come before or after.
        chunk_size (`int`, *optional*, defaults to 1024):
            See [`masked_cross_entropy`].
    """
    plain_forward = model.forward

    @functools.wraps(type(model).forward)
    def forward(self, *args, labels=None, masked_positions=None, **kwargs):
        if masked_positions is None:
            return plain_forward(*args, **kwargs if labels is None else kwargs | {"labels": labels})
        # Looked up at each call, since PEFT and FSDP replace them.
        hidden_states = self.base_model(*args, **kwargs).last_hidden_state.flatten(0, 1)
        head = self.get_output_embeddings()
        positions = masked_positions.to(hidden_states.device)
        labels = labels.to(hidden_states.device).flatten()[positions.clamp(min=0)].masked_fill(positions < 0, -100)
        hidden_states = hidden_states.index_select(0, positions.clamp(min=0))
        return masked_cross_entropy(hidden_states, labels, head, chunk_size)

    model.forward = types.MethodType(forward, model)
