# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Constraints on an answer: a regular expression, choices, a JSON schema or a grammar, compiled for a tokenizer.

`compilers` turns them into an automaton over the tokens of the vocabulary; what is kept of it are the tensors that
`models/constraints_llada.py` decodes with.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from transformers import PreTrainedTokenizerBase

from .compilers.automata import Expression, compile_expression
from .compilers.token_texts import token_texts
from .models.constraints_llada import TokenAutomaton
from .writing import write_atomically


CACHE_SIZE = 32  # compiled constraints that are kept in memory
CACHE_BYTES = 2**28  # that they may have together


@contextmanager
def compiling() -> Iterator[None]:
    """Names the extra if a package is missing that compiles constraints. A compiled one needs none of them."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"`Constraint` needs the package {error.name!r}, which is not installed: pip install -e '.[constraints]'"
        ) from error


class Constraint:
    """
    A set of texts that an answer must be one of, compiled for a tokenizer. Make one with [`Constraint.from_regex`],
    [`Constraint.from_choices`], [`Constraint.from_json_schema`] or [`Constraint.from_grammar`].

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
        constraints stay in memory, as long as they have at most 256 MiB together.

        Args:
            pattern (`str`):
                In the syntax of Rust's `regex`, which is that of Python without look-around, back references and anchors.
            tokenizer (`PreTrainedTokenizerBase`):
                A fast tokenizer: byte-level, Metaspace, or of whole characters.

        Raises:
            `ValueError`: if the pattern is not supported or too large, no sequence of tokens spells a text that matches, or
            the tokenizer is of another kind.
        """
        if not isinstance(pattern, str):
            raise ValueError(
                f"`pattern` must be a string, but got {type(pattern).__name__}. Give `re.Pattern.pattern`."
            )
        return cls.compile(Expression(pattern), tokenizer)

    @classmethod
    def compile(cls, expression: Expression, tokenizer: PreTrainedTokenizerBase) -> "Constraint":
        """Compiles an expression, or finds it among the last ones."""
        texts = token_texts(tokenizer)
        key = (expression.pattern, texts.digest)
        with CACHE_LOCK:
            constraint = COMPILED.pop(key, None)
        if constraint is None:
            with compiling():
                constraint = cls(expression.pattern, compile_expression(expression, texts), texts.digest)
        with CACHE_LOCK:
            COMPILED[key] = constraint
            while len(COMPILED) > CACHE_SIZE or sum(one.num_bytes for one in COMPILED.values()) > CACHE_BYTES:
                COMPILED.popitem(last=False)
        return constraint

    @classmethod
    def from_choices(cls, choices: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> "Constraint":
        """
        One of some texts.

        Raises:
            `ValueError`: if `choices` is not a list of texts, or no sequence of tokens spells one of them.
        """
        is_list = isinstance(choices, Sequence) and not isinstance(choices, str)
        if not is_list or not choices or not all(isinstance(choice, str) for choice in choices):
            raise ValueError(f"`choices` must be a list of at least one string, but got {choices!r}.")
        pattern = "|".join(map(re.escape, dict.fromkeys(choices)))
        return cls.compile(Expression(pattern, "choices", is_tame=True), tokenizer)

    @classmethod
    def from_json_schema(
        cls, schema, tokenizer: PreTrainedTokenizerBase, max_depth: int | None = None
    ) -> "Constraint":
        """
        JSON that validates against a schema. Its properties are in the order of the schema, without others, and with at most
        one space after a colon or comma.

        Args:
            schema (`dict`, `str` or a pydantic model):
                The schema, or its text.
            tokenizer (`PreTrainedTokenizerBase`):
                As for [`Constraint.from_regex`].
            max_depth (`int`, *optional*):
                How often a definition may be inside itself, and a value of any kind inside another one. By default both are
                refused.

        Raises:
            `ValueError`: if the schema is not valid, or says what cannot be kept (see docs/constraints.md); and as
            [`Constraint.from_regex`].
        """
        with compiling():
            from .compilers.json_schemas import schema_to_regex
        return cls.compile(Expression(schema_to_regex(schema, max_depth), "schema", is_tame=True), tokenizer)

    @classmethod
    def from_grammar(cls, grammar: str, tokenizer: PreTrainedTokenizerBase, max_depth: int = 2) -> "Constraint":
        """
        The texts that a context-free grammar derives from its rule `start`. An automaton has no unlimited depth: a rule that
        begins or ends with itself repeats as often as it likes, but a rule inside itself, as in brackets, is written out.

        Args:
            grammar (`str`):
                Rules in the notation of [lark](https://lark-parser.readthedocs.io/en/stable/grammar.html), with `%import` and
                `%ignore`.
            tokenizer (`PreTrainedTokenizerBase`):
                As for [`Constraint.from_regex`].
            max_depth (`int`, defaults to 2):
                How often a rule may be inside itself.

        Raises:
            `ValueError`: if the grammar cannot be read, or derives no text; and as [`Constraint.from_regex`].

        Example:

        ```python
        >>> grammar = '''
        ... start: item ("+" item)*
        ... item: /[0-9]+/ | "(" start ")"
        ... '''
        >>> constraint = Constraint.from_grammar(grammar, tokenizer)
        ```
        """
        with compiling():
            from .compilers.grammars import grammar_to_regex
        return cls.compile(Expression(grammar_to_regex(grammar, max_depth), "grammar"), tokenizer)

    @property
    def min_length(self) -> int:
        """The number of tokens of the shortest text, without an EOS."""
        return int(self.automaton.distance[0])

    @property
    def num_bytes(self) -> int:
        """The size of the automaton in memory."""
        automaton = self.automaton
        return sum(tensor.nbytes for tensor in (automaton.token_class, automaton.table, automaton.accepting))

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


# By pattern and vocabulary, the last used one at the end.
COMPILED: OrderedDict[tuple[str, str], Constraint] = OrderedDict()
CACHE_LOCK = Lock()


__all__ = ["Constraint"]
