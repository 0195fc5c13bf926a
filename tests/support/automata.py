# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Random automata and canvases for the tests of constraints, and their completions by listing all texts."""

from dataclasses import dataclass, replace

import torch

from modeling_llada.models.constraints_llada import Lattice, RowAutomata, TokenAutomaton


@dataclass
class Case:
    """A batch of canvases, each with an automaton, or `None`. The last `num_later` columns have no scores."""

    automata: list[TokenAutomaton | None]
    tokens: torch.LongTensor
    mask: torch.BoolTensor
    log_probs: torch.FloatTensor  # (batch, num_columns, vocab_size)
    num_later: int = 0

    @property
    def num_seen(self) -> int:
        return self.tokens.shape[1] - self.num_later

    def lattice(self) -> Lattice:
        automata, seen = RowAutomata(self.automata, self.log_probs.shape[-1]), self.num_seen
        places = self.mask[:, :seen].flatten().nonzero().squeeze(-1)
        scores = self.log_probs[:, :seen].flatten(0, 1)[places]
        ending = automata.reach(self.tokens[:, seen:], self.mask[:, seen:])[0]
        return Lattice(automata, automata.start(), self.tokens[:, :seen], scores, places, ending)

    def completions(self, row: int) -> tuple[torch.LongTensor, torch.DoubleTensor]:
        """The accepted completions of the columns that are no later ones, `(num, num_seen)`, and their scores."""
        length, vocab_size = self.tokens.shape[1], self.log_probs.shape[-1]
        texts = torch.cartesian_prod(*[torch.arange(vocab_size)] * length).view(-1, length)
        fits = ((texts == self.tokens[row]) | self.mask[row]).all(-1) & accepts(self.automata[row], texts)
        seen = texts[fits, : self.num_seen].unique(dim=0)
        mask = self.mask[row, : self.num_seen]
        scores = self.log_probs[row, : self.num_seen].double()[torch.arange(self.num_seen), seen]
        scores = torch.where(mask, scores, 0).sum(-1)
        return seen[scores > -torch.inf], scores[scores > -torch.inf]

    def commit(self, chosen: torch.BoolTensor, proposal: torch.LongTensor) -> "Case":
        return replace(self, tokens=torch.where(chosen, proposal, self.tokens), mask=self.mask & ~chosen)


def accepts(automaton: TokenAutomaton | None, texts: torch.LongTensor) -> torch.BoolTensor:
    """Whether the automaton accepts each text, `(num, length)`."""
    states = torch.zeros(len(texts), dtype=torch.long)
    if automaton is None:
        return states == 0
    for tokens in texts.unbind(-1):
        states = torch.where(states < 0, -1, automaton.table[states, automaton.token_class[tokens]])
    return (states >= 0) & automaton.accepting[states]


def random_automaton(generator: torch.Generator, vocab_size: int) -> TokenAutomaton:
    """Up to four states. Every second one is for a canvas, where an EOS and pads may follow the text."""
    num_states, num_classes, pad, has_ending = torch.randint(0, 4, (4,), generator=generator).tolist()
    num_states, num_classes = num_states + 1, num_classes + 1
    table = torch.randint(-1, num_states, (num_states, num_classes), generator=generator)
    table[:, 0] = -1
    token_class = torch.randint(0, num_classes, (vocab_size,), generator=generator)
    automaton = TokenAutomaton(token_class, table, torch.rand(num_states, generator=generator) < 0.5)
    return automaton.with_ending([0], pad_token_id=pad % 2) if has_ending % 2 else automaton


def random_case(seed: int, batch_size: int = 48, with_later: bool = True) -> Case:
    """A batch of random rows with 16 automata, one of them `None`, of up to four columns and four tokens."""
    generator = torch.Generator().manual_seed(seed)
    length, vocab_size = 1 + seed % 4, 2 + seed // 4 % 3
    automata = [random_automaton(generator, vocab_size) for _ in range(15)] + [None]
    logits = 3 * torch.randn(batch_size, length, vocab_size, generator=generator)
    logits[torch.rand(logits.shape, generator=generator) < 0.1] = -torch.inf
    return Case(
        automata=[automata[row % 16] for row in range(batch_size)],
        tokens=torch.randint(0, vocab_size, (batch_size, length), generator=generator),
        mask=torch.rand(batch_size, length, generator=generator) < 0.8,
        log_probs=normalize(logits),
        num_later=int(torch.randint(0, length, (), generator=generator)) if with_later else 0,
    )


def normalize(logits: torch.FloatTensor) -> torch.FloatTensor:
    return logits.log_softmax(-1).masked_fill(logits == -torch.inf, -torch.inf)
