# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Rewards for poems, each from 0 to 1: the form, the rhyme, and lines that are neither repeated nor quoted.

They are functions of `completions` and of the column `form`, as `LLaDAGRPOTrainer` and TRL call them. As a program, it writes the
prompts: headers of a form.

    python -m recipes.poems.rewards 七言绝句 data/forms.jsonl
    python examples/grpo.py --config examples/configs/poet_grpo.yaml
"""

import argparse
import json
from functools import cache
from pathlib import Path

from modeling_llada.training.scripts import run_script
from modeling_llada.writing import write_atomically
from recipes.poems.check_form import RHYMING_FORMS, SHAPES, rhyme_groups
from recipes.poems.cleaning import line_lengths, split_lines
from recipes.poems.couplets import famous_poems
from recipes.poems.header import MAX_TITLE_LENGTH, poem_header


LEVEL_TONES = ("1", "2")  # the level tone of classical verse, in modern pronunciation


def keeps_form(completions: list[str], form: list[str], **kwargs) -> list[float | None]:
    """The share of the lines of the form that are there and have the right length; `None` for forms without a length."""
    return [_form_of(text, name) if name in SHAPES else None for text, name in zip(completions, form, strict=True)]


def rhymes_by_tone(completions: list[str], form: list[str], **kwargs) -> list[float | None]:
    """The share of the even lines that end in the commonest rhyme, in a level tone; `None` for forms without a fixed rhyme."""
    pairs = zip(completions, form, strict=True)
    return [_rhyme_of(split_lines(text)[1::2]) if name in RHYMING_FORMS else None for text, name in pairs]


def own_lines(completions: list[str], **kwargs) -> list[float]:
    """The share of the lines that occur once in the poem and in no famous poem."""
    shares = []
    for text in completions:
        lines = split_lines(text)
        own = [line for line in lines if lines.count(line) == 1 and line not in _famous_lines()]
        shares.append(len(own) / max(1, len(lines)))
    return shares


def _form_of(text: str, form: str) -> float:
    count, width = SHAPES[form]
    lengths = line_lengths(text)
    right = sum(length == width for length in lengths)
    return min(right, count or right) / max(count or 1, len(lengths))


def _rhyme_of(lines: list[str]) -> float:
    ends = [_level_rhymes(line[-1]) for line in lines if line]
    groups = [group for end in ends for group in end]
    most = max(map(groups.count, groups), default=0)
    return most / len(ends) if len(ends) > 1 and most > 1 else 0.0


@cache
def _level_rhymes(character: str) -> frozenset[str]:
    """The rhyme groups of a character, if one of its pronunciations has a level tone."""
    from pypinyin import Style, pinyin

    found = pinyin(character, style=Style.TONE3, heteronym=True, neutral_tone_with_five=True, errors="ignore")
    is_level = any(syllable.endswith(LEVEL_TONES) for syllable in (found[0] if found else []))
    return rhyme_groups(character) if is_level else frozenset()


@cache
def _famous_lines() -> frozenset[str]:
    return frozenset(line for poem in famous_poems() for line in split_lines(poem["text"]))


def prompts_of(form: str) -> list[dict[str, str]]:
    """The rows of a form: its header, alone and with titles of other forms. To titles of its own, answers are recited, all equal."""
    own, others = (
        {poem["title"] for poem in famous_poems() if (poem["form"] == form) is is_own} for is_own in (True, False)
    )
    titles = sorted(title for title in others - own if 0 < len(title) <= MAX_TITLE_LENGTH)
    return [{"prompt": poem_header(form, title), "form": form} for title in (None, *titles)]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forms", nargs="+", choices=sorted(RHYMING_FORMS), help="the forms")
    parser.add_argument("output", type=Path, help="the file to write")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse_arguments()
    rows = [row for form in args.forms for row in prompts_of(form)]
    write_atomically(args.output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"wrote {len(rows)} prompts to {args.output}")


if __name__ == "__main__":
    run_script(main)
