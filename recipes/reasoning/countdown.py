# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""
Countdown: reach a number from others by +, - and *, each of them used once. A line has an operation and the numbers that are left,
and the last one has the whole expression:

    countdown 7 3 25 10 to 102
    25+10=35 3 7 35
    35*3=105 7 105
    ...
    ((25+10)*3)-...

An answer is right if its last line has the value that was asked for, and the given numbers.
"""

from random import Random

from recipes.reasoning.expressions import OPERATIONS, numbers_of, value_of


LARGEST_VALUE = 999  # on the way; none is below 1


def draw(count: int, largest: int, random: Random) -> tuple[str, str]:
    """`count` numbers from 1 to `largest` with one to reach, and a way there."""
    given = [random.randint(1, largest) for _ in range(count)]
    left, lines = [(number, str(number)) for number in given], []
    while len(left) > 1:
        first, second = random.sample(left, 2)
        options = {sign: apply(first[0], second[0]) for sign, apply in OPERATIONS.items()}
        signs = [sign for sign, value in options.items() if 1 <= value <= LARGEST_VALUE]
        if not signs:  # two large values that are equal
            return draw(count, largest, random)
        sign = random.choice(signs)
        left.remove(first)
        left.remove(second)
        left.append((options[sign], f"({first[1]}{sign}{second[1]})"))
        rest = " ".join(str(value) for value, _ in left)
        lines.append(f"{first[0]}{sign}{second[0]}={options[sign]} {rest}")
    target, expression = left[0]
    return f"{' '.join(map(str, given))} to {target}", "\n".join([*lines, expression[1:-1]])


def is_right(prompt: str, answer: str) -> bool:
    """Whether the last line reaches the number."""
    return is_formed(prompt, answer) and value_of(answer.split("\n")[-1]) == int(prompt.rpartition(" ")[2])


def is_formed(prompt: str, answer: str) -> bool:
    """Whether the last line is an expression of the given numbers, each of them used once."""
    last = answer.split("\n")[-1]
    return value_of(last) is not None and numbers_of(last) == sorted(numbers(prompt))


def numbers(prompt: str) -> list[int]:
    """The given numbers."""
    return [int(digits) for digits in prompt.partition(" to ")[0].split(" ")]
