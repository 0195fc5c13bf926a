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


class Groups:
    """
    Reduces values by groups. Each level gathers up to 32 values of one group side by side and reduces them, until one
    value a group is left. Unlike sums by atomic additions, the result is the same in every run on a GPU.

    Args:
        group (`torch.LongTensor` of shape `(num_values,)`): The group of each value.
        num_groups (`int`): The number of groups. The result of an empty one is -inf.
    """

    def __init__(self, group: torch.LongTensor, num_groups: int):
        self.levels = []
        while not self.levels or len(group) > num_groups:
            size = group.bincount(minlength=num_groups)
            mean_size = max(1, len(group) // max(1, int((size > 0).sum())))
            width = min(32, 2 ** mean_size.bit_length())
            num_chunks = ((size + width - 1) // width).clamp(min=1)
            order = group.argsort(stable=True)
            group = group[order]
            rank = torch.arange(len(group), device=group.device) - (size.cumsum(0) - size)[group]
            chunk = (num_chunks.cumsum(0) - num_chunks)[group] + rank // width
            # The value behind the last one is -inf.
            index = group.new_full((int(num_chunks.sum()), width), len(group))
            index[chunk, rank % width] = order
            self.levels.append(index)
            group = torch.arange(num_groups, device=group.device).repeat_interleave(num_chunks)

    def reduce(self, values: torch.Tensor, how: Callable) -> torch.Tensor:
        """Reduces `(..., num_values)` to `(..., num_groups)` by `torch.amax` or `torch.logsumexp`."""
        for index in self.levels:
            values = how(F.pad(values, (0, 1), value=-torch.inf)[..., index], dim=-1)
        return values


class RowAutomata:
    """
    The automata of the rows of a batch, on a device. Rows may share one. A state is an index into the states of the
    automaton of its row, and `num_states - 1` is the state after a token that was not accepted.

    Args:
        automata (sequence of [`TokenAutomaton`] or `None`): One for each row; `None` for a row without a constraint.
        vocab_size (`int`): The number of logits of the model.
        device (`torch.device`): The device of the canvas.

    Raises:
        `ValueError`: if an automaton accepts tokens that the model does not have.
    """

    def __init__(self, automata: Sequence[TokenAutomaton | None], vocab_size: int, device: torch.device | str = "cpu"):
        allow_all = TokenAutomaton.allow_all(vocab_size)
        rows = [allow_all if automaton is None else automaton for automaton in automata]
        distinct = list({id(automaton): automaton for automaton in rows}.values())
        for automaton in distinct:
            if automaton.token_class[vocab_size:].any():
                raise ValueError(
                    f"`automata` must accept only tokens of the model, which has {vocab_size}, but got one that accepts "
                    f"token {int(automaton.token_class.nonzero()[-1])}. Compile it with the tokenizer of the model."
                )
        number = {id(automaton): index for index, automaton in enumerate(distinct)}
        which = torch.tensor([number[id(automaton)] for automaton in rows])
        self.batch_size, self.vocab_size = len(rows), vocab_size
        self.num_states = max(len(automaton.table) for automaton in distinct) + 1
        self.num_classes = max(automaton.table.shape[1] for automaton in distinct)
        self.num_sets = max(len(automaton.pairs.members) for automaton in distinct)
        nowhere = self.num_states - 1

        def stack(tensors: list[torch.Tensor], shape: tuple[int, ...], value) -> torch.Tensor:
            stacked = tensors[0].new_full((len(tensors), *shape), value)
            for target, tensor in zip(stacked, tensors, strict=True):
                target[tuple(slice(size) for size in tensor.shape)] = tensor
            return stacked.to(device)

        self.which = which.to(device)
        self.token_class = stack([automaton.token_class[:vocab_size] for automaton in distinct], (vocab_size,), 0)
        tables = [automaton.table.masked_fill(automaton.table < 0, nowhere) for automaton in distinct]
        self.table = stack(tables, (self.num_states, self.num_classes), nowhere)
        self.accepting = stack([automaton.accepting for automaton in distinct], (self.num_states,), False)[self.which]
        self.rows = [(which == index).nonzero().squeeze(-1).to(device) for index in range(len(distinct))]
        self.has_tokens = stack(
            [token_class.bincount(minlength=self.num_classes) > 0 for token_class in self.token_class],
            (self.num_classes,),
            False,
        )[self.which]
        self.class_groups = [Groups(token_class, self.num_classes) for token_class in self.token_class]
        # The classes of each set, as a list of entries `(set, class)`.
        self.entries = [automaton.pairs.members.nonzero().to(device).unbind(-1) for automaton in distinct]
        self.set_groups = [Groups(token_set, self.num_sets) for token_set, _ in self.entries]
        self.sets_by_class = [Groups(token_class, self.num_classes) for _, token_class in self.entries]

        # The pairs of all rows, with indices into the flattened states and sets of the batch.
        pairs = [automaton.pairs for automaton in rows]
        self.source = torch.cat([pair.source + row * self.num_states for row, pair in enumerate(pairs)]).to(device)
        self.target = torch.cat([pair.target + row * self.num_states for row, pair in enumerate(pairs)]).to(device)
        self.token_set = torch.cat([pair.token_set + row * self.num_sets for row, pair in enumerate(pairs)]).to(device)
        self.by_source = Groups(self.source, self.batch_size * self.num_states)
        self.by_target = Groups(self.target, self.batch_size * self.num_states)
        self.by_set = Groups(self.token_set, self.batch_size * self.num_sets)

    def start(self) -> torch.LongTensor:
        """The first state of each row, `(batch,)`."""
        return torch.zeros_like(self.which)

    def advance(self, states: torch.LongTensor, tokens: torch.LongTensor) -> torch.LongTensor:
        """The states, `(batch,)`, after decided tokens, `(batch, num_columns)`."""
        for column in tokens.unbind(-1):
            states = self.table[self.which, states, self.token_class[self.which, column]]
        return states

    def ending(self, tokens: torch.LongTensor, mask: torch.BoolTensor) -> torch.FloatTensor:
        """
        From which states the last columns of the canvas lead to an accepting state: 0, or -inf, `(batch, num_states)`.
        Of masked columns nothing else is known, so this is reachability by the number of columns that are left.
        """
        scores = torch.zeros(0, self.vocab_size, device=tokens.device)
        lattice = Lattice(self, self.start(), tokens, mask, scores, self.which.new_zeros(0))
        return lattice.backward(torch.amax, scores)[0][0]


class Lattice:
    """
    The completions of some columns of a canvas that the automaton of each row accepts. The columns before them are
    decided: `states` says where they led to. The columns behind them are in `ending`.

    A masked column without scores adds nothing to a completion but that it can be filled: it is never a count. Such a
    column must not stand before one with scores in its row.

    Args:
        automata ([`RowAutomata`]): The automata of the rows.
        states (`torch.LongTensor` of shape `(batch,)`): The states before the first column.
        tokens (`torch.LongTensor` of shape `(batch, num_columns)`): The tokens of decided columns.
        mask (`torch.BoolTensor` of shape `(batch, num_columns)`): The columns that hold a mask.
        scores (`torch.FloatTensor` of shape `(num_predicted, vocab_size)`): Logits or log-probabilities of masked columns;
            -inf rules a token out.
        places (`torch.LongTensor` of shape `(num_predicted,)`): Their places in the flattened columns.
        ending (`torch.FloatTensor` of shape `(batch, num_states)`, *optional*): What [`RowAutomata.ending`] gives for the
            columns behind. By default there are none.

    Example:

    ```python
    >>> automata = RowAutomata([automaton], vocab_size=3)
    >>> tokens, mask = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool)
    >>> lattice = Lattice(automata, automata.start(), tokens, mask, log_probs, places=torch.arange(2))
    >>> tokens, score = lattice.best()
    ```
    """

    def __init__(
        self,
        automata: RowAutomata,
        states: torch.LongTensor,
        tokens: torch.LongTensor,
        mask: torch.BoolTensor,
        scores: torch.FloatTensor,
        places: torch.LongTensor,
        ending: torch.FloatTensor | None = None,
    ):
        self.automata, self.states, self.tokens, self.mask = automata, states, tokens, mask
        self.scores, self.places = scores.float(), places
        self.ending = as_log(automata.accepting) if ending is None else ending
        predicted = torch.zeros(tokens.numel(), dtype=torch.bool, device=mask.device)
        self.predicted = predicted.index_fill(0, places, True).view(tokens.shape)

    def best(self) -> tuple[torch.LongTensor, torch.FloatTensor]:
        """
        The accepted completion of the highest score.

        Returns:
            The tokens, `(batch, num_columns)`, where columns without scores stay as they were, and the sum of their
            scores, `(batch,)`. A sum of -inf says that the row has no completion, and its tokens mean nothing.
        """
        messages, total = self.backward(torch.amax, self.scores)
        return self.walk(messages, self.scores), total

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
        scaled = (scaled.to(widest_float(scaled.device)) / temperature).clamp(min=-1e30).float()
        scaled = scaled.masked_fill(self.scores == -torch.inf, -torch.inf)
        messages, _ = self.backward(torch.logsumexp, scaled)
        return self.walk(messages, scaled.to(widest_float(scaled.device)) - (-uniform.log()).log())

    def total(self) -> torch.FloatTensor:
        """The logarithm of the sum of `exp(score)` over all accepted completions, `(batch,)`."""
        return self.backward(torch.logsumexp, self.scores)[1]

    def marginals(self) -> torch.FloatTensor:
        """
        The logarithm of the probability of each token at each column with scores, given the constraint and the decided
        columns: `(num_predicted, vocab_size)`, all -inf in a row without a completion. The value of a proposed token is its
        confidence given the constraint.
        """
        automata, num_columns = self.automata, self.tokens.shape[1]
        class_weights = self.class_weights(torch.logsumexp, self.scores)
        set_weights = self.set_weights(torch.logsumexp, class_weights)
        backward, _ = self.pass_back(torch.logsumexp, set_weights)
        forward = self.pass_forward(set_weights)
        # What surrounds each set in each column: all paths that come to its pairs, and all that go on from them.
        around = forward[:-1].flatten(1)[:, automata.source] + backward[1:].flatten(1)[:, automata.target]
        around = automata.by_set.reduce(around, torch.logsumexp).view(
            num_columns, automata.batch_size, automata.num_sets
        )
        around_class = torch.full_like(class_weights, -torch.inf)
        for rows, (token_set, _), groups in zip(automata.rows, automata.entries, automata.sets_by_class, strict=True):
            around_class[rows] = groups.reduce(around[:, rows][..., token_set], torch.logsumexp).transpose(0, 1)
        around_class = around_class.flatten(0, 1)[self.places]
        weights = self.scores + around_class.gather(1, self.token_classes())
        normalizer = weights.logsumexp(-1, keepdim=True)
        return torch.where(normalizer == -torch.inf, -torch.inf, weights - normalizer)

    def commit_together(
        self, proposal: torch.LongTensor, commit: torch.BoolTensor, priority: torch.FloatTensor | None = None
    ) -> torch.BoolTensor:
        """
        The tokens of a set that can be committed in one step. Two tokens that each fit may not fit together; those that
        are returned lie together on one accepted path, so that the other columns can still be filled, with tokens that
        have a score above -inf.

        Args:
            proposal (`torch.LongTensor` of shape `(batch, num_columns)`): A token for each column.
            commit (`torch.BoolTensor` of shape `(batch, num_columns)`): The masked columns that are wanted. Only those
                with scores can be committed.
            priority (`torch.FloatTensor` of shape `(batch, num_columns)`, *optional*): The largest sum of these positive
                numbers wins. By default the largest number of columns.

        Returns:
            `torch.BoolTensor` of shape `(batch, num_columns)`: The columns to commit, a subset of `commit`: all of them if
            they lie on one path, and none in a row without a completion.
        """
        automata = self.automata
        priority = torch.ones_like(proposal, dtype=torch.float32) if priority is None else priority.float()
        allowed = self.class_weights(torch.amax, self.scores) > -torch.inf
        proposed = self.scores.gather(1, proposal.flatten()[self.places, None]).squeeze(1)
        has_score = torch.zeros_like(commit).flatten().index_copy(0, self.places, proposed > -torch.inf)
        commit = commit & has_score.view(commit.shape)
        proposed_class = self.classes_of(proposal)
        bonus = torch.where(commit, priority, 0.0)
        is_proposed = F.one_hot(proposed_class, automata.num_classes).bool() & commit[..., None] & allowed
        weights = torch.where(is_proposed, bonus[..., None], as_log(allowed))
        messages, _ = self.pass_back(torch.amax, self.set_weights(torch.amax, weights))
        states, chosen = self.states, []
        for column in range(self.tokens.shape[1]):
            values = weights[:, column] + messages[column + 1].gather(1, automata.table[automata.which, states])
            best, best_class = values.max(-1)
            wanted = proposed_class[:, column]
            met = commit[:, column] & (values.gather(1, wanted[:, None]).squeeze(1) >= best) & (best > -torch.inf)
            states = automata.table[automata.which, states, torch.where(met, wanted, best_class)]
            chosen.append(met)
        return torch.stack(chosen, dim=1) if chosen else commit

    # The weights of a column

    def classes_of(self, tokens: torch.LongTensor) -> torch.LongTensor:
        """The class of each token in the automaton of its row."""
        return self.automata.token_class[self.automata.which[:, None], tokens]

    def token_classes(self) -> torch.LongTensor:
        """The class of each token at each column with scores, `(num_predicted, vocab_size)`."""
        token_class = self.automata.token_class
        if len(token_class) == 1:
            return token_class.expand(len(self.places), -1)
        return token_class[self.automata.which[self.places // max(1, self.tokens.shape[1])]]

    def class_weights(self, how: Callable, scores: torch.FloatTensor) -> torch.FloatTensor:
        """The weight of each class in each column, `(batch, num_columns, num_classes)`; 0 where there are no scores."""
        automata, (batch_size, num_columns) = self.automata, self.tokens.shape
        is_decided = F.one_hot(self.classes_of(self.tokens.masked_fill(self.mask, 0)), automata.num_classes).bool()
        is_allowed = torch.where(self.mask[..., None], automata.has_tokens[:, None], is_decided)
        weights = as_log(is_allowed).flatten(0, 1).to(scores.dtype)
        for index, groups in enumerate(automata.class_groups):
            places, rows = self.places, scores
            if len(automata.class_groups) > 1:
                chosen = automata.which[places // max(1, num_columns)] == index
                places, rows = places[chosen], scores[chosen]
            weights = weights.index_copy(0, places, groups.reduce(rows, how))
        return weights.view(batch_size, num_columns, automata.num_classes)

    def set_weights(self, how: Callable, class_weights: torch.FloatTensor) -> torch.FloatTensor:
        """The weight of each token set in each column, `(batch, num_columns, num_sets)`."""
        automata = self.automata
        weights = class_weights.new_full((*class_weights.shape[:-1], automata.num_sets), -torch.inf)
        for rows, (_, token_class), groups in zip(automata.rows, automata.entries, automata.set_groups, strict=True):
            weights[rows] = groups.reduce(class_weights[rows][..., token_class], how)
        limit = torch.where(self.mask & ~self.predicted, 0.0, torch.inf)
        return weights.minimum(limit[..., None])

    # The passes over the columns

    def backward(self, how: Callable, scores: torch.FloatTensor) -> tuple[torch.FloatTensor, torch.FloatTensor]:
        """The messages from the right, and the total of each row."""
        return self.pass_back(how, self.set_weights(how, self.class_weights(how, scores)))

    def pass_back(self, how: Callable, set_weights: torch.FloatTensor) -> tuple[torch.FloatTensor, torch.FloatTensor]:
        """
        The maximum or sum over all ways from each state to the end, `(num_columns + 1, batch, num_states)`, up to a number
        for each row and column, and over all ways from the states of the rows, `(batch,)`.
        """
        automata, message, messages, shift = self.automata, self.ending, [self.ending], 0.0
        # Where a sum would be a count.
        limit = torch.where(self.mask & ~self.predicted, 0.0, torch.inf)
        for column in range(self.tokens.shape[1] - 1, -1, -1):
            steps = set_weights[:, column].flatten()[automata.token_set] + message.flatten()[automata.target]
            message = automata.by_source.reduce(steps, how).view(message.shape).minimum(limit[:, column, None])
            message, top = keep_near_zero(message)
            messages.append(message)
            shift = shift + top
        total = message.gather(1, self.states[:, None]).squeeze(1) + shift
        return torch.stack(messages[::-1]), total

    def pass_forward(self, set_weights: torch.FloatTensor) -> torch.FloatTensor:
        """The sum over all ways from the states of the rows to each state, up to a number for each row and column."""
        automata = self.automata
        message = as_log(F.one_hot(self.states, automata.num_states).bool())
        messages = [message]
        for column in range(self.tokens.shape[1]):
            steps = message.flatten()[automata.source] + set_weights[:, column].flatten()[automata.token_set]
            message, _ = keep_near_zero(automata.by_target.reduce(steps, torch.logsumexp).view(message.shape))
            messages.append(message)
        return torch.stack(messages)

    def walk(self, messages: torch.FloatTensor, scores: torch.FloatTensor) -> torch.LongTensor:
        """
        From left to right, the token of each column that is best by its score and by what follows the state that it leads
        to. With Gumbel noise in the scores and sums in the messages this draws a sample.
        """
        automata, states, chosen = self.automata, self.states, []
        weights = self.class_weights(torch.amax, scores)
        for column in range(self.tokens.shape[1]):
            after = automata.table[automata.which, states]
            best_class = (weights[:, column] + messages[column + 1].gather(1, after)).argmax(-1, keepdim=True)
            states = after.gather(1, best_class).squeeze(1)
            chosen.append(best_class)
        if len(self.places) == 0:
            return self.tokens
        chosen_class = torch.cat(chosen, dim=1).flatten()[self.places]
        best = scores.masked_fill(self.token_classes() != chosen_class[:, None], -torch.inf).argmax(-1)
        return self.tokens.flatten().index_copy(0, self.places, best).view(self.tokens.shape)


def as_log(allowed: torch.BoolTensor) -> torch.FloatTensor:
    """0 where something is allowed, and -inf elsewhere."""
    return torch.zeros_like(allowed, dtype=torch.float32).masked_fill(~allowed, -torch.inf)


def keep_near_zero(message: torch.FloatTensor) -> tuple[torch.FloatTensor, torch.FloatTensor]:
    """
    A message without its maximum, and the maximum, `(batch,)`. Long canvases stay precise, and in a row without a
    constraint the message is 0, so that it does not round the scores.
    """
    top = message.amax(-1, keepdim=True).clamp(min=torch.finfo(message.dtype).min)
    return message - top, top.squeeze(-1)


__all__ = ["Lattice", "RowAutomata", "TokenAutomaton"]
