# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""Constraints: an automaton over tokens, and the completions of a canvas that it accepts.

Some columns of a canvas are decided and others hold a mask. An automaton reads the columns from left to right, so the
canvas and the automaton together form a *lattice*: each accepted completion is one path through the pairs
`(column, state)`. Sums and maxima over all paths take one pass from the right (and one from the left for marginals).

Tokens that lead every state to the same next state form a *class*. The classes that lead from one state to another form a
*token set*. A column gives each class a weight and each set a weight, once for all states, and a step of a pass only looks
at pairs of states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch.nn import functional as F

from .group_sums_llada import Groups, Sweep, columns_at_once
from .sampling_llada import widest_float


class Pairs(NamedTuple):
    """
    The pairs of states `(source, target)` with a transition between them, each `(num_pairs,)`, the token set of each pair,
    and the classes in each set, `(num_sets, num_classes)`.
    """

    source: torch.LongTensor
    target: torch.LongTensor
    token_set: torch.LongTensor
    members: torch.BoolTensor


@dataclass
class TokenAutomaton:
    """
    A deterministic automaton that reads tokens. It starts in state 0.

    Args:
        token_class (`torch.LongTensor` of shape `(vocab_size,)`): The class of each token. Tokens of class 0 are accepted
            nowhere.
        table (`torch.LongTensor` of shape `(num_states, num_classes)`): The state after a token of a class, -1 for none.
        accepting (`torch.BoolTensor` of shape `(num_states,)`): The states in which a text may end.

    Example, for texts of one or two tokens that are 1 or 2:

    ```python
    >>> automaton = TokenAutomaton(
    ...     token_class=torch.tensor([0, 1, 1]),
    ...     table=torch.tensor([[-1, 1], [-1, 2], [-1, -1]]),
    ...     accepting=torch.tensor([False, True, True]),
    ... )
    >>> automaton.distance
    tensor([1, 0, 0])
    ```
    """

    token_class: torch.LongTensor
    table: torch.LongTensor
    accepting: torch.BoolTensor

    @classmethod
    def allow_all(cls, vocab_size: int) -> "TokenAutomaton":
        """The automaton of a row without a constraint: every token at every place."""
        table = torch.tensor([[-1, 0]])
        return cls(torch.ones(vocab_size, dtype=torch.long), table, torch.ones(1, dtype=torch.bool))

    def with_ending(self, eos_token_ids: Sequence[int], pad_token_id: int) -> "TokenAutomaton":
        """
        The automaton of a canvas, where a text may end before the last column: with an EOS, and pads or further EOS
        behind it. A text that fills the canvas needs none. These tokens mean nothing else.
        """
        (num_states, num_classes), eos = self.table.shape, list(eos_token_ids)
        num_missing = max([*eos, pad_token_id]) + 1 - len(self.token_class)
        token_class = F.pad(self.token_class, (0, max(0, num_missing)))
        token_class[pad_token_id] = num_classes + 1
        token_class[eos] = num_classes
        table = F.pad(self.table, (0, 2, 0, 1), value=-1)
        table[:-1, num_classes] = torch.where(self.accepting, num_states, -1)
        table[-1, num_classes:] = num_states
        return TokenAutomaton(token_class, table, F.pad(self.accepting, (0, 1), value=True))

    @cached_property
    def pairs(self) -> Pairs:
        """The transitions, grouped by the pair of states that they join."""
        sources, targets, token_sets, sets = [], [], [], {}
        for source, row in enumerate(self.table):
            for target in row[row >= 0].unique().tolist():
                members = row == target
                key = members.numpy().tobytes()
                index, _ = sets.setdefault(key, (len(sets), members))
                sources.append(source)
                targets.append(target)
                token_sets.append(index)
        members = [members for _, members in sets.values()]
        return Pairs(
            *(torch.tensor(values, dtype=torch.long) for values in (sources, targets, token_sets)),
            torch.stack(members) if members else torch.zeros(0, self.table.shape[1], dtype=torch.bool),
        )

    @cached_property
    def distance(self) -> torch.LongTensor:
        """The least number of tokens from each state to an accepting one, and the number of states if there is no way."""
        num_states = len(self.table)
        distance = torch.where(self.accepting, 0, num_states)
        for _ in range(num_states):
            step = (distance[self.pairs.target] + 1).clamp(max=num_states)
            shorter = distance.scatter_reduce(0, self.pairs.source, step, "amin")
            if torch.equal(shorter, distance):
                break
            distance = shorter
        return distance


class RowAutomata:
    """
    The automata of the rows of a batch, on a device. Rows may share one. A state is an index into the states of the
    automaton of its row, and `num_states - 1` is the state after a token that was not accepted.

    Args:
        automata (sequence of [`TokenAutomaton`] or `None`): One for each row; `None` for a row without a constraint.
        vocab_size (`int`): The number of logits of the model.
        device (`torch.device`): The device of the canvas.
        never (sequence of `int`): Tokens that no mask will become, but that decided columns may have.

    Raises:
        `ValueError`: if an automaton accepts tokens that the model does not have.
    """

    def __init__(
        self,
        automata: Sequence[TokenAutomaton | None],
        vocab_size: int,
        device: torch.device | str = "cpu",
        never: Sequence[int] = (),
    ):
        allow_all = TokenAutomaton.allow_all(vocab_size)
        rows = [allow_all if automaton is None else automaton for automaton in automata]
        distinct = list({id(automaton): automaton for automaton in rows}.values())
        for automaton in distinct:
            if automaton.token_class[vocab_size:].any():
                raise ValueError(
                    f"`constraint` must accept only tokens of the model, which has {vocab_size}, but got one that accepts "
                    f"token {int(automaton.token_class.nonzero()[-1])}. Compile it with the tokenizer of the model."
                )
        number = {id(automaton): index for index, automaton in enumerate(distinct)}
        which = torch.tensor([number[id(automaton)] for automaton in rows])
        self.batch_size, self.vocab_size, self.never = len(rows), vocab_size, never
        self.num_states = max(len(automaton.table) for automaton in distinct) + 1
        self.num_classes = max(automaton.table.shape[1] for automaton in distinct)
        self.num_sets = max(len(automaton.pairs.members) for automaton in distinct)
        nowhere = self.num_states - 1

        def stack(tensors: list[torch.Tensor], shape: tuple[int, ...], value) -> torch.Tensor:
            stacked = tensors[0].new_full((len(tensors), *shape), value)
            for target, tensor in zip(stacked, tensors, strict=True):
                target[tuple(slice(size) for size in tensor.shape)] = tensor
            return stacked

        token_class = stack([automaton.token_class[:vocab_size] for automaton in distinct], (vocab_size,), 0)
        is_proposed = torch.ones(vocab_size, dtype=torch.bool)
        is_proposed[list(never)] = False
        has_tokens = [classes[is_proposed].bincount(minlength=self.num_classes) > 0 for classes in token_class]
        tables = [automaton.table.masked_fill(automaton.table < 0, nowhere) for automaton in distinct]
        accepting = stack([automaton.accepting for automaton in distinct], (self.num_states,), False)
        self.which, self.token_class = which.to(device), token_class.to(device)
        self.dtype = widest_float(self.which.device)
        self.table = stack(tables, (self.num_states, self.num_classes), nowhere).to(device)
        self.accepting, self.has_tokens = accepting[which].to(device), torch.stack(has_tokens)[which].to(device)
        self.rows = [(which == index).nonzero().squeeze(-1).to(device) for index in range(len(distinct))]
        self.class_groups = [Groups(classes, self.num_classes, device) for classes in token_class]
        # The classes of each set, as a list of entries `(set, class)`.
        entries = [automaton.pairs.members.nonzero().unbind(-1) for automaton in distinct]
        self.entries = [(sets.to(device), classes.to(device)) for sets, classes in entries]
        self.set_groups = [Groups(sets, self.num_sets, device) for sets, _ in entries]
        self.sets_by_class = [Groups(classes, self.num_classes, device) for _, classes in entries]

        # The pairs of all rows, with indices into the flattened states and sets of the batch.
        pairs = [automaton.pairs for automaton in rows]
        source = torch.cat([pair.source + row * self.num_states for row, pair in enumerate(pairs)])
        target = torch.cat([pair.target + row * self.num_states for row, pair in enumerate(pairs)])
        token_set = torch.cat([pair.token_set + row * self.num_sets for row, pair in enumerate(pairs)])
        num_states, num_sets = self.batch_size * self.num_states, self.batch_size * self.num_sets
        self.source, self.target = source.to(device), target.to(device)
        self.by_set = Groups(token_set, num_sets, device)
        self.backward = Sweep(target, source, token_set, num_states, device)
        # Backward and forward at once: each step of a sweep takes as long for both as for one.
        self.both = Sweep(
            torch.cat([target, source + num_states]),
            torch.cat([source, target + num_states]),
            torch.cat([token_set, token_set + num_sets]),
            2 * num_states,
            device,
        )

    def start(self) -> torch.LongTensor:
        """The first state of each row, `(batch,)`."""
        return torch.zeros_like(self.which)

    def advance(
        self, states: torch.LongTensor, tokens: torch.LongTensor, inside: torch.BoolTensor | None = None
    ) -> torch.LongTensor:
        """The states, `(batch,)`, after decided tokens, `(batch, num_columns)`, of which those `inside` are read."""
        for column, classes in enumerate(self.classes_of(tokens).unbind(-1)):
            after = self.table[self.which, states, classes]
            states = after if inside is None else torch.where(inside[:, column], after, states)
        return states

    def reach(
        self, tokens: torch.LongTensor, mask: torch.BoolTensor, inside: torch.BoolTensor | None = None
    ) -> torch.BoolTensor:
        """
        From which states each column and those behind it lead to an accepting state, `(num_columns + 1, batch, num_states)`.
        Nothing is known of masked columns, so this depends on how many columns are left, and on the decided ones.
        """
        is_decided = F.one_hot(self.classes_of(tokens), self.num_classes).bool()
        allowed = torch.where(mask[..., None], self.has_tokens[:, None], is_decided)
        weights = self.set_weights(torch.amax, as_log(allowed)).flip(0)
        if inside is not None:
            inside = self.by_state(inside).flip(0)
        messages = self.backward.run(weights, as_log(self.accepting).flatten(), torch.amax, inside).flip(0)
        return messages.unflatten(1, (self.batch_size, self.num_states)) > -torch.inf

    def classes_of(self, tokens: torch.LongTensor) -> torch.LongTensor:
        """The class of each token in the automaton of its row. Placeholders of images may lie behind the vocabulary."""
        return self.token_class[self.which[:, None], tokens.clamp(max=self.vocab_size - 1)]

    def set_weights(self, how: Callable, class_weights: torch.FloatTensor) -> torch.FloatTensor:
        """
        The weight of each token set of the batch in each column, `(num_columns, batch * num_sets)`, from those of the classes,
        `(batch, num_columns, num_classes)`.
        """
        weights = class_weights.new_full((*class_weights.shape[:-1], self.num_sets), -torch.inf)
        for rows, (_, classes), groups in zip(self.rows, self.entries, self.set_groups, strict=True):
            weights[rows] = groups.reduce(class_weights[rows].index_select(-1, classes), how)
        return weights.transpose(0, 1).flatten(1)

    def by_state(self, inside: torch.BoolTensor) -> torch.BoolTensor:
        """`(batch, num_columns)` for each state of the batch, `(num_columns, batch * num_states)`."""
        return inside.t().repeat_interleave(self.num_states, dim=1)


@dataclass(eq=False)
class Lattice:
    """
    The completions of some columns of a canvas that the automaton of each row accepts. The columns before them are
    decided: `states` says where they led to. The columns behind them are in `ending`, which says whether they can be filled:
    it is never a count.

    Args:
        automata ([`RowAutomata`]): The automata of the rows.
        states (`torch.LongTensor` of shape `(batch,)`): The states before the first column.
        tokens (`torch.LongTensor` of shape `(batch, num_columns)`): The tokens of decided columns.
        scores (`torch.FloatTensor` of shape `(num_predicted, vocab_size)`): Logits or log-probabilities of the other columns;
            -inf rules a token out.
        places (`torch.LongTensor` of shape `(num_predicted,)`): Their places in the flattened columns.
        ending (`torch.BoolTensor` of shape `(batch, num_states)`, *optional*): The states after the last column from which
            the rest of the canvas can be filled. By default there is no rest.
        inside (`torch.BoolTensor` of shape `(batch, num_columns)`, *optional*): The columns that the automata read; by default
            all of them.
        is_open (`torch.BoolTensor` of shape `(batch, num_columns)`, *optional*): Which columns with scores are not decided; by
            default all of them. The others count by their token, and may be given another one.

    Example:

    ```python
    >>> automata = RowAutomata([automaton], vocab_size=3)
    >>> tokens = torch.zeros(1, 2, dtype=torch.long)
    >>> lattice = Lattice(automata, automata.start(), tokens, log_probs, places=torch.arange(2))
    >>> tokens, score = lattice.best()
    ```
    """

    automata: RowAutomata
    states: torch.LongTensor
    tokens: torch.LongTensor
    scores: torch.FloatTensor
    places: torch.LongTensor
    ending: torch.BoolTensor | None = None
    inside: torch.BoolTensor | None = None
    is_open: torch.BoolTensor | None = None

    def __post_init__(self) -> None:
        self.scores = self.scores.float()

    def best(self) -> tuple[torch.LongTensor, torch.FloatTensor]:
        """
        The accepted completion of the highest score.

        Returns:
            The tokens, `(batch, num_columns)`, and the sum of their scores, `(batch,)`. A sum of -inf says that the row has
            no completion, and its tokens mean nothing.
        """
        weights = self.class_weights(torch.amax, self.scores)
        messages = self.pass_back(torch.amax, weights)
        return self.pick(self.walk(weights, messages), self.scores), self.at_start(messages)

    def sample(self, temperature: float, uniform: torch.FloatTensor) -> torch.LongTensor:
        """
        A sample of the accepted completions, with probabilities in proportion to `exp(score / temperature)`.

        Args:
            temperature (`float`): Above 0.
            uniform (`torch.FloatTensor` of shape `(num_predicted, vocab_size)`): Random numbers in (0, 1).
        """
        # At a very low temperature, tokens that are not ruled out must not become so, for they may be all that is accepted.
        top = self.scores.amax(-1, keepdim=True)
        scaled = self.scores - top.clamp(min=torch.finfo(top.dtype).min)
        scaled = (scaled.to(self.automata.dtype) / temperature).clamp(min=-1e30)
        scaled = scaled.masked_fill(self.scores == -torch.inf, -torch.inf)
        messages = self.pass_back(torch.logsumexp, self.class_weights(torch.logsumexp, scaled.float()))
        noisy = scaled - (-uniform.log()).log()
        return self.pick(self.walk(self.class_weights(torch.amax, noisy), messages), noisy)

    def total(self) -> torch.FloatTensor:
        """The logarithm of the sum of `exp(score)` over all accepted completions, `(batch,)`."""
        return self.at_start(self.sums[0])

    def constrain(self, scores: torch.FloatTensor) -> torch.FloatTensor:
        """
        Adds to the score of each token what its class is worth given the constraint and the decided columns,
        `(num_predicted, vocab_size)`: the softmax is then its probability over all accepted completions. That is 0 in a row
        without a constraint, and -inf in a row without a completion.
        """
        around = self.around.flatten(0, 1)[self.places]
        weights = around + self.class_sums.flatten(0, 1)[self.places]
        top = around.gather(1, weights.argmax(-1, keepdim=True))
        around = (around - top.masked_fill(top == -torch.inf, 0)).float()
        return scores + around.gather(1, self.token_classes())

    def commit_together(
        self, proposal: torch.LongTensor, commit: torch.BoolTensor, priority: torch.FloatTensor | None = None
    ) -> torch.BoolTensor:
        """
        The tokens of a set that can be committed in one step. Two tokens that each fit may not fit together; those that
        are returned lie together on one accepted path, so that the other columns can still be filled, with tokens that
        have a score above -inf.

        Args:
            proposal (`torch.LongTensor` of shape `(batch, num_columns)`): A token for each column.
            commit (`torch.BoolTensor` of shape `(batch, num_columns)`): The columns that are wanted, all of them with scores.
            priority (`torch.FloatTensor` of shape `(batch, num_columns)`, *optional*): The largest sum of these positive
                numbers wins. By default the largest number of columns.

        Returns:
            `torch.BoolTensor` of shape `(batch, num_columns)`: The columns to commit, a subset of `commit`: all of them if
            they lie on one path, and none in a row without a completion.
        """
        automata = self.automata
        priority = torch.ones_like(proposal, dtype=automata.dtype) if priority is None else priority.to(automata.dtype)
        wanted = commit if self.inside is None else commit & self.inside
        allowed = self.class_sums > -torch.inf
        proposed = self.scores.gather(1, proposal.flatten()[self.places, None]).squeeze(1)
        has_score = torch.zeros_like(commit).flatten().index_copy(0, self.places, proposed > -torch.inf)
        proposed_class = automata.classes_of(proposal)
        is_proposed = F.one_hot(proposed_class, automata.num_classes).bool()
        is_proposed &= (wanted & has_score.view(commit.shape))[..., None]
        weights = torch.where(is_proposed, priority[..., None], as_log(allowed))
        messages = self.pass_back(torch.amax, weights)
        found = self.at_start(messages)
        # Where one is missing, the sum is smaller by at least the least priority.
        all_priorities = torch.where(wanted, priority, 0).sum(-1)
        least = torch.where(wanted, priority, torch.inf).amin(-1)
        if ((found > all_priorities - least / 2) | ~wanted.any(-1)).all():
            return commit
        is_met = (self.walk(weights, messages) == proposed_class) & (found > -torch.inf)[:, None]
        return commit & (is_proposed.any(-1) & is_met | ~wanted)

    # The weights of a column

    @cached_property
    def open_index(self) -> torch.LongTensor | slice:
        """Which scores are those of columns that are not decided."""
        return slice(None) if self.is_open is None else self.is_open.flatten()[self.places].nonzero().squeeze(-1)

    @cached_property
    def class_sums(self) -> torch.FloatTensor:
        return self.class_weights(torch.logsumexp, self.scores)

    def token_classes(self) -> torch.LongTensor:
        """The class of each token at each column with scores, `(num_predicted, vocab_size)`."""
        token_class = self.automata.token_class
        if len(token_class) == 1:
            return token_class.expand(len(self.places), -1)
        return token_class[self.automata.which[self.places // max(1, self.tokens.shape[1])]]

    def class_weights(self, how: Callable, scores: torch.FloatTensor) -> torch.FloatTensor:
        """The weight of each class in each column, `(batch, num_columns, num_classes)`."""
        automata, (batch_size, num_columns) = self.automata, self.tokens.shape
        is_decided = F.one_hot(automata.classes_of(self.tokens), automata.num_classes).bool()
        weights = as_log(is_decided).flatten(0, 1).to(automata.dtype)
        for index, groups in enumerate(automata.class_groups):
            places, rows = self.places[self.open_index], scores[self.open_index]
            if len(automata.class_groups) > 1:
                chosen = automata.which[places // max(1, num_columns)] == index
                places, rows = places[chosen], rows[chosen]
            weights = weights.index_copy(0, places, groups.reduce(rows, how).to(automata.dtype))
        return weights.view(batch_size, num_columns, automata.num_classes)

    # The passes over the columns

    def pass_back(self, how: Callable, class_weights: torch.FloatTensor) -> torch.FloatTensor:
        """
        The maximum or sum over all ways from each state to the end, before each column and behind the last:
        `(num_columns + 1, batch * num_states)`.
        """
        automata = self.automata
        inside = None if self.inside is None else automata.by_state(self.inside).flip(0)
        weights = automata.set_weights(how, class_weights).flip(0)
        return automata.backward.run(weights, self.last_message(), how, inside).flip(0)

    def last_message(self) -> torch.FloatTensor:
        """0 for the states behind the last column from which the rest can be filled, and -inf for the others."""
        return (
            as_log(self.automata.accepting if self.ending is None else self.ending).to(self.automata.dtype).flatten()
        )

    @cached_property
    def sums(self) -> tuple[torch.FloatTensor, torch.FloatTensor]:
        """
        The sums over all ways from each state to the end, and from the states of the rows to each state, both before each
        column and behind the last: `(num_columns + 1, batch * num_states)`.
        """
        automata = self.automata
        weights = automata.set_weights(torch.logsumexp, self.class_sums)
        inside = None
        if self.inside is not None:
            inside = automata.by_state(self.inside)
            inside = torch.cat([inside.flip(0), inside], dim=1)
        first = as_log(F.one_hot(self.states, automata.num_states).bool()).to(automata.dtype)
        message = torch.cat([self.last_message(), first.flatten()])
        messages = automata.both.run(torch.cat([weights.flip(0), weights], dim=1), message, torch.logsumexp, inside)
        backward, forward = messages.chunk(2, dim=1)
        return backward.flip(0), forward

    @cached_property
    def around(self) -> torch.FloatTensor:
        """The sum over all ways that come to a class in a column and go on from it, `(batch, num_columns, num_classes)`."""
        automata, (backward, forward) = self.automata, self.sums
        columns = columns_at_once(len(automata.source))
        ways = torch.cat(
            [
                automata.by_set.reduce(
                    before.index_select(1, automata.source) + behind.index_select(1, automata.target), torch.logsumexp
                )
                for before, behind in zip(forward[:-1].split(columns), backward[1:].split(columns), strict=True)
            ]
        ).unflatten(1, (automata.batch_size, automata.num_sets))
        around = ways.new_full((*ways.shape[:2], automata.num_classes), -torch.inf).transpose(0, 1)
        for rows, (sets, _), groups in zip(automata.rows, automata.entries, automata.sets_by_class, strict=True):
            by_class = groups.reduce(ways[:, rows].index_select(-1, sets), torch.logsumexp)
            around[rows] = by_class.transpose(0, 1)
        return around if self.inside is None else around.masked_fill(~self.inside[..., None], 0.0)

    def at_start(self, messages: torch.FloatTensor) -> torch.FloatTensor:
        """What a pass from the right found for the states of the rows, `(batch,)`."""
        return messages[0].view(-1, self.automata.num_states).gather(1, self.states[:, None]).squeeze(1)

    def walk(self, weights: torch.FloatTensor, messages: torch.FloatTensor) -> torch.LongTensor:
        """
        From left to right, the class of each column that is best by its weight and by what follows the state that it leads
        to: `(batch, num_columns)`. With Gumbel noise in the weights and sums in the messages this draws a sample.
        """
        automata, states, chosen = self.automata, self.states, []
        for column, message in enumerate(messages[1:].unflatten(1, (automata.batch_size, automata.num_states))):
            after = automata.table[automata.which, states]
            best = (weights[:, column] + message.gather(1, after)).argmax(-1, keepdim=True)
            after = after.gather(1, best).squeeze(1)
            states = after if self.inside is None else torch.where(self.inside[:, column], after, states)
            chosen.append(best)
        return torch.cat(chosen, dim=1) if chosen else self.tokens

    def pick(self, classes: torch.LongTensor, scores: torch.FloatTensor) -> torch.LongTensor:
        """The best token of a class for each column that is not decided; of any class where the automata do not read."""
        is_other = self.token_classes() != classes.flatten()[self.places, None]
        if self.inside is not None:
            is_other &= self.inside.flatten()[self.places, None]
        best = scores.masked_fill(is_other, -torch.inf).argmax(-1)[self.open_index]
        return self.tokens.flatten().index_copy(0, self.places[self.open_index], best).view(self.tokens.shape)


def as_log(allowed: torch.BoolTensor) -> torch.FloatTensor:
    """0 where something is allowed, and -inf elsewhere."""
    return torch.zeros_like(allowed, dtype=torch.float32).masked_fill(~allowed, -torch.inf)


__all__ = ["Lattice", "RowAutomata", "TokenAutomaton"]
