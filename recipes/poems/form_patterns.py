# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The forms of poems as regular expressions, which `Constraint.from_regex` takes: lines, rhyme and acrostics.

As a program, it prints the expression of a form.

    python -m recipes.poems.form_patterns 五言绝句 --heads 春夏秋冬
    llada generate --form 五言绝句 --regex "$(python -m recipes.poems.form_patterns 五言绝句 --rhyme 江阳)"
"""

import argparse
from functools import cache

from modeling_llada.training.scripts import run_script
from recipes.poems.alphabet import LINE_ENDS, is_han, load_han
from recipes.poems.check_form import RHYME_GROUPS, SHAPES, rhyme_groups


CHARACTER = "[〇\u3400-\u9fff\U00020000-\U0003ffff]"  # as `is_han`
END = f"[{LINE_ENDS}]"
ANY_RHYME = "any"


def form_pattern(form: str, rhyme: str | None = None, heads: str | None = None) -> str:
    """
    The regular expression of a form. What it matches has the shape that `check_form` asks for, with a mark behind each line.

    Args:
        form (`str`):
            One of the forms of `SHAPES`. Those without a number of lines have two or more.
        rhyme (`str`, *optional*):
            The rhyme group, one of `RHYME_GROUPS`, in which all even lines end, or `"any"` for any one of them.
        heads (`str`, *optional*):
            The first characters of the lines, for an acrostic.

    Raises:
        `ValueError`: if an argument is none of these, or the lines of the form are too few or too many for it.

    Example:

    ```python
    >>> form_pattern("五言绝句", heads="春夏秋冬")
    >>> Constraint.from_regex(form_pattern("七言绝句", rhyme="any"), tokenizer)
    ```
    """
    check_arguments(form, rhyme, heads)
    count, width = SHAPES[form]
    if count is None and heads is None:
        return f"(?:{CHARACTER}{{{width}}}{END}){{2,}}"
    heads = list(heads) if heads else [CHARACTER] * count
    if rhyme != ANY_RHYME:
        return write_lines(heads, width, CHARACTER if rhyme is None else rhyming(rhyme))
    return "|".join(write_lines(heads, width, rhyming(group)) for group in RHYME_GROUPS)


def write_lines(heads: list[str], width: int, even_end: str) -> str:
    """Lines of a width with their first characters, of which the even ones end in one of some characters."""
    middle = f"{CHARACTER}{{{width - 2}}}"
    ends = (CHARACTER, even_end)
    return "".join(head + middle + ends[number % 2] + END for number, head in enumerate(heads))


@cache
def rhyming(group: str) -> str:
    """
    The set of the characters that the poem tokenizer knows and that are in a rhyme group by all of their pronunciations. With
    the others the states of an automaton would be the sets of rhymes that a poem may still have, of which there are many.
    """
    return f"[{''.join(character for character in load_han() if rhyme_groups(character) == {group})}]"


def check_arguments(form: str, rhyme: str | None, heads: str | None) -> None:
    if form not in SHAPES:
        raise ValueError(f"`form` must be one of {', '.join(SHAPES)}, but got {form!r}.")
    if rhyme is not None and rhyme not in (ANY_RHYME, *RHYME_GROUPS):
        raise ValueError(f"`rhyme` must be {ANY_RHYME!r} or one of {', '.join(RHYME_GROUPS)}, but got {rhyme!r}.")
    count = SHAPES[form][0]
    if rhyme is not None and count is None and heads is None:
        raise ValueError(f"`rhyme` needs a form with a number of lines, but {form} has none. Give `heads` too.")
    if heads is not None and (not all(map(is_han, heads)) or len(heads) < 2 or count not in (None, len(heads))):
        number = "at least 2" if count is None else count
        raise ValueError(
            f"`heads` must be a Chinese character for each line, {number} of them for {form}, but got {heads!r}."
        )


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form", help=f"one of {', '.join(SHAPES)}")
    parser.add_argument("--rhyme", help=f"the rhyme of the even lines: {ANY_RHYME}, {', '.join(RHYME_GROUPS)}")
    parser.add_argument("--heads", help="the first characters of the lines, for an acrostic")
    return parser


def main() -> None:
    print(form_pattern(**vars(make_parser().parse_args())))


if __name__ == "__main__":
    run_script(main)
