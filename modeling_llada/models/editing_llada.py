# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Editing: the denoising steps of LLaDA2.1, which also change tokens that were committed before.

A step predicts all positions of the active block that were masks when the block began. It commits masks as other steps do.
Where a committed token differs from the proposal, and the proposal has a probability above `edit_threshold`, the proposal
takes its place (https://huggingface.co/papers/2602.08676). Once no mask is left, up to `max_post_edit_steps` further steps
edit the block, until one of them changes nothing.

As in the published code, the mask token may be proposed: it opens a position again. The published code can do so without an
end. Here the mask token is ruled out once a block has taken as many forward passes as it can without it.
"""

from collections.abc import Iterator

import torch

from .blocks_llada import Block
from .denoising_llada import Denoiser, Prediction


class EditingDenoiser(Denoiser):
    """Makes denoising steps that edit."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.never_proposed = None
        # Of each row in its block: the editing steps that are left, and the most passes without a proposal of the mask token
        self.edits_left, self.max_passes = torch.zeros_like(self.canvas.num_forward_passes).repeat(2, 1)

    def steps(self, block: Block) -> Iterator[None]:
        """Yields before each step of a block, until no row has a mask or an editing step left."""
        self._start(block)
        yield from super().steps(block)

    def _start(self, block: Block) -> None:
        num_masks = self.canvas.masked_in(block).sum(-1)
        self.edits_left.copy_((num_masks > 0) * self.config.max_post_edit_steps)
        self.max_passes.copy_(num_masks + self.config.max_post_edit_steps)

    def _active(self, block: Block) -> torch.BoolTensor:
        """The positions that a step may write, `(batch, block_length)`."""
        goes_on = self.canvas.masked_in(block).any(-1) | (self.edits_left > 0)
        return self.canvas.writable_in(block) & goes_on[:, None]

    def _is_stuck(self, block: Block) -> torch.BoolTensor:
        """The rows that have made as many passes as a block takes where the mask token is never proposed, `(batch,)`."""
        return block.step >= self.max_passes

    def _step(self, block: Block) -> Prediction:
        canvas = self.canvas
        active, mask, tokens = self._active(block), canvas.masked_in(block), canvas.read(canvas.tokens, block)
        prediction = self._predict(block, active)
        is_mask = prediction.proposal == self.config.mask_token_id
        commit = self._choose_commits(block, mask, prediction) & (~is_mask | self._is_stuck(block)[:, None])
        edit = self._choose_edits(active & ~mask, tokens, prediction)
        self._write(block, commit | edit, prediction)
        self._open(block, edit & is_mask)
        is_editing = active.any(-1) & ~mask.any(-1)
        edits_left = torch.where(edit.any(-1), self.edits_left - 1, 0)
        self.edits_left.copy_(torch.where(is_editing, edits_left, self.edits_left))
        return prediction

    def _choose_edits(
        self, is_token: torch.BoolTensor, tokens: torch.LongTensor, prediction: Prediction
    ) -> torch.BoolTensor:
        """The tokens that the proposals replace."""
        is_probable = prediction.confidences.probability > self.config.edit_threshold
        return is_token & is_probable & (prediction.proposal != tokens)

    def _open(self, block: Block, where: torch.BoolTensor) -> None:
        """Lets positions that hold the mask token count as masks."""
        self.canvas.write(block, where=where, step=-1, confidence=torch.nan)

    def _predict_masks(self, block: Block, mask: torch.BoolTensor) -> tuple[torch.FloatTensor, torch.LongTensor]:
        logits, places = super()._predict_masks(block, mask)
        is_stuck = self._is_stuck(block)[places // mask.shape[1]]
        logits[:, self.config.mask_token_id].masked_fill_(is_stuck, -torch.inf)
        if self.config.stutter_penalty:
            tokens, vocab_size = self.canvas.read(self.canvas.tokens, block), logits.shape[1]
            left = tokens.roll(1, dims=1).flatten()[places, None]
            # Placeholders of images may lie behind the vocabulary.
            has_left = (places[:, None] % mask.shape[1] > 0) & (left < vocab_size)
            penalty = self.config.stutter_penalty * has_left.to(logits.dtype)
            logits.scatter_add_(1, left.clamp(max=vocab_size - 1), -penalty)
        return logits, places


__all__ = ["EditingDenoiser"]
