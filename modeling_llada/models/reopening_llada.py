# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Reopening: denoising steps that take committed tokens back (WINO, https://huggingface.co/papers/2507.18578).

Behind the canvas, a step computes a *shadow* of each position of the active block: a mask token at the same position, which sees
itself and every token of the canvas but the one at its position. No token of the canvas sees a shadow. So one forward pass
predicts the masks, and checks each committed token of the block: how probable is it, given the others? A token below
`reopen_threshold` becomes a mask again, the least probable ones first.

A step commits at most 70% of the masks, so that some are left for the steps in which its tokens are checked. It takes back at most
as many tokens as the step before it committed beyond the quota of the schedule, and nothing if it commits its quota alone. So a
block has no mask left when its schedule ends.
"""

import torch
from torch.nn import functional as F

from .adapters_llada import AdapterRows
from .attention_mask_llada import in_form_of_attention
from .blocks_llada import Block
from .constrained_denoising_llada import ConstrainedDenoiser
from .denoising_llada import Denoiser, Prediction
from .embeddings_llada import GivenEmbeddings
from .guidance_llada import guided_logits
from .remasking_llada import commit_quota, step_budget
from .sampling_llada import call_processors, scatter_to_block


# As published: what a step commits at most, a share of the masks, but for these two numbers of them.
LARGEST_SHARE, FEWEST, MOST = 0.7, 5, 20


class ReopeningDenoiser(Denoiser):
    """Makes denoising steps that also take tokens back."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.checks: torch.FloatTensor | None = None  # the probabilities of the committed tokens, 1 elsewhere
        # What the last step of each row committed beyond its quota. In the first step of a block no token can be taken back.
        self.surplus = torch.zeros_like(self.canvas.num_forward_passes)

    def _step(self, block: Block) -> Prediction:
        mask, is_token = self._active(block), self._is_checked(block)
        prediction = self._predict(block, mask)
        commit = self._choose_commits(block, mask, prediction)
        reopen = self._choose_reopened(block, is_token, commit)
        self._write(block, commit, prediction)
        self.canvas.write(block, where=reopen, tokens=self.config.mask_token_id, step=-1, confidence=torch.nan)
        return prediction

    def _is_checked(self, block: Block) -> torch.BoolTensor:
        """The committed tokens of the block, but for an EOS that has ended its row, `(batch, block_length)`."""
        is_token = self.canvas.writable_in(block) & ~self.canvas.masked_in(block)
        if self.cuts is not None:
            is_token &= ~torch.isin(self.canvas.read(self.canvas.tokens, block), self.cuts)
        return is_token

    def _choose_commits(
        self, block: Block, mask: torch.BoolTensor, prediction: Prediction, num_more: torch.LongTensor | None = None
    ) -> torch.BoolTensor:
        """Those of the proposals that the strategy picks that are the most confident, up to the largest share of the masks."""
        commit = super()._choose_commits(block, mask, prediction, num_more)
        if self.config.reopen_threshold == 0:  # no token is ever doubted
            return commit
        most = (LARGEST_SHARE * mask.sum(-1)).long().clamp(min=FEWEST, max=MOST)
        return commit_quota(prediction.confidences.ranking, commit, most.maximum(self._quota(block)))

    def _choose_reopened(self, block: Block, is_token: torch.BoolTensor, commit: torch.BoolTensor) -> torch.BoolTensor:
        """The least probable tokens below the threshold, at most as many as the surplus of the last step."""
        surplus = (commit.sum(-1) - self._quota(block)).clamp(min=0)
        num_reopened = torch.where(surplus > 0, self.surplus, 0)
        self.surplus.copy_(surplus)
        is_doubtful = is_token & (self.checks < self.config.reopen_threshold)
        return commit_quota(-self.checks, is_doubtful, num_reopened)

    def _quota(self, block: Block) -> torch.LongTensor:
        """How many masks the schedule asks each row to commit, `(batch,)`."""
        return step_budget(block.num_masks, block.num_steps, block.step, self.config.min_commits)

    def _predict_masks(self, block: Block, mask: torch.BoolTensor) -> tuple[torch.FloatTensor, torch.LongTensor]:
        canvas, config = self.canvas, self.config
        rows = mask.any(-1).nonzero().squeeze(-1)
        length, width = self._visible_length(block), block.width
        positions, is_token = block.positions(length)[rows], self._is_checked(block)
        position_ids = torch.arange(length, device=rows.device).expand(len(rows), -1)
        if canvas.position_ids is not None:
            position_ids = canvas.position_ids[rows, :length]
        keep = torch.zeros(len(rows), length, dtype=torch.bool, device=rows.device).scatter(1, positions, mask[rows])
        given, embeddings = canvas.given[rows, :length], canvas.embeddings_at(rows, length)
        if embeddings is not None:
            where, values = embeddings
            embeddings = GivenEmbeddings(F.pad(where, (0, width)), F.pad(values, (0, 0, 0, width)))
        given = F.pad(given, (0, width))
        logits = guided_logits(
            self.model,
            F.pad(canvas.tokens[rows, :length], (0, width), value=config.mask_token_id),
            given=self._masked_by_guidance(given, embeddings),
            mask_token_id=config.mask_token_id,
            cfg_scale=config.cfg_scale,
            attention_mask=self._shadow_mask(block, rows, positions),
            position_ids=torch.cat([position_ids, position_ids.take_along_dim(positions, dim=1)], dim=1),
            logits_to_keep=torch.cat([keep, is_token[rows]], dim=1),
            rows=AdapterRows(rows // self.copies, len(canvas.tokens) // self.copies),
            embeddings=embeddings,
        )
        is_shadow = torch.cat([keep, is_token[rows]], dim=1).nonzero()[:, 1] >= length
        self._check(block, is_token, logits[is_shadow])
        logits, places = logits[~is_shadow], mask.flatten().nonzero().squeeze(-1)
        if self.processors:
            logits = call_processors(self.processors, canvas.tokens[mask.nonzero()[:, 0]], logits)
        return logits, places

    def _shadow_mask(self, block: Block, rows: torch.LongTensor, positions: torch.LongTensor) -> torch.Tensor:
        """Who sees whom among the canvas and its shadows, `(num_rows, 1, length + width, length + width)`."""
        length, width = self._visible_length(block), block.width
        places = torch.arange(length, device=rows.device)
        is_visible = self.canvas.attention_mask[rows, :length].bool() & (places < self._visible(block)[rows, None])
        of_canvas = F.pad(is_visible[:, None].expand(-1, length, -1), (0, width))
        of_others = is_visible[:, None] & (positions[..., None] != places)
        itself = torch.eye(width, dtype=torch.bool, device=rows.device).expand(len(rows), -1, -1)
        mask = torch.cat([of_canvas, torch.cat([of_others, itself], dim=2)], dim=1)
        return in_form_of_attention(mask, self.model.config._attn_implementation, self.model.dtype)

    def _check(self, block: Block, is_token: torch.BoolTensor, logits: torch.FloatTensor) -> None:
        """Keeps how probable each committed token is for its shadow. Rows without a mask take no part."""
        takes_part = is_token & self._active(block).any(-1, keepdim=True)
        tokens = self.canvas.read(self.canvas.tokens, block)[takes_part]
        probability = logits.softmax(-1).gather(-1, tokens[:, None]).squeeze(-1)
        places = takes_part.flatten().nonzero().squeeze(-1)
        self.checks = scatter_to_block(probability, places, is_token.shape, fill_value=1.0)


class ConstrainedReopeningDenoiser(ConstrainedDenoiser, ReopeningDenoiser):
    """Takes tokens back inside the languages of constraints: what was accepted is so with more masks, too."""


__all__ = ["ConstrainedReopeningDenoiser", "ReopeningDenoiser"]
