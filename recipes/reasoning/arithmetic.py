# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
Expressions that are evaluated one operation a line, the first innermost one each time:

    evaluate ((17+4)*3)-(8+25)
    (21*3)-(8+25)
    63-(8+25)
    63-33
    30

Each line follows from the one before it, and an answer is right if its last line is the value of the expression.
"""

import re
from random import Random

from recipes.reasoning.expressions import OPERATIONS, numbers_of, value_of


LARGEST_VALUE = 999  # on the way; none is negative
INNERMOST = re.compile(r"\((\d+)([+*-])(\d+)\)")


def draw(count: int, largest: int, random: Random) -> tuple[str, str]:
    """An expression of `count` numbers from 1 to `largest`, and the lines of its evaluation."""
    parts = [str(random.randint(1, largest)) for _ in range(count)]
    values = [int(part) for part in parts]
    while len(parts) > 1:
        place = random.randrange(len(parts) - 1)
        left, right = values[place : place + 2]
        options = {sign: apply(left, right) for sign, apply in OPERATIONS.items()}
        signs = [sign for sign, value in options.items() if 0 <= value <= LARGEST_VALUE]
        if not signs:
            return draw(count, largest, random)
        sign = random.choice(signs)
        parts[place : place + 2] = [f"({parts[place]}{sign}{parts[place + 1]})"]
        values[place : place + 2] = [options[sign]]
    expression = parts[0][1:-1]
    return expression, working(expression)


def working(expression: str) -> str:
    """The lines that evaluate an expression whose operations are all in brackets, but the last one."""
    lines, text = [], f"({expression})"
    while text.startswith("("):
        text = INNERMOST.sub(_replace, text, count=1)
        lines.append(text[1:-1] if text.startswith("(") else text)
    return "\n".join(lines)


def is_right(prompt: str, answer: str) -> bool:
    """Whether the last line is the value of the expression."""
    return is_formed(prompt, answer) and int(answer.split("\n")[-1]) == value_of(prompt)


def is_formed(prompt: str, answer: str) -> bool:
    """Whether the last line is a number."""
    return re.fullmatch(r"[0-9]{1,9}", answer.split("\n")[-1]) is not None


def numbers(prompt: str) -> list[int]:
    return numbers_of(prompt)


def _replace(found: re.Match) -> str:
    return str(OPERATIONS[found[2]](int(found[1]), int(found[3])))
