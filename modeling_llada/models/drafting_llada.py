# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Drafts: several denoising steps from one forward pass, with the tokens that single steps give.

A step knows its confidence in every mask. It can therefore guess the commits of the next steps, by assuming that the
predictions do not change. The canvases after one, two or three guessed steps are the *drafts*. One forward pass predicts the
masks of all drafts, side by side in the batch, and so makes the true step from each of them. A draft is right if the true
step from the draft before it leads there. All steps up to the first wrong draft are made at once (FreeDave,
https://huggingface.co/papers/2510.00294).
"""

from collections.abc import Iterator

import torch

from .blocks_llada import Block
from .canvas_llada import Canvas, write_commits
from .denoising_llada import Denoiser, Prediction
from .generation_config_llada import LLaDAGenerationConfig
from .remasking_llada import Confidences, choose_commits, step_budget


class DraftingDenoiser:
    """
    Makes denoising steps like the [`Denoiser`] that it is given, several in a forward pass.

    The denoiser makes the first step of each block, from which the first drafts are known. The verifier makes a step from
    each draft; its canvas has `config.draft_steps` rows for each row of the denoiser's.
    """

    def __init__(self, denoiser: Denoiser, verifier: Denoiser) -> None:
        self.denoiser, self.verifier = denoiser, verifier
        self.canvas, self.config, self.num_drafts = denoiser.canvas, denoiser.config, denoiser.config.draft_steps
        verifier.copies = denoiser.copies * self.num_drafts

    def steps(self, block: Block) -> Iterator[None]:
        """Yields before each forward pass of a block."""
        return self.denoiser.steps(block)

    def step(self, block: Block) -> Prediction:
        """
        Makes a forward pass, and all the steps that it verifies.

        1. At the start of a block, make one step, and copy the canvas and the cache to the verifier.
        2. Later, make a step from each draft. Accept drafts from left to right, up to the first wrong one, and write the
           commits of all these steps into the canvas.
        3. Draft the next steps from the predictions of the last one.

        Rows make different numbers of steps, which `block.step` counts. Returns the prediction of the last step.
        """
        if block.num_passes == 0:
            prediction = self.denoiser.step(block)
            self.verifier.canvas.copy_from(self.canvas.repeat(self.num_drafts))
            self.verifier.copy_cache_from(self.denoiser, self.num_drafts)
        else:
            prediction = self._verify(block)
        self._draft(block, prediction)
        return prediction

    def _verify(self, block: Block) -> Prediction:
        """Makes a step from each draft, and accepts the drafts that follow from one another."""
        canvas, drafts = self.canvas, self.verifier.canvas
        draft_block = block.repeat(self.num_drafts)
        draft_block.step += torch.arange(self.num_drafts, device=block.step.device).repeat(len(block.step))
        guessed = self._by_row(drafts.read(drafts.tokens, draft_block))
        # A stopping criterion may have ended rows since the drafts were written.
        drafts.ended.copy_(canvas.ended.repeat_interleave(self.num_drafts))
        prediction = self.verifier.step(draft_block)
        stepped = self._by_row(drafts.read(drafts.tokens, draft_block))

        # The first draft is the canvas itself.
        follows = (stepped[:, :-1] == guessed[:, 1:]).all(-1)
        accepted = torch.cat([torch.ones_like(follows[:, :1]), follows], dim=1).cumprod(1).bool()
        num_accepted = accepted.sum(1)
        last = num_accepted - 1

        is_filled = drafts.read(drafts.step, draft_block) >= 0
        committed = self._by_row(prediction.mask & is_filled) & accepted[..., None]
        confidence = self._by_row(drafts.read(drafts.confidence, draft_block)).masked_fill(~committed, 0).amax(1)
        canvas.num_forward_passes += canvas.masked_in(block).any(-1)
        write_commits(canvas, block, committed.any(1), pick(stepped, last), confidence, self.denoiser.cuts)
        block.step += num_accepted
        block.num_passes += 1
        return self._of_draft(prediction, last)

    def _draft(self, block: Block, prediction: Prediction) -> None:
        """Writes the drafts: the canvas, and the canvases after one, two... guessed steps."""
        tokens, mask = self.canvas.read(self.canvas.tokens, block), self.canvas.masked_in(block)
        all_tokens, all_masks = [tokens], [mask]
        for step in range(self.num_drafts - 1):
            budget = step_budget(block.num_masks, block.num_steps, block.step + step, self.config.min_commits)
            commit = choose_commits(prediction.confidences, mask, budget, self.config, self.denoiser.strategy)
            guessed = torch.where(commit, prediction.proposal, tokens)
            left = mask & ~commit & self._before_end(guessed, block)
            # A complete block has nothing to predict, so a draft of it would be useless: repeat the one before it.
            goes_on = left.any(-1, keepdim=True)
            tokens, mask = torch.where(goes_on, guessed, tokens), torch.where(goes_on, left, mask)
            all_tokens.append(tokens)
            all_masks.append(mask)
        drafts, draft_block = self.verifier.canvas, block.repeat(self.num_drafts)
        is_masked, inside = torch.stack(all_masks, dim=1).flatten(0, 1), draft_block.inside
        tokens = torch.stack(all_tokens, dim=1).flatten(0, 1)
        drafts.write(draft_block, where=inside, tokens=tokens, step=torch.where(is_masked, -1, 0).int())
        if self.denoiser.cuts is not None:
            drafts.cut_behind(self.denoiser.cuts)

    def _before_end(self, tokens: torch.LongTensor, block: Block) -> torch.BoolTensor | bool:
        """The positions of the active block before an EOS that would end the row; `True` if none does (`Canvas.end`)."""
        if self.denoiser.cuts is None:
            return True
        is_end = torch.isin(tokens, self.denoiser.cuts) & self.canvas.read(self.canvas.answer, block)
        return is_end.cumsum(-1) == 0

    def _of_draft(self, prediction: Prediction, draft: torch.LongTensor) -> Prediction:
        """The prediction at one draft of each row."""
        mask, proposal, *confidences = (
            None if values is None else pick(self._by_row(values), draft)
            for values in (prediction.mask, prediction.proposal, *prediction.confidences)
        )
        logits, scores = prediction.logits, prediction.scores
        if logits is not None:
            is_picked = torch.arange(self.num_drafts, device=draft.device) == draft[:, None]
            rows = is_picked.flatten()[:, None].expand_as(prediction.mask)[prediction.mask]
            logits, scores = logits[rows], scores[rows]
        return Prediction(mask, proposal, Confidences(*confidences), logits, scores)

    def _by_row(self, values: torch.Tensor) -> torch.Tensor:
        """`(batch * num_drafts, block_length)` as `(batch, num_drafts, block_length)`."""
        return values.unflatten(0, (-1, self.num_drafts))


def bound_drafts(config: LLaDAGenerationConfig, canvas: Canvas, prompt_length: int) -> int | None:
    """The `draft_steps` of a call: at most as many as its largest block has masks, since each step commits one or more."""
    if config.draft_steps is None:
        return None
    in_prompt = int(canvas.masked()[:, :prompt_length].sum(-1).max())
    in_answer = min(config.block_length or config.max_new_tokens, config.max_new_tokens)
    return max(2, min(config.draft_steps, max(in_prompt, in_answer)))


def pick(values: torch.Tensor, draft: torch.LongTensor) -> torch.Tensor:
    """One draft of each row: `(batch, num_drafts, block_length)` to `(batch, block_length)`."""
    return values.take_along_dim(draft[:, None, None], dim=1).squeeze(1)


__all__ = ["DraftingDenoiser"]
