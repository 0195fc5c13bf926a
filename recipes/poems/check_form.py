# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Checks whether a poem keeps the shape and the rhyme of its form.

The rhyme groups are those of modern Standard Chinese (the thirteen tracks). Classical poets rhymed by sound classes that have
changed since (斜 xié rhymed with 家 jiā), so many real poems fail too. Compare a model with the pass rate of real poems, not with
100%.
"""

from dataclasses import dataclass
from functools import cache

from recipes.poems.alphabet import is_han
from recipes.poems.cleaning import line_lengths, split_lines


# The number of lines, and of characters in a line.
SHAPES = {
    "五言绝句": (4, 5),
    "七言绝句": (4, 7),
    "五言律诗": (8, 5),
    "七言律诗": (8, 7),
    "四言诗": (None, 4),
    "五言诗": (None, 5),
    "六言诗": (None, 6),
    "七言诗": (None, 7),
}
RHYMING_FORMS = {"五言绝句", "七言绝句", "五言律诗", "七言律诗"}
# The endings are those of pypinyin's strict finals: ü is v, the whole syllable zhi has the final i.
RHYME_GROUPS = {
    "发花": ("a", "ia", "ua"),
    "梭坡": ("o", "e", "uo"),
    "乜斜": ("ê", "ie", "ve"),
    "姑苏": ("u",),
    "一七": ("i", "v", "er"),
    "支思": ("-i",),
    "怀来": ("ai", "uai"),
    "灰堆": ("ei", "uei"),
    "遥条": ("ao", "iao"),
    "油求": ("ou", "iou"),
    "言前": ("an", "ian", "uan", "van"),
    "人辰": ("en", "in", "uen", "vn"),
    "江阳": ("ang", "iang", "uang"),
    "中东": ("eng", "ing", "ueng", "ong", "iong"),
}

_GROUP_OF = {final: group for group, finals in RHYME_GROUPS.items() for final in finals}
_SIBILANTS = ("zh", "ch", "sh", "r", "z", "c", "s")


@dataclass(frozen=True)
class FormReport:
    """The result of [`check_form`]."""

    line_count: bool
    line_length: bool  # in Chinese characters only
    rhyme: bool | None = None  # of the even lines; `None` if the form has no fixed rhyme

    @property
    def shape(self) -> bool:
        """Whether the number and the length of the lines are right."""
        return self.line_count and self.line_length

    @property
    def passed(self) -> bool:
        """Whether the poem keeps its form."""
        return self.shape and self.rhyme is not False


def check_form(text: str, form: str) -> FormReport:
    """Checks a poem, as one line without its header, against one of the forms of `SHAPES`."""
    if form not in SHAPES:
        raise ValueError(f"`form` must be a form with a fixed shape, one of {sorted(SHAPES)}; got {form!r}.")
    count, length = SHAPES[form]
    lines, lengths = split_lines(text), line_lengths(text)
    line_count = len(lengths) == count if count else len(lengths) > 1
    line_length = set(lengths) == {length} and all(is_han(c) for c in "".join(lines))
    rhyme = rhymes(lines[1::2]) if form in RHYMING_FORMS else None
    return FormReport(line_count, line_length, rhyme)


def rhymes(lines: list[str]) -> bool:
    """Whether the last characters of at least two lines share a rhyme group."""
    groups = [rhyme_groups(line[-1]) for line in lines if line]
    return len(groups) > 1 and bool(frozenset.intersection(*groups))


@cache
def rhyme_groups(character: str) -> frozenset[str]:
    """The rhyme groups of all pronunciations of a character; empty if it is no Chinese character."""
    from pypinyin import Style, pinyin

    options = {"heteronym": True, "strict": True, "neutral_tone_with_five": True, "errors": "ignore"}
    found = pinyin(character, style=Style.NORMAL, **options)
    return frozenset(group for syllable in (found[0] if found else []) if (group := _group(syllable)))


def _group(syllable: str) -> str | None:
    from pypinyin.contrib.tone_convert import to_finals, to_initials

    final = to_finals(syllable, strict=True)
    # zi and zhi are written with the i of qi but sound different.
    if final == "i" and to_initials(syllable, strict=True) in _SIBILANTS:
        final = "-i"
    return _GROUP_OF.get(final)
