# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising steps of rows that come and go, each with a constraint of its own."""

from dataclasses import dataclass

import torch
from torch import nn

from ..models.canvas_llada import Canvas
from ..models.constrained_denoising_llada import CanvasConstraint, ConstrainedDenoiser
from ..models.constraints_llada import RowAutomata
from ..models.generation_config_llada import LLaDAGenerationConfig
from .slots import SlotDenoiser


@dataclass
class SlotConstraints:
    """
    The constraints of the rows in slots, with what a [`ConstrainedDenoiser`] asks a [`CanvasConstraint`] for.

    `rows` has that of the call in each slot, and `None` for an empty slot, in which every text would do.
    """

    rows: list[CanvasConstraint | None]
    compiled: RowAutomata
    start: torch.LongTensor
    stop: torch.LongTensor

    @classmethod
    def join(cls, rows: list[CanvasConstraint | None], like: CanvasConstraint) -> "SlotConstraints":
        """Joins the constraints of rows; `like` is one of them."""
        automata = [None if row is None else row.automata[0] for row in rows]
        compiled = RowAutomata(automata, like.compiled.vocab_size, like.start.device, like.compiled.never)
        nothing = torch.zeros_like(like.start)
        start, stop = (
            torch.cat([nothing if row is None else getattr(row, name) for row in rows]) for name in ("start", "stop")
        )
        return cls(list(rows), compiled, start, stop)

    @property
    def automata(self) -> list[CanvasConstraint | None]:
        """One for each row."""
        return self.rows

    def reachable_at(self, positions: torch.LongTensor) -> torch.BoolTensor:
        """The states before a position of each row from which the rest can be filled, `(num_slots, num_states)`."""
        shape = len(self.rows), self.compiled.num_states
        reachable = torch.ones(shape, dtype=torch.bool, device=positions.device)
        for slot, row in enumerate(self.rows):
            if row is not None:
                known = row.reachable_at(positions[slot : slot + 1])[0, :-1]  # the last state is that of no text
                reachable[slot] = False
                reachable[slot, : len(known)] = known
        return reachable


class ConstrainedSlotDenoiser(ConstrainedDenoiser, SlotDenoiser):
    """Makes the steps of [`ConstrainedDenoiser`] for the rows in the slots of a batch. `constraint` is that of the first one."""

    def __init__(
        self,
        model: nn.Module,
        template: Canvas,
        config: LLaDAGenerationConfig,
        num_slots: int,
        constraint: CanvasConstraint,
    ) -> None:
        empty = SlotConstraints.join([None] * num_slots, constraint)
        super().__init__(model, template, config, num_slots, constraint=empty)

    def constrain(self, slot: int, constraint: CanvasConstraint) -> None:
        """Gives the row in a slot its constraint. Its text begins in the first state."""
        rows = list(self.constraint.rows)
        rows[slot] = constraint
        self.constraint = SlotConstraints.join(rows, constraint)
        is_new = [number == slot or row is None for number, row in enumerate(rows)]  # the state of others stays
        is_new = torch.tensor(is_new, device=self.states.device)
        self.read_until = torch.where(is_new, self.constraint.start, self.read_until)
        self.states = self.states.masked_fill(is_new, 0)

    def clear(self, slot: int) -> None:
        """Takes the row out of a slot. Its constraint goes when the next one comes."""
        super().clear(slot)
        self.constraint.rows[slot] = None
