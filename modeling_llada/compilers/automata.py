# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From a regular expression to an automaton over the tokens of a vocabulary.

outlines-core compiles the expression to an automaton over bytes. A token is then a function: it leads each state to another
one, or nowhere. Tokens with the same function form a class, and there are few of them, so a token only costs as many
look-ups as it has bytes.
"""

import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ..models.constraints_llada import TokenAutomaton
from .expressions import MAX_CHARACTERS, size_of, tokens
from .token_texts import TokenTexts


MAX_STATES_ASKED_FOR = 100_000  # with repetitions written out. Equal ones may be fewer.
MAX_STATES = 50_000  # of the automaton over bytes
MAX_TRANSITIONS = 2**25  # of the automaton over tokens, a dense table of 256 MiB
MAX_MERGE_STEPS = 2**20  # rounds times states in the search for equal states
# Expressions that ask for fewer have never too many in the end.
NUM_HARMLESS_STATES = 64
TRIAL_SECONDS = 5
TRIAL_BYTES = 2**30


@dataclass(frozen=True)
class Expression:
    """
    A regular expression, and where it comes from.

    Args:
        pattern (`str`): The expression.
        argument (`str`, defaults to `"pattern"`): The argument that errors name.
        is_tame (`bool`, defaults to `False`): The automaton has not many more states than the expression asks for. Of others
            this is tried first.
    """

    pattern: str
    argument: str = "pattern"
    is_tame: bool = False

    def check_size(self) -> None:
        """Raises a `ValueError` if the expression is too large to compile. This takes no long time and no memory."""
        if len(self.pattern) > MAX_CHARACTERS:
            raise self.too_large(f"has {len(self.pattern):,} characters", MAX_CHARACTERS)
        num_states = size_of(self.pattern).num_states
        if num_states > MAX_STATES_ASKED_FOR:
            raise self.too_large(
                f"asks for about {num_states:,} states with its repetitions written out", MAX_STATES_ASKED_FOR
            )
        if not self.is_tame and num_states > NUM_HARMLESS_STATES:
            self.check_num_states(try_to_count_states(self.pattern))

    def check_repetitions(self) -> None:
        """Raises a `ValueError` for `a?+`. Python takes no step back there, but outlines-core repeats the repetition."""
        for (kind, first), (next_kind, second) in pairwise(tokens(self.pattern)):
            if kind == next_kind == "repeat":
                raise ValueError(
                    f"`{self.argument}` must have no repetition of a repetition, and none that is possessive, but "
                    f"{shorten(self.pattern)} has {first + second!r}. Write it with brackets, as in `(?:a?)+`."
                )

    def check_num_states(self, num_states: int | None) -> None:
        if num_states is None or num_states > MAX_STATES:
            number = "too many" if num_states is None else f"{num_states:,}"
            raise self.too_large(f"has {number} states", MAX_STATES)

    def too_large(self, what: str, limit: int) -> ValueError:
        return ValueError(
            f"`{self.argument}` must be small enough to compile, but the expression {shorten(self.pattern)} {what}; the limit is "
            f"{limit:,}. Ask for less: smaller bounds, `*` instead of a large bound, `[a-z]` or `[^ ]` instead of `\\w`, or an answer "
            "in parts."
        )


def shorten(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 200 else f"{pattern[:200]}...")


@dataclass(frozen=True)
class ByteAutomaton:
    """
    A deterministic automaton that reads bytes. It starts in state 0.

    Args:
        table (`np.ndarray` of shape `(num_states, 256)`): The state after each byte, -1 for none.
        accepting (`np.ndarray` of shape `(num_states,)`): The states in which a text may end.
    """

    table: np.ndarray
    accepting: np.ndarray


def compile_expression(expression: Expression, texts: TokenTexts) -> TokenAutomaton:
    """The automaton of an expression over a vocabulary."""
    expression.check_size()
    expression.check_repetitions()
    automaton = byte_automaton(expression)
    automaton = with_fewer_states(automaton)
    if texts.first_space_is_lost:
        automaton = with_first_space(automaton)
    result = over_tokens(automaton, texts, expression)
    if result is None:
        raise ValueError(
            f"`{expression.argument}` must match a text that tokens of the vocabulary spell, but none spell one that matches "
            f"{shorten(expression.pattern)}."
        )
    return result


# From an expression to an automaton over bytes


def build_index(expression: Expression) -> "outlines_core.Index":  # noqa: F821
    """
    The automaton of outlines-core for the pattern between two marks of zero bytes, which no token holds then.

    outlines-core searches for a match, and takes the first one: alone, `a|ab` would be `a`, and nothing would lead on from an
    accepting state. With the mark behind the pattern there is none. A search may also begin anywhere, and the states for that
    can be exponentially many. The empty alternative is a match at the very beginning, so that there are none of these, and
    the mark before the pattern keeps the pattern itself apart from it.

    The tokens here are the single bytes. The mark before the pattern is token 256, and that behind it token 0.
    """
    from outlines_core import Index, Vocabulary  # an optional package

    pattern, tokens = expression.pattern, {bytes([byte]): [byte] for byte in range(256)} | {b"\0\0": [256]}
    try:
        # A pattern like `a)|(b` is only an error outside of brackets. With the empty match in front, this takes no time.
        Index(f"|{pattern}", Vocabulary(1, {b"\0": [0]}))
        return Index(rf"\x00\x00(?:{pattern})\x00|", Vocabulary(257, tokens))
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"`{expression.argument}` must be a regular expression without look-around, back references and anchors (it always "
            f"matches the whole answer), but got {shorten(pattern)}: {error}"
        ) from error


def try_to_count_states(pattern: str) -> int | None:
    """
    The number of states of a pattern, `None` if it takes too long or too much memory. They can be exponentially many, and
    outlines-core has no limit, so another process tries it.
    """
    try:
        trial = subprocess.run(
            [sys.executable, "-P", "-c", TRIAL, str(TRIAL_BYTES)],
            input=pattern.encode(errors="replace"),
            capture_output=True,
            timeout=TRIAL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None
    if trial.returncode == 1:  # an error in the pattern, which is found again
        return 0
    return int(trial.stdout) if trial.returncode == 0 else None


TRIAL = r"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
except ImportError:
    pass
from outlines_core import Index, Vocabulary
tokens = {bytes([byte]): [byte] for byte in range(256)}
print(len(Index(rf"\x00(?:{sys.stdin.buffer.read().decode()})\x00|", Vocabulary(256, tokens)).get_transitions()))
"""


def byte_automaton(expression: Expression) -> ByteAutomaton:
    """The automaton of an expression over bytes."""
    index = build_index(expression)
    marked, ends = index.get_transitions(), index.get_final_states()
    expression.check_num_states(len(marked))
    start = marked[index.get_initial_state()][256]
    states = [start, *sorted(set(marked) - {start})]
    number = {state: i for i, state in enumerate(states)}
    table = np.full((len(states), 256), -1, dtype=np.int32)
    accepting = np.zeros(len(states), dtype=bool)
    for state, row in marked.items():
        steps = {byte: number[target] for byte, target in row.items() if 0 < byte < 256 and target in number}
        table[number[state], list(steps)] = list(steps.values())
        accepting[number[state]] = row.get(0) in ends
    return keep(ByteAutomaton(table, accepting), closure([0], joined(table)))


def with_first_space(automaton: ByteAutomaton) -> ByteAutomaton:
    """
    The automaton of the texts that become those of another one where decoding removes a space at the beginning. It may stand
    there, and it must, where the space behind it belongs to the text.
    """
    table, accepting = automaton.table, automaton.accepting
    needs_space = table[0, ord(" ")] >= 0
    first = np.full((1, 256), -1, dtype=np.int32) if needs_space else np.where(table[:1] >= 0, table[:1] + 1, -1)
    first[0, ord(" ")] = 1
    return ByteAutomaton(
        np.concatenate([first, np.where(table >= 0, table + 1, -1)]).astype(np.int32),
        np.concatenate([accepting[:1] & ~needs_space, accepting]),
    )


def with_fewer_states(automaton: ByteAutomaton) -> ByteAutomaton:
    """
    The automaton with equal states as one. An array has its items twice in an expression, the first one and the others, so that
    nested ones have many equal states. It stays as it is where the search takes long.
    """
    columns, _ = distinct_columns(automaton.table)
    _, block = np.unique(automaton.accepting, return_inverse=True)
    num_blocks, num_rounds = 0, 0
    # States stay in one block as long as all bytes lead them to the same blocks.
    while block.max() + 1 > num_blocks:
        num_blocks, num_rounds = block.max() + 1, num_rounds + 1
        if num_rounds * len(columns) > MAX_MERGE_STEPS:
            return automaton
        rows = np.concatenate([block[:, None], np.append(block, -1)[columns]], axis=1).astype(np.int32)
        keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
        _, block = np.unique(keys, return_inverse=True)
    _, first = np.unique(block, return_index=True)
    states = np.sort(first)  # one of each block, state 0 among them
    number = np.full(len(first) + 1, -1, dtype=np.int32)
    number[block[states]] = np.arange(len(states))
    return ByteAutomaton(number[np.append(block, -1)[automaton.table[states]]], automaton.accepting[states])


# From bytes to tokens


def over_tokens(automaton: ByteAutomaton, texts: TokenTexts, expression: Expression) -> TokenAutomaton | None:
    """The automaton over tokens, `None` if it accepts nothing."""
    functions = TokenFunctions(automaton, expression)
    token_class = np.zeros(texts.size, dtype=np.int64)
    for text, token_ids in texts.tokens.items():
        token_class[token_ids] = functions.of(text)
    used, token_class = np.unique(np.append(token_class, 0), return_inverse=True)
    if len(automaton.table) * len(used) > MAX_TRANSITIONS:
        raise expression.too_large(
            f"has {len(automaton.table):,} states for {len(used):,} kinds of tokens", MAX_TRANSITIONS
        )
    table = np.full((len(automaton.table), len(used)), -1, dtype=np.int64)
    for column, function in enumerate(used):
        sources, targets = functions.values[function]
        table[sources, column] = targets
    useful = useful_states(table, automaton.accepting)
    if 0 not in useful:
        return None
    kept = keep(ByteAutomaton(table, automaton.accepting), useful)
    table, column_class = distinct_columns(kept.table)
    return TokenAutomaton(
        torch.from_numpy(column_class[token_class[:-1]]), torch.from_numpy(table), torch.from_numpy(kept.accepting)
    )


class TokenFunctions:
    """The functions of tokens, numbered. Function 0 leads nowhere. A function is the states that it leads on, and where to."""

    def __init__(self, automaton: ByteAutomaton, expression: Expression):
        columns, byte_class = distinct_columns(automaton.table)
        self.columns, self.expression = columns.T.copy(), expression
        self.byte_class = bytes(byte_class.tolist())  # at most 256 classes
        self.values, self.steps, self.numbers, self.num_transitions = [], [], {}, 0
        nowhere = np.zeros(0, dtype=np.int32)
        self.number_of(nowhere, nowhere)
        every = np.arange(len(automaton.table), dtype=np.int32)
        self.identity = self.number_of(every, every)
        self.known = {}

    def of(self, text: bytes) -> int:
        """The number of the function of a text."""
        text = text.translate(self.byte_class)
        if text not in self.known:
            function = self.identity
            for byte_class in text:
                if function == 0:
                    break
                steps = self.steps[function]
                if byte_class not in steps:
                    sources, targets = self.values[function]
                    targets = self.columns[byte_class][targets]
                    leads_on = targets >= 0
                    steps[byte_class] = self.number_of(sources[leads_on], targets[leads_on])
                function = steps[byte_class]
            self.known[text] = function
        return self.known[text]

    def number_of(self, sources: np.ndarray, targets: np.ndarray) -> int:
        key = sources.tobytes() + targets.tobytes()
        if key not in self.numbers:
            self.numbers[key] = len(self.values)
            self.values.append((sources, targets))
            self.steps.append({})
            self.num_transitions += len(sources)
            if self.num_transitions > MAX_TRANSITIONS:
                raise self.expression.too_large(f"has {self.num_transitions:,} transitions and more", MAX_TRANSITIONS)
        return self.numbers[key]


def distinct_columns(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns of a table without repetitions, and the number of each column among them."""
    columns = np.ascontiguousarray(table.T)
    numbers = {}
    which = np.array([numbers.setdefault(column.tobytes(), len(numbers)) for column in columns], dtype=np.int64)
    _, first = np.unique(which, return_index=True)
    return np.ascontiguousarray(columns[first].T), which


# States


def useful_states(table: np.ndarray, accepting: np.ndarray) -> set[int]:
    """The states on a way from the start to an accepting one."""
    forward = joined(table)
    backward = {}
    for source, targets in forward.items():
        for target in targets:
            backward.setdefault(target, set()).add(source)
    return closure([0], forward) & closure(np.flatnonzero(accepting).tolist(), backward)


def joined(table: np.ndarray) -> dict[int, set[int]]:
    """The states after each state."""
    return {source: set(row[row >= 0].tolist()) for source, row in enumerate(table)}


def closure(states: list[int], joined: dict[int, set[int]]) -> set[int]:
    """All states that can be reached from some."""
    reached, waiting = set(states), list(states)
    while waiting:
        new = joined.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def keep(automaton: ByteAutomaton, states: set[int]) -> ByteAutomaton:
    """The automaton of some states, among them 0."""
    states = sorted(states)
    number = np.full(len(automaton.table) + 1, -1, dtype=automaton.table.dtype)
    number[states] = np.arange(len(states))
    return ByteAutomaton(number[automaton.table[states]], automaton.accepting[states])


__all__ = ["Expression", "compile_expression"]
