# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Expressions of whole numbers with +, - and *: their values, and the numbers in them."""

import ast
import operator
import re


OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
NODES = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}
LONGEST = 200  # characters, so that no nesting is too deep


def value_of(expression: str) -> int | None:
    """The value of an expression, such as `"(3+4)*2"`. `None` for a text that is none."""
    if not re.fullmatch(r"[0-9()+*-]+", expression) or len(expression) > LONGEST:
        return None
    try:
        return _value(ast.parse(expression, mode="eval").body)
    except (SyntaxError, KeyError, AttributeError):
        return None


def numbers_of(expression: str) -> list[int]:
    """The numbers in an expression in ascending order."""
    return sorted(int(digits) for digits in re.findall(r"[0-9]+", expression))


def _value(node: ast.expr) -> int:
    """Raises `KeyError` or `AttributeError` for anything but two-sided operations on numbers, such as a sign or a call."""
    if isinstance(node, ast.Constant):
        return node.value
    return NODES[type(node.op)](_value(node.left), _value(node.right))
