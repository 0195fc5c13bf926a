# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Constrained denoising: steps that keep the answer of each row inside the language of its constraint.

After the forward pass of a step, the scores of each mask are weighted by all accepted texts that go through it, so that what
is proposed, the confidences and every commit rule are those given the constraint. With a temperature, the proposals are one
sample of the accepted texts. Of the proposals that a step picks, those are committed that lie together on one accepted text.
Later blocks, for which there are no scores yet, count by whether they can still be filled.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import LogitsProcessor

from .blocks_llada import Block
from .canvas_llada import Canvas
from .constraints_llada import Lattice, RowAutomata, TokenAutomaton
from .denoising_llada import Denoiser, Prediction, ruled_out_tokens, score_proposals
from .generation_config_llada import LLaDAGenerationConfig, as_tensor
from .remasking_llada import Confidences
from .sampling_llada import narrow, propose, suppress


# By constraint: its automata for the special tokens of a call.
PREPARED: WeakKeyDictionary[Any, dict[tuple, TokenAutomaton]] = WeakKeyDictionary()


@dataclass
class CanvasConstraint:
    """
    The constraints of a canvas.

    Args:
        automata (list of [`TokenAutomaton`] or `None`): One for each row.
        compiled ([`RowAutomata`]): The same on the device of the canvas.
        start (`torch.LongTensor` of shape `(batch,)`): The first position of the text that the automaton of a row reads.
        stop (`torch.LongTensor` of shape `(batch,)`): The position behind the last one.
        first (`int`): The first position of any text.
        reachable (`torch.BoolTensor` of shape `(num_positions + 1, batch, num_states)`): For each position from `first` on, the
            states before it from which the rest of the text can be filled, where nothing behind it was changed yet.
    """

    automata: list[TokenAutomaton | None]
    compiled: RowAutomata
    start: torch.LongTensor
    stop: torch.LongTensor
    first: int
    reachable: torch.BoolTensor

    @classmethod
    def create(
        cls, constraint: Any, canvas: Canvas, config: LLaDAGenerationConfig, model: nn.Module, prompt_length: int
    ) -> "CanvasConstraint | None":
        """
        Reads the argument `constraint` of a call: one for all prompts, or a list with one or `None` for each of them. Returns
        `None` if no row has one. Raises a `ValueError` if no text fits.
        """
        copies, (num_rows, length) = config.num_return_sequences, canvas.tokens.shape
        given = read_constraints(constraint, num_prompts=num_rows // copies)
        if given is None:
            return None
        check_moves(config)
        ruled_out = ruled_out_tokens(model, config, torch.device("cpu"))
        ends = ending_of(config, model.config.vocab_size)
        prepared = [None if one is None else prepare(one, ends) for one in given]
        automata = [automaton for automaton in prepared for _ in range(copies)]
        never = [config.mask_token_id, *(() if ruled_out is None else ruled_out.tolist())]
        compiled = RowAutomata(automata, model.config.vocab_size, canvas.tokens.device, never)
        masked = canvas.masked()
        start, stop = span_of_text(masked, prompt_length, config.max_new_tokens)
        first = int(start.min())
        inside = is_between(start, stop, length)[:, first:]
        reachable = compiled.reach(canvas.tokens[:, first:], masked[:, first:], inside)
        for row, automaton in enumerate(automata):
            if not reachable[start[row] - first, row, 0]:
                table = automaton.table.masked_fill(~compiled.has_tokens[row, : automaton.table.shape[1]].cpu(), -1)
                automaton = TokenAutomaton(automaton.token_class, table, automaton.accepting)
                room, is_gap = int(stop[row] - start[row]), config.max_new_tokens == 0
                raise ValueError(explain_misfit(automaton, room, is_gap))
        return cls(automata, compiled, start, stop, first, reachable)

    def repeat(self, repeats: int) -> "CanvasConstraint":
        """Each row several times, the copies next to each other."""
        automata = [automaton for automaton in self.automata for _ in range(repeats)]
        return replace(
            self,
            automata=automata,
            compiled=RowAutomata(automata, self.compiled.vocab_size, self.start.device, self.compiled.never),
            start=self.start.repeat_interleave(repeats),
            stop=self.stop.repeat_interleave(repeats),
            reachable=self.reachable.repeat_interleave(repeats, dim=1),
        )

    def reachable_at(self, positions: torch.LongTensor) -> torch.BoolTensor:
        """The states before a position of each row from which the rest can be filled, `(batch, num_states)`."""
        return self.reachable[positions - self.first, torch.arange(len(positions), device=positions.device)]


class ConstrainedDenoiser(Denoiser):
    """
    Makes denoising steps whose tokens stay inside the languages of the constraints. `predict` makes forward passes in the place
    of [`Denoiser`], if they are recorded. What follows a pass is not recorded.
    """

    def __init__(
        self,
        *args,
        constraint: CanvasConstraint,
        predict: Callable[[Block], tuple[torch.FloatTensor, torch.LongTensor]] | None = None,
    ) -> None:
        super().__init__(*args)
        self.predict = predict
        self.num_drafts = len(self.canvas.tokens) // len(constraint.automata)  # of each row
        self.constraint = constraint if self.num_drafts == 1 else constraint.repeat(self.num_drafts)
        self.propose_and_score = self._propose_and_score
        self.mask_token = torch.tensor([self.config.mask_token_id], device=self.canvas.tokens.device)
        # Up to where the text of each row was read, and the state there
        self.read_until, self.states = self.constraint.start, self.constraint.compiled.start()
        self.lattice: Lattice | None = None  # of the step

    def _predict_masks(self, block: Block, mask: torch.BoolTensor) -> tuple[torch.FloatTensor, torch.LongTensor]:
        """The logits given the constraint: their softmax is the probability of each token over all accepted texts."""
        logits, places = super()._predict_masks(block, mask) if self.predict is None else self.predict(block)
        suppress(logits, self.ruled_out)
        self.lattice = self._open_lattice(block, mask, logits, places)
        is_lost = ~(self.lattice.total() > -torch.inf) & mask.any(-1)  # also if it is NaN
        # The first draft of a row is its canvas. The others are guesses: one that fits no text is a wrong one.
        is_lost = is_lost[:: self.num_drafts]
        if is_lost.any():
            raise ValueError(
                f"`constraint` leaves no text for row {int(is_lost.byte().argmax())}, because its logits are NaN or infinite, or "
                "because a `logits_processor` rules out the tokens that are needed. Leave that processor out."
            )
        return self.lattice.constrain(logits), places

    def _open_lattice(
        self, block: Block, mask: torch.BoolTensor, logits: torch.FloatTensor, places: torch.LongTensor
    ) -> Lattice:
        """The accepted completions of the active block."""
        canvas, constraint, length = self.canvas, self.constraint, self.canvas.tokens.shape[1]
        start = block.start.clamp(min=constraint.start).minimum(constraint.stop)
        stop = (block.start + block.length).clamp(min=constraint.start).minimum(constraint.stop)
        self._read_until(start)
        tokens, inside = canvas.read(canvas.tokens, block), canvas.read(is_between(start, stop, length), block)
        if self.cuts is not None:  # masks that stay behind an EOS
            tokens = tokens.masked_fill((tokens == self.mask_token) & ~mask, int(self.cuts[0]))
        return Lattice(
            constraint.compiled,
            self.states,
            tokens,
            logits.index_fill(1, self.mask_token, -torch.inf),
            places,
            ending=constraint.reachable_at(stop),
            inside=None if inside.all() else inside,
            is_open=self._is_open(block),
        )

    def _is_open(self, block: Block) -> torch.BoolTensor | None:
        """The predicted positions that are masks, `(batch, block_length)`; `None` for all of them."""
        return None

    def _read_until(self, start: torch.LongTensor) -> None:
        """Reads the text of each row up to a position, `(batch,)`, that all blocks so far lie before."""
        if torch.equal(start, self.read_until):
            return
        columns = slice(int(self.read_until.min()), int(start.max()))
        inside = is_between(self.read_until, start, self.canvas.tokens.shape[1])[:, columns]
        self.states = self.constraint.compiled.advance(self.states, self.canvas.tokens[:, columns], inside)
        self.read_until = start

    def _propose_and_score(
        self,
        logits: torch.FloatTensor,
        config: LLaDAGenerationConfig,
        ruled_out: torch.LongTensor | None,
        deferred: torch.LongTensor | None,
        temperature: float,
        warpers: list[LogitsProcessor],
        proposal_noise: torch.Tensor | None,
        ranking_noise: torch.Tensor | None,
        never_proposed: int,
    ) -> tuple[torch.LongTensor, Confidences, torch.FloatTensor]:
        """As the function of that name, but with a temperature the proposals are one sample of the accepted texts."""
        if proposal_noise is None:
            proposal = propose(logits, None, never_proposed, temperature)
        else:
            proposal = self._sample(logits, proposal_noise)
        return proposal, *score_proposals(logits, proposal, config, deferred, ranking_noise)

    def _sample(self, logits: torch.FloatTensor, noise: torch.Tensor) -> torch.LongTensor:
        """A token for each mask, which together lie on one accepted text."""
        lattice = self._narrowed(logits) if self.warpers else self.lattice
        return lattice.sample(self.temperature, noise).flatten()[lattice.places]

    def _narrowed(self, logits: torch.FloatTensor) -> Lattice:
        """The completions without the tokens that `top_k`, `top_p` and `min_p` rule out, in rows where some are left."""
        lattice = self.lattice
        logits = narrow(logits.index_fill(1, self.mask_token, -torch.inf), self.temperature, self.warpers)
        scores = lattice.scores.masked_fill(logits == -torch.inf, -torch.inf)
        has_some = replace(lattice, scores=scores).total() > -torch.inf
        rows = lattice.places // lattice.tokens.shape[1]
        return replace(lattice, scores=torch.where(has_some[rows, None], scores, lattice.scores))

    def _choose_commits(
        self, block: Block, mask: torch.BoolTensor, prediction: Prediction, num_more: torch.LongTensor | None = None
    ) -> torch.BoolTensor:
        """Those of the proposals that the strategy picks that lie together on one accepted text."""
        commit = super()._choose_commits(block, mask, prediction, num_more)
        if self.config.sampling_temperature > 0 or (commit.sum(-1) <= 1).all():  # a sample is one text
            return commit
        priority = prediction.confidences.probability.clamp(min=1e-6)
        return self.lattice.commit_together(prediction.proposal, commit, priority)


# The arguments of a call


def read_constraints(constraint: Any, num_prompts: int) -> list | None:
    """A constraint or `None` for each prompt; `None` if there are none."""
    constraints = list(constraint) if isinstance(constraint, (list, tuple)) else [constraint] * num_prompts
    if len(constraints) != num_prompts:
        raise ValueError(
            f"`constraint` must be one for all prompts, or a list with one or `None` for each of the {num_prompts} prompts, but "
            f"got {len(constraints)}."
        )
    for one in constraints:
        if one is not None and not hasattr(getattr(one, "automaton", None), "token_class"):
            raise ValueError(
                f"`constraint` must be a `modeling_llada.Constraint`, or a list of them, but got {one!r}. "
                "`Constraint.from_regex(pattern, tokenizer)` makes one."
            )
    return None if all(one is None for one in constraints) else constraints


def check_moves(config: LLaDAGenerationConfig) -> None:
    """A constraint needs tokens that stay in their places."""
    if config.insert_delete:
        raise ValueError(
            "`insert_delete` does not go with `constraint`, because it moves tokens, so that what follows would not fit any more, "
            "but got True. Set `insert_delete=False`; edits are possible."
        )


def ending_of(config: LLaDAGenerationConfig, vocab_size: int) -> tuple[tuple[int, ...], int] | None:
    """The tokens that end a text, and the one that fills the canvas behind it; `None` if the text has to fill it."""
    names = ("eos_token_id", "eot_token_id")
    known = [as_tensor(getattr(config, name), "cpu") for name in names if getattr(config, name) is not None]
    ends = [token_id for token_ids in known for token_id in token_ids.tolist() if token_id < vocab_size]
    if config.max_new_tokens == 0 or config.logits_eos_inf or not ends:
        return None
    pad = config.pad_token_id
    return tuple(ends), ends[0] if pad is None or pad >= vocab_size else pad


def prepare(constraint: Any, ends: tuple[tuple[int, ...], int] | None) -> TokenAutomaton:
    """The automaton of a constraint for a canvas, with what ends a text."""
    prepared = PREPARED.setdefault(constraint, {})
    if ends not in prepared:
        # The constraint may come from the package, and the model from remote code.
        given = constraint.automaton
        automaton = TokenAutomaton(given.token_class, given.table, given.accepting)
        prepared[ends] = automaton if ends is None else automaton.with_ending(*ends)
    return prepared[ends]


def span_of_text(
    masked: torch.BoolTensor, prompt_length: int, max_new_tokens: int
) -> tuple[torch.LongTensor, torch.LongTensor]:
    """
    Where the text of a constraint starts and stops in each row, both `(batch,)`: it is the answer, or without one what
    reaches from the first mask of the prompt to the last one.
    """
    if max_new_tokens > 0:
        start = torch.full(masked.shape[:1], prompt_length, device=masked.device)
        return start, start + max_new_tokens
    start = masked.byte().argmax(-1)
    return start, torch.where(masked.any(-1), masked.shape[1] - masked.flip(-1).byte().argmax(-1), start)


def is_between(start: torch.LongTensor, stop: torch.LongTensor, length: int) -> torch.BoolTensor:
    """The positions of each row from `start` on that are before `stop`, `(batch, length)`."""
    positions = torch.arange(length, device=start.device)
    return (positions >= start[:, None]) & (positions < stop[:, None])


def explain_misfit(automaton: TokenAutomaton, room: int, is_gap: bool) -> str:
    """Why no text of a constraint fits into the canvas."""
    min_length = int(automaton.distance[0])
    if min_length >= len(automaton.table):
        return (
            "`constraint` must allow a text of tokens that the model may propose, but each one needs a token that is ruled out. "
            "Leave out `suppress_tokens`, and `logits_eos_inf`."
        )
    if min_length > room:
        way_out = "Put as many masks into the prompt." if is_gap else f"Set `max_new_tokens` to at least {min_length}."
        return f"`constraint` must allow a text that fits into {room} tokens, but the shortest one has {min_length}. {way_out}"
    if is_gap:
        return (
            f"`constraint` must allow a text that fills the prompt from its first mask to its last one, which are {room} tokens, "
            "and that has the tokens between them, but there is none. Change the number of masks."
        )
    return (
        f"`constraint` must allow a text of exactly {room} tokens, since no token may end it earlier, but there is none. Change "
        "`max_new_tokens`, or pass an `eos_token_id` and no `logits_eos_inf`."
    )


__all__ = ["CanvasConstraint", "ConstrainedDenoiser"]
