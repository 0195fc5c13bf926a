# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Constrained editing: steps that also change committed tokens, and stay inside the language.

A committed token is weighed against others given all that is committed beside it. Two edits that each fit may not fit together,
or with the masks that the step fills. So the step first chooses the masks to fill, as others do, and then those edits that lie
together with them on one accepted text.
"""

from dataclasses import replace

import torch

from .blocks_llada import Block
from .constrained_denoising_llada import ConstrainedDenoiser
from .denoising_llada import Prediction
from .editing_llada import EditingDenoiser
from .sampling_llada import propose


class ConstrainedEditingDenoiser(ConstrainedDenoiser, EditingDenoiser):
    """Makes denoising steps that edit inside the languages of the constraints. Rows without one edit as they do alone."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        is_free = [automaton is None for automaton in self.constraint.automata]
        self.is_free = torch.tensor(is_free, device=self.canvas.tokens.device)
        self.commit: torch.BoolTensor | None = None  # of the step

    def _is_open(self, block: Block) -> torch.BoolTensor:
        return self.canvas.masked_in(block)

    def _sample(self, logits: torch.FloatTensor, noise: torch.Tensor) -> torch.LongTensor:
        """Masks are sampled together, and what may take the place of a token by itself."""
        lattice = self.lattice
        is_alone = ~lattice.is_open.flatten()[lattice.places] | self.is_free[lattice.places // lattice.tokens.shape[1]]
        alone = propose(logits, noise, self.never_proposed, self.temperature, self.warpers)
        return torch.where(is_alone, alone, super()._sample(logits, noise))

    def _choose_commits(
        self, block: Block, mask: torch.BoolTensor, prediction: Prediction, num_more: torch.LongTensor | None = None
    ) -> torch.BoolTensor:
        self.commit = super()._choose_commits(block, mask, prediction, num_more)
        return self.commit

    def _choose_edits(
        self, is_token: torch.BoolTensor, tokens: torch.LongTensor, prediction: Prediction
    ) -> torch.BoolTensor:
        """Those of the edits that lie on one accepted text with what is committed in the step."""
        edit = super()._choose_edits(is_token, tokens, prediction)
        if not edit.any():
            return edit
        lattice, commit = self.lattice, self.commit
        lattice = replace(
            lattice,
            tokens=torch.where(commit, prediction.proposal, lattice.tokens),
            is_open=lattice.is_open & ~commit,
        )
        priority = prediction.confidences.probability.clamp(min=1e-6)
        return torch.where(self.is_free[:, None], edit, lattice.commit_together(prediction.proposal, edit, priority))


__all__ = ["ConstrainedEditingDenoiser"]
