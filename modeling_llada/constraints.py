# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Constraints on an answer: a regular expression, a JSON schema or a list of choices, compiled for a tokenizer.

outlines-core compiles the expression to an automaton over the tokens of the vocabulary; what is kept of it are the
tensors that `models/constraints_llada.py` decodes with.
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from .json_schemas import schema_to_regex
from .models.constraints_llada import TokenAutomaton
from .writing import write_atomically


try:
    from outlines_core import Index, Vocabulary
except ModuleNotFoundError as error:
    raise ImportError(
        f"`Constraint` needs the package {error.name!r}, which is not installed: pip install -e '.[constraints]'"
    ) from error

CACHE_SIZE = 32  # compiled constraints that are kept in memory
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class TokenTexts:
    """
    What each token of a vocabulary spells.

    Args:
        tokens (`dict[bytes, list[int]]`): The tokens that spell some bytes. Special tokens spell nothing.
        size (`int`): The number behind the largest id, also where some ids below it have no token.
        num_tokens (`int`): The number of tokens, with special ones.
        first_space_is_lost (`bool`): Decoding removes a space at the beginning.
        digest (`str`): Tells vocabularies apart.
    """

    tokens: dict[bytes, list[int]]
    size: int
    num_tokens: int
    first_space_is_lost: bool
    digest: str


class Constraint:
    """
    A set of texts that an answer must be one of, compiled for a tokenizer. Make one with [`Constraint.from_regex`],
    [`Constraint.from_choices`] or [`Constraint.from_json_schema`].

    Args:
        pattern (`str`):
            The regular expression.
        automaton ([`~models.constraints_llada.TokenAutomaton`]):
            The automaton over the tokens of the answer, without an EOS and what follows it.
        vocabulary (`str`):
            Tells for which vocabulary it was compiled.

    Example:

    ```python
    >>> from modeling_llada import Constraint

    >>> constraint = Constraint.from_regex("[a-z]{2,4}", tokenizer)
    >>> constraint.check_length(max_new_tokens=16)
    ```
    """

    def __init__(self, pattern: str, automaton: TokenAutomaton, vocabulary: str):
        self.pattern = pattern
        self.automaton = automaton
        self.vocabulary = vocabulary

    @classmethod
    def from_regex(cls, pattern: str, tokenizer: PreTrainedTokenizerBase) -> "Constraint":
        """
        The texts that a regular expression matches as a whole. A pattern is compiled once for a vocabulary: the last 32
        constraints stay in memory.

        Args:
            pattern (`str`):
                In the syntax of Rust's `regex`, which is that of Python without look-around, back references and anchors.
            tokenizer (`PreTrainedTokenizerBase`):
                A fast tokenizer: byte-level, Metaspace, or of whole characters.

        Raises:
            `ValueError`: if the pattern is not supported, no sequence of tokens spells a text that matches, or the tokenizer
            is of another kind.
        """
        if not isinstance(pattern, str):
            raise ValueError(
                f"`pattern` must be a string, but got {type(pattern).__name__}. Give `re.Pattern.pattern`."
            )
        texts = token_texts(tokenizer)
        key = (pattern, texts.digest)
        if key not in COMPILED:
            COMPILED[key] = cls(pattern, compile_pattern(pattern, texts), texts.digest)
        COMPILED.move_to_end(key)
        while len(COMPILED) > CACHE_SIZE:
            COMPILED.popitem(last=False)
        return COMPILED[key]

    @classmethod
    def from_choices(cls, choices: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> "Constraint":
        """
        One of some texts.

        Raises:
            `ValueError`: if `choices` is not a list of texts, or no sequence of tokens spells one of them.
        """
        if isinstance(choices, str) or not choices or not all(isinstance(choice, str) for choice in choices):
            raise ValueError(f"`choices` must be a list of at least one string, but got {choices!r}.")
        return cls.from_regex("|".join(map(re.escape, dict.fromkeys(choices))), tokenizer)

    @classmethod
    def from_json_schema(cls, schema, tokenizer: PreTrainedTokenizerBase) -> "Constraint":
        """
        JSON that validates against a schema. Its properties are in the order of the schema, without others, and with at most
        one space after a colon or comma.

        Args:
            schema (`dict`, `str` or a pydantic model):
                The schema, or its text.
            tokenizer (`PreTrainedTokenizerBase`):
                As for [`Constraint.from_regex`].

        Raises:
            `ValueError`: if the schema has a keyword that is not supported, or is recursive; and as
            [`Constraint.from_regex`].
        """
        return cls.from_regex(schema_to_regex(schema), tokenizer)

    @property
    def min_length(self) -> int:
        """The number of tokens of the shortest text, without an EOS."""
        return int(self.automaton.distance[0])

    def check_length(self, max_new_tokens: int) -> None:
        """Raises a `ValueError` if no text fits into `max_new_tokens`."""
        if self.min_length > max_new_tokens:
            raise ValueError(
                f"`max_new_tokens` must be at least {self.min_length}, the length of the shortest text that the constraint "
                f"allows, but got {max_new_tokens}."
            )

    def save(self, path: str | Path) -> None:
        """Writes the compiled constraint to a file."""
        tensors = {name: getattr(self.automaton, name) for name in ("token_class", "table", "accepting")}
        write_atomically(path, save(tensors, {"pattern": self.pattern, "vocabulary": self.vocabulary}))

    @classmethod
    def load(cls, path: str | Path, tokenizer: PreTrainedTokenizerBase) -> "Constraint":
        """
        Reads what [`Constraint.save`] wrote.

        Raises:
            `ValueError`: if the file holds no constraint, or one for the vocabulary of another tokenizer.
        """
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                automaton = TokenAutomaton(*map(file.get_tensor, ("token_class", "table", "accepting")))
                constraint = cls(metadata["pattern"], automaton, metadata["vocabulary"])
        except (OSError, SafetensorError, KeyError) as error:
            raise ValueError(
                f"`path` must be a file that `Constraint.save` wrote, but {str(path)!r} is not: {error}."
            ) from error
        if constraint.vocabulary != token_texts(tokenizer).digest:
            raise ValueError(
                f"`tokenizer` must have the vocabulary that {str(path)!r} was compiled for, but it has another one. Compile "
                f"the pattern again: {constraint.pattern!r}."
            )
        return constraint


# By pattern and vocabulary, the last used one at the end; and by tokenizer.
COMPILED: OrderedDict[tuple[str, str], Constraint] = OrderedDict()
TOKEN_TEXTS: WeakKeyDictionary[PreTrainedTokenizerBase, TokenTexts] = WeakKeyDictionary()


# What a token spells


def token_texts(tokenizer: PreTrainedTokenizerBase) -> TokenTexts:
    """What each token spells. It is read again when tokens were added."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise ValueError(
            f"`tokenizer` must be a fast tokenizer, but got {type(tokenizer).__name__}. `AutoTokenizer.from_pretrained` gives one, "
            "and a processor has one as `tokenizer`."
        )
    texts = TOKEN_TEXTS.get(tokenizer)
    if texts is None or texts.num_tokens != len(tokenizer):
        texts = TOKEN_TEXTS[tokenizer] = read_token_texts(tokenizer)
    return texts


def read_token_texts(tokenizer: PreTrainedTokenizerBase) -> TokenTexts:
    """Undoes the encoding of the vocabulary that the decoder of the tokenizer undoes, token by token."""
    decoder = json.loads(tokenizer.backend_tokenizer.to_str())["decoder"] or {"type": "nothing"}
    steps = decoder.get("decoders", [decoder])
    for step in steps:
        if not joins_tokens(step):
            raise ValueError(
                "`tokenizer` must decode by joining what the tokens spell: byte-level, Metaspace or whole characters. But its "
                f"decoder has {step}."
            )
    added = tokenizer.added_tokens_decoder
    special = {*tokenizer.all_special_ids, *(index for index, token in added.items() if token.special)}
    tokens, digest = {}, hashlib.sha256()
    first_space_is_lost = any(
        step["type"] == "Strip" or (step["type"] == "Metaspace" and step["prepend_scheme"] != "never")
        for step in steps
    )
    digest.update(repr(first_space_is_lost).encode())
    vocabulary = tokenizer.get_vocab()
    for token, index in sorted(vocabulary.items(), key=lambda item: item[1]):
        text = b"" if index in special else token.encode() if index in added else spelled_by(token, steps)
        digest.update(b"%d %d " % (index, len(text)) + text)
        if text:
            tokens.setdefault(text, []).append(index)
    size = max(vocabulary.values(), default=-1) + 1
    return TokenTexts(tokens, size, len(tokenizer), first_space_is_lost, digest.hexdigest())


def joins_tokens(step: dict) -> bool:
    """Whether a step of a decoder changes each token alone, or takes one space from the beginning of the text."""
    if step["type"] == "Replace":
        return "String" in step["pattern"]
    if step["type"] == "Strip":
        return (step["content"], step["start"], step["stop"]) == (" ", 1, 0)
    return step["type"] in ("ByteFallback", "ByteLevel", "Fuse", "Metaspace")


def spelled_by(token: str, steps: list[dict]) -> bytes:
    """The bytes of a token."""
    for step in steps:
        if step["type"] == "ByteLevel" and set(token) <= set(BYTES_OF_CHARACTERS):
            return bytes(BYTES_OF_CHARACTERS[character] for character in token)
        if step["type"] == "ByteFallback" and (byte := BYTE_TOKEN.fullmatch(token)):
            return bytes.fromhex(byte[1])
        if step["type"] == "Metaspace":
            token = token.replace(step["replacement"], " ")
        if step["type"] == "Replace":
            token = token.replace(step["pattern"]["String"], step["content"])
    return token.encode()


BYTES_OF_CHARACTERS = {character: byte for byte, character in bytes_to_unicode().items()}


# From an expression to an automaton


def compile_pattern(pattern: str, texts: TokenTexts) -> TokenAutomaton:
    """The automaton of a pattern over a vocabulary."""
    expression = pattern
    if texts.first_space_is_lost:
        # A space that decoding removes may stand first. It must, where the space behind it belongs to the text.
        bytewise = build_index(pattern, {}, size=0)
        states = bytewise.get_transitions()
        begins_with_space = ord(" ") in states[states[bytewise.get_initial_state()][256]]
        expression = f" (?:{pattern})" if begins_with_space else f" ?(?:{pattern})"
    automaton = automaton_of(build_index(expression, texts.tokens, texts.size), texts.size)
    if automaton is None:
        raise ValueError(
            f"`pattern` must match a text that tokens of the vocabulary spell, but none spell one that matches {pattern!r}."
        )
    return automaton


def build_index(pattern: str, tokens: dict[bytes, list[int]], size: int) -> Index:
    """
    The automaton of outlines-core for the pattern between two marks of zero bytes, which no token holds then.

    outlines-core searches for a match, and takes the first one: alone, `a|ab` would be `a`, and nothing would lead on from an
    accepting state. With the mark behind the pattern there is none. A search may also begin anywhere, and the states for that
    can be exponentially many. The empty alternative is a match at the very beginning, so that there are none of these, and
    the mark before the pattern keeps the pattern itself apart from it.

    Single bytes that are no token stand behind the vocabulary, from `size` on, because outlines-core refuses a pattern where a
    state has no transition. They are taken out again, and so are the marks: the first one is token `size + 256`, and the
    last one `size`.
    """
    tokens = {text: token_ids for text, token_ids in tokens.items() if 0 not in text}
    for byte in range(256):
        tokens.setdefault(bytes([byte]), [size + byte])
    tokens[b"\0\0"] = [size + 256]
    try:
        # A pattern like `a)|(b` is only an error outside of brackets. With the empty match in front, this takes no time.
        Index(f"|{pattern}", Vocabulary(1, {b"\0": [0]}))
        return Index(rf"\x00\x00(?:{pattern})\x00|", Vocabulary(size + 257, tokens))
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"`pattern` must be a regular expression without look-around, back references and anchors (it always matches the "
            f"whole answer), but got {pattern!r}: {error}"
        ) from error


def automaton_of(index: Index, size: int) -> TokenAutomaton | None:
    """The automaton with its states and tokens in order, `None` if it accepts nothing."""
    marked, ends = index.get_transitions(), index.get_final_states()
    start = marked[index.get_initial_state()][size + 256]
    final = {state for state, row in marked.items() if row.get(size) in ends}
    transitions = {}
    for state, row in marked.items():
        tokens, targets = torch.tensor([*row.items()], dtype=torch.long).view(-1, 2).unbind(-1)
        transitions[state] = tokens[tokens < size], targets[tokens < size]
    joined = {state: set(targets.tolist()) for state, (_, targets) in transitions.items()}
    useful = closure([start], joined) & closure(final, reverse(joined))
    if start not in useful:
        return None
    states = [start, *sorted(useful - {start})]
    number = torch.full((max(final.union(transitions, *joined.values())) + 1,), -1)
    number[states] = torch.arange(len(states))
    rows, nothing = [], torch.zeros(0, dtype=torch.long)
    for state in states:
        tokens, targets = transitions.get(state, (nothing, nothing))
        is_useful = number[targets] >= 0
        rows.append((tokens[is_useful], number[targets[is_useful]]))
    token_class = classes_of(rows, size)
    table = torch.full((len(states), int(token_class.max()) + 1), -1)
    for i, (tokens, targets) in enumerate(rows):
        table[i, token_class[tokens]] = targets
    return TokenAutomaton(token_class, table, torch.tensor([state in final for state in states]))


def classes_of(rows: list[tuple[torch.LongTensor, torch.LongTensor]], size: int) -> torch.LongTensor:
    """The class of each token: tokens that lead each state to the same one are in one class, and 0 is for unused ones."""
    token_class, num_classes = torch.zeros(size, dtype=torch.long), 1
    for tokens, targets in rows:  # each state splits the classes of its tokens
        key = token_class[tokens] * (len(rows) + 1) + targets
        values, split = key.unique(return_inverse=True)
        token_class[tokens] = num_classes + split
        num_classes += len(values)
    return torch.cat([torch.zeros(1, dtype=torch.long), token_class]).unique(return_inverse=True)[1][1:]


def closure(states, joined: dict[int, set[int]]) -> set[int]:
    """All states that can be reached from some."""
    reached, waiting = set(states), list(states)
    while waiting:
        new = joined.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def reverse(joined: dict[int, set[int]]) -> dict[int, set[int]]:
    backward = {}
    for source, targets in joined.items():
        for target in targets:
            backward.setdefault(target, set()).add(source)
    return backward


__all__ = ["Constraint"]
