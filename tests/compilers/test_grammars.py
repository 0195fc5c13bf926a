# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Context-free grammars as regular expressions: they match what lark parses, to a depth."""

import itertools
import json

import pytest
from lark import Lark
from lark.exceptions import LarkError
from support.byte_texts import ByteTexts
from support.expressions import letters_tokenizer

from modeling_llada import Constraint
from modeling_llada.compilers.grammars import grammar_to_regex


def parses(parser: Lark, text: str) -> bool:
    try:
        parser.parse(text)
    except LarkError:
        return False
    return True


GRAMMARS = {
    "list": 'start: "a" ("," "a")* [";"]',
    "repeat": 'start: "a"~2..3 "b"i?',
    "left": 'start: "a" | start "b"',
    "right": 'start: "a" | "b" start',
    "both": 'start: "a" | start "b" start | start "," | "(" start',
    "juxtaposed": 'start: "a" | "b" | start start',
    "brackets": 'start: "a" | "(" start ")"',
    "two brackets": 'start: "(" start ")" start |',
    "arithmetic": 'start: sum\n?sum: product | sum "," product\n?product: atom | product "b" atom\natom: "a" | "(" sum ")"',
    "operators in rules of their own": 'start: sum | product | "a" | "(" start ")"\nsum: start "," start\nproduct: start "b" start',
    "ignored": 'start: "a" (";" "a")*\n%ignore ","',
    "terminals": 'start: A B?\nA: "a" | /[(]b+/\nB: /[),]/ A',
    "templates": 'start: pair{"a"} | pair{"b"}\npair{x}: x "," x',
}


def short_texts(grammar: str) -> list[str]:
    """Texts of up to five of the characters of a grammar, so that no brackets are more than two deep."""
    alphabet = sorted(set("abB(),;") & set(grammar))
    texts = []
    for length in range(6):
        texts += map("".join, itertools.product(alphabet, repeat=length))
        if len(texts) > 300:
            break
    return texts


@pytest.mark.parametrize("name", GRAMMARS)
def test_what_lark_parses_is_accepted_and_nothing_else(name):
    texts = ByteTexts(grammar_to_regex(GRAMMARS[name], max_depth=2))
    parser = Lark(GRAMMARS[name], parser="earley")
    for text in {*short_texts(GRAMMARS[name]), *(texts.sample(seed, length=8) for seed in range(20))}:
        assert (text in texts) == parses(parser, text), text


def test_rules_at_an_edge_repeat_without_a_limit():
    for name in ("left", "right", "both", "juxtaposed", "operators in rules of their own"):
        pattern = grammar_to_regex(GRAMMARS[name], max_depth=0)
        parser, text = (
            Lark(GRAMMARS[name], parser="earley"),
            {"left": "abbbb", "right": "bbbba"}.get(name, "ababababa"),
        )
        assert text in ByteTexts(pattern) and parses(parser, text)


def test_rules_inside_themselves_go_to_a_depth():
    for max_depth in range(4):
        texts = ByteTexts(grammar_to_regex(GRAMMARS["brackets"], max_depth))
        assert [depth for depth in range(6) if "(" * depth + "a" + ")" * depth in texts] == [*range(max_depth + 1)]


def test_json():
    grammar = r"""
        ?start: value
        ?value: object | array | ESCAPED_STRING | SIGNED_NUMBER | "true" | "false" | "null"
        array: "[" [value ("," value)*] "]"
        object: "{" [pair ("," pair)*] "}"
        pair: ESCAPED_STRING ":" value
        %import common.ESCAPED_STRING
        %import common.SIGNED_NUMBER
        %import common.WS
        %ignore WS
    """
    texts = ByteTexts(grammar_to_regex(grammar, max_depth=2))
    value = {"a": [1, -2.5e3, '"\\é'], "b": {}, "c": None}
    for indent in (None, 2):
        assert json.dumps(value, indent=indent, ensure_ascii=False) in texts
    assert '{"a": [1,]}' not in texts and '{"a" "b"}' not in texts and "[[[[]]]]" not in texts
    parser = Lark(grammar, parser="earley")
    for seed in range(10):
        assert parses(parser, texts.sample(seed, length=20))


def test_a_constraint_from_a_grammar():
    tokenizer = letters_tokenizer()
    constraint = Constraint.from_grammar('start: "a" start "b" | "é"', tokenizer, max_depth=2)
    assert constraint.min_length == 1
    assert (
        constraint is Constraint.from_grammar('start: "é" | "a" start "b"', tokenizer, max_depth=2)
        or constraint.pattern
    )


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        (5, "`grammar` must be a text in the notation of lark, but got int"),
        ("start: (", "cannot be read"),
        ('start: "a"\n' + "// \n" * 3000, "must have at most 10,000 characters, but got 12,011"),
        ("start: other", "cannot be read: Rule 'other' used but not defined"),
        ('other: "a"', "cannot be read"),
        ("start: /[/", "cannot be read"),
        ("start: A\n%declare A", "must say what the terminal A matches"),
        (
            'start: "(" start ")"',
            "must derive a text from `start` in which no rule is inside itself more than 2 times",
        ),
        ("start: start", "it derives none"),
    ],
)
def test_grammars_that_are_refused(grammar, message):
    with pytest.raises(ValueError, match=message):
        grammar_to_regex(grammar, max_depth=2)


def test_other_arguments_that_are_refused():
    tokenizer = letters_tokenizer()
    with pytest.raises(ValueError, match="`max_depth` must be a whole number from 0 on, but got -1"):
        Constraint.from_grammar('start: "a"', tokenizer, max_depth=-1)
    with pytest.raises(
        ValueError,
        match="the rule `start` and those inside it are too large as a regular expression with `max_depth=30`",
    ):
        Constraint.from_grammar('start: "a" | "(" start "," start ")"', tokenizer, max_depth=30)
    with pytest.raises(ValueError, match="`grammar` must be a regular expression without look-around"):
        Constraint.from_grammar("start: /a(?=b)/ /b/", tokenizer)
