# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""INSERT and DELETE: the denoising steps of LLaDA2.2, in which the tokens of a block also move.

A step may propose two further tokens. DELETE removes its position, and what follows in the block moves to the left. INSERT puts
a mask in front of the token that its position holds, and that token and what follows it move to the right. The block keeps its
length: masks fill it up, or its last tokens are lost.

A mask is *original* if it was there when the block began, also after it has moved; the others are *new*. The rules are those of
`JointThresholdInDel` in SGLang, which always ends:
- A step commits one mask more than there are new ones, so at least one original one, and all masks once none is original.
- Up to `max_post_edit_steps` steps have no original mask. The last step commits all masks, and writes neither the mask token nor
  DELETE nor INSERT.
- A step that finds its block as it was before changes its least certain token to another one than was ever written there.
"""

import torch

from .blocks_llada import Block
from .denoising_llada import Prediction
from .editing_llada import EditingDenoiser


MOVED = ("tokens", "step", "confidence")  # what the canvas knows of a position


class InsertDeleteDenoiser(EditingDenoiser):
    """Makes denoising steps that edit, insert and delete, until every row has made its last one in the block."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.delete, self.insert = self.model.config.delete_token_id, self.model.config.split_token_id
        never_last = [self.config.mask_token_id, self.delete, self.insert]
        self.never_last = torch.tensor(never_last, device=self.canvas.tokens.device)

    def _start(self, block: Block) -> None:
        self.original = self.canvas.masked_in(block)
        self.is_finished = ~self.original.any(-1)
        self.num_edits = torch.zeros_like(block.start)  # the steps without an original mask
        self.max_passes = block.length + self.config.max_post_edit_steps + 1
        self.seen: list[torch.LongTensor] = []  # the block before each step
        self.written: list[torch.LongTensor] = []  # the tokens that each step wrote, -1 elsewhere

    def _active(self, block: Block) -> torch.BoolTensor:
        return self.canvas.writable_in(block) & ~self.is_finished[:, None]

    def _step(self, block: Block) -> Prediction:
        canvas, config = self.canvas, self.config
        active, tokens = self._active(block), canvas.read(canvas.tokens, block)
        mask = active & canvas.masked_in(block)
        original = mask & self.original
        has_original = original.any(-1)
        self.num_edits += ~has_original
        is_last = (self.num_edits >= max(config.max_post_edit_steps, 1)) | (block.num_passes + 1 >= self.max_passes)

        # An original mask that stays a mask would be no progress.
        is_filled = original & ~is_last[:, None]
        self.never_proposed = torch.where(is_filled[active], config.mask_token_id, -1)[:, None]
        prediction = self._predict(block, active)

        commit = self._choose_commits(block, mask, prediction, num_more=(mask & ~original).sum(-1))
        if config.max_post_edit_steps == 0:
            is_last |= ~(original & ~commit).any(-1)
        commit = torch.where((is_last | ~has_original)[:, None], mask, commit)
        written = commit | self._choose_edits(active & ~mask, tokens, prediction)
        proposal = self._settle(prediction, active & written & is_last[:, None])
        is_repeated = torch.zeros_like(is_last)
        for before in self.seen:
            is_repeated |= (before == tokens).all(-1)
        changed = written & (proposal != tokens) & (is_repeated & ~is_last)[:, None]
        proposal = self._vary(prediction, proposal, changed, original)

        self.seen.append(tokens)
        self.written.append(torch.where(written, proposal, -1))
        prediction = self._with_proposals(prediction, proposal)
        self._write_and_move(block, written, prediction)
        self.is_finished = self.is_finished | is_last | ~written.any(-1)
        return prediction

    def _settle(self, prediction: Prediction, where: torch.BoolTensor) -> torch.LongTensor:
        """The proposals, where the best other token takes the place of the mask token, DELETE and INSERT in some positions."""
        best = prediction.logits.index_fill(1, self.never_last, -torch.inf).argmax(-1)
        best = prediction.proposal.masked_scatter(prediction.mask, best)
        is_allowed = (prediction.proposal[..., None] != self.never_last).all(-1)
        return torch.where(where & ~is_allowed, best, prediction.proposal)

    def _vary(
        self,
        prediction: Prediction,
        proposal: torch.LongTensor,
        changed: torch.BoolTensor,
        original: torch.BoolTensor,
    ) -> torch.LongTensor:
        """The proposals, where in rows with changes the least probable one is the best token that was not yet written there."""
        rows = changed.any(-1).nonzero()[:, 0]
        if len(rows) == 0:
            return proposal
        places = prediction.confidences.probability.masked_fill(~changed, torch.inf)[rows].argmin(-1)
        index = prediction.mask.flatten().cumsum(0) - 1
        logits = prediction.logits[index[rows * changed.shape[1] + places]]
        tried = torch.stack([written[rows, places] for written in self.written], dim=1)
        logits.scatter_add_(1, tried.clamp(min=0), torch.where(tried >= 0, -torch.inf, 0.0).to(logits.dtype))
        logits[original[rows, places], self.config.mask_token_id] = -torch.inf
        return proposal.index_put((rows, places), logits.argmax(-1))

    def _with_proposals(self, prediction: Prediction, proposal: torch.LongTensor) -> Prediction:
        """The prediction with some other proposals, and their probabilities."""
        is_other, confidences = proposal != prediction.proposal, prediction.confidences
        scores = prediction.scores[is_other[prediction.mask]]
        values = scores.softmax(-1).gather(1, proposal[is_other][:, None]).squeeze(1).float()
        confidences = confidences._replace(probability=confidences.probability.masked_scatter(is_other, values))
        return prediction._replace(proposal=proposal, confidences=confidences)

    def _write_and_move(self, block: Block, written: torch.BoolTensor, prediction: Prediction) -> None:
        """Writes the proposals, and moves the tokens of the block by those that are DELETE or INSERT."""
        canvas, mask_token_id = self.canvas, self.config.mask_token_id
        old = {name: canvas.read(getattr(canvas, name), block) for name in MOVED}
        self._write(block, written, prediction)
        self._open(block, written & (prediction.proposal == mask_token_id))

        tokens = torch.where(written, prediction.proposal, mask_token_id)
        width = torch.ones_like(tokens).masked_fill(tokens == self.delete, 0).masked_fill(tokens == self.insert, 2)
        stop = width.cumsum(-1)
        target = torch.arange(block.width, device=tokens.device).expand_as(tokens).contiguous()
        source = torch.searchsorted(stop, target, right=True)
        is_filler, source = source >= block.length[:, None], source.clamp(max=block.width - 1)
        is_new = is_filler | ((width.gather(1, source) == 2) & (target == stop.gather(1, source) - 2))
        for name in MOVED:
            values = torch.where(written & (width == 2), old[name], canvas.read(getattr(canvas, name), block))
            canvas.write(block, where=block.inside, **{name: values.gather(1, source)})
        canvas.write(block, where=is_new & block.inside, tokens=mask_token_id)
        self._open(block, is_new & block.inside)
        self.original = self.original.gather(1, source) & ~is_new
        if self.cuts is not None:
            canvas.cut_behind(self.cuts)


__all__ = ["InsertDeleteDenoiser"]
