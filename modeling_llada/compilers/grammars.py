# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Context-free grammars as regular expressions, for constraints.

lark reads the grammar and leaves rules of terminals and other rules. A rule that begins or ends with itself is a repetition,
which a regular expression can say. A rule inside itself, as in brackets, is written out to a depth.
"""

import itertools

from lark import Lark
from lark.grammar import Symbol

from .expressions import MAX_CHARACTERS, union


MAX_GRAMMAR = 10_000  # characters of a grammar. lark takes long for thousands of rules.
MAX_EXPANSIONS = 200  # of a rule
MAX_WRITTEN = 20_000  # rules, each at its places inside others
# lark's terminal for strings with escaped characters looks behind. What it means, without that:
ESCAPED_STRING = r'".*?(?<!\\)(\\\\)*?"', r'"(?:[^"\\\n]|\\[^\n])*"'

Rules = dict[str, list[tuple[Symbol, ...]]]


def grammar_to_regex(grammar: str, max_depth: int) -> str:
    """
    The regular expression of a grammar.

    Args:
        grammar (`str`):
            Rules in the notation of lark. The answer is a `start`.
        max_depth (`int`):
            How often a rule may be inside itself. Rules that begin or end with themselves repeat without a limit.

    Raises:
        `ValueError`: if the grammar cannot be read, derives no text, or is too large.

    Example:

    ```python
    >>> grammar_to_regex('start: "a" | "(" start ")"', max_depth=1)
    '(?:(?:a)|(?:\\\\()(?:a)(?:\\\\)))'
    ```
    """
    if not isinstance(grammar, str):
        raise ValueError(f"`grammar` must be a text in the notation of lark, but got {type(grammar).__name__}.")
    if not isinstance(max_depth, int) or isinstance(max_depth, bool) or max_depth < 0:
        raise ValueError(f"`max_depth` must be a whole number from 0 on, but got {max_depth!r}.")
    if len(grammar) > MAX_GRAMMAR:
        raise ValueError(
            f"`grammar` must have at most {MAX_GRAMMAR:,} characters, but got {len(grammar):,}. Write a smaller one."
        )
    try:
        parser = Lark(grammar, parser="earley", maybe_placeholders=False)
    except Exception as error:  # of lark, or of what reads its terminals
        raise ValueError(f"`grammar` must be in the notation of lark, but it cannot be read: {error}") from error
    try:
        expression = GrammarWriter(parser, max_depth).write()
    except RecursionError as error:
        raise ValueError(
            f"`max_depth` must be small enough to write the rules out, but got {max_depth}. Give a smaller one."
        ) from error
    if expression is None:
        raise ValueError(
            f"`grammar` must derive a text from `start` in which no rule is inside itself more than {max_depth} times "
            "(`max_depth`), but it derives none."
        )
    return expression


class GrammarWriter:
    """Writes the expressions of the rules of one grammar. `None` as an expression says that no text is derived."""

    def __init__(self, parser: Lark, max_depth: int):
        self.max_depth = max_depth
        patterns = {terminal.name: terminal.pattern.to_regexp() for terminal in parser.terminals}
        patterns = {name: pattern.replace(*ESCAPED_STRING) for name, pattern in patterns.items()}
        # What is ignored may stand before and behind each terminal.
        self.between = f"(?:{union(patterns[name] for name in parser.ignore_tokens)})*" if parser.ignore_tokens else ""
        self.terminals = {name: f"(?:{pattern}){self.between}" for name, pattern in patterns.items()}
        self.written, self.num_characters = {}, 0
        self.rules: Rules = {}
        for rule in parser.rules:
            self.rules.setdefault(rule.origin.name, []).append(tuple(rule.expansion))
        for name in self.rules:
            self.rules[name] = inline_edges(self.rules, name)

    def write(self) -> str | None:
        expression = self.write_rule("start", {})
        return None if expression is None else f"{self.between}{expression}"

    def write_rule(self, name: str, depth: dict[str, int]) -> str | None:
        """The expression of a rule. `depth` counts the rules that it is inside of."""
        key = (name, frozenset(depth.items()))
        if key not in self.written:
            self.written[key] = self.write_new_rule(name, depth) if depth.get(name, 0) <= self.max_depth else None
        return self.written[key]

    def write_new_rule(self, name: str, depth: dict[str, int]) -> str | None:
        depth = {**depth, name: depth.get(name, 0) + 1}
        # By whether the rule itself stands first, and whether it stands last.
        parts = {ends: [] for ends in itertools.product((False, True), repeat=2)}
        for expansion in self.rules[name]:
            begins, ends = (bool(expansion) and expansion[edge].name == name for edge in (0, -1))
            if len(expansion) == 1 and begins:
                continue
            text = self.write_sequence(expansion[begins : len(expansion) - ends], depth)
            if text is not None:
                parts[begins, ends].append(text)
        if not parts[False, False]:
            return None
        before, after = repeated(parts[False, True]), repeated(parts[True, False])
        item = f"{before}{union(parts[False, False])}{after}"
        between = parts[True, True]
        expression = f"{item}(?:{union(between)}{item})*" if between else item
        self.num_characters += len(expression)
        if self.num_characters > MAX_CHARACTERS or len(self.written) > MAX_WRITTEN:
            raise ValueError(
                f"`grammar` must be small enough to compile, but the rule `{name}` and those inside it are too large as a regular expression with "
                f"`max_depth={self.max_depth}`. Give a smaller `max_depth`, or ask for less."
            )
        return expression

    def write_sequence(self, symbols: tuple[Symbol, ...], depth: dict[str, int]) -> str | None:
        texts = []
        for symbol in symbols:
            text = self.write_terminal(symbol.name) if symbol.is_term else self.write_rule(symbol.name, depth)
            if text is None:
                return None
            texts.append(text)
        return "".join(texts)

    def write_terminal(self, name: str) -> str:
        if name not in self.terminals:
            raise ValueError(f"`grammar` must say what the terminal {name} matches, but it only declares it.")
        return self.terminals[name]


def repeated(parts: list[str]) -> str:
    return f"(?:{union(parts)})*" if parts else ""


def inline_edges(rules: Rules, name: str) -> list[tuple[Symbol, ...]]:
    """
    The expansions of a rule, with other rules at their beginning and end written out, if these lead back to the rule there.
    So `sum: item "+" item` and `item: sum | NUMBER` are a repetition too.
    """
    done, waiting = [], list(rules[name])
    while waiting:
        expansion = waiting.pop(0)
        for edge in (0, len(expansion) - 1) if expansion else ():
            other = expansion[edge].name
            if other != name and leads_back(rules, other, name) and len(done) + len(waiting) < MAX_EXPANSIONS:
                waiting += [(*expansion[:edge], *part, *expansion[edge + 1 :]) for part in rules[other]]
                break
        else:
            done.append(expansion)
    return list(dict.fromkeys(done))


def leads_back(rules: Rules, other: str, name: str) -> bool:
    """Whether a rule that does not begin or end with itself has an expansion that begins or ends with another rule."""
    edges = {
        symbol.name
        for expansion in rules.get(other, [])
        for symbol in (*expansion[:1], *expansion[-1:])
        if not symbol.is_term
    }
    return name in edges and other not in edges


__all__ = ["grammar_to_regex"]
