# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Turns the paragraphs of a source into one clean line of verse, and detects its form."""

import re

from recipes.poems.alphabet import LINE_ENDS, PAUSE, is_han


MAX_LINE_LENGTH = 16  # longer "lines" are prose or commentary
FORMS = (
    "五言绝句",
    "七言绝句",
    "五言律诗",
    "七言律诗",
    "四言诗",
    "五言诗",
    "六言诗",
    "七言诗",
    "杂言诗",
    "词",
    "曲",
    "古文",
)

_NOTE = re.compile(r"\([^()（）]*\)|（[^()（）]*）|〖[^〖〗]*〗|［[^［］]*］|〔[^〔〕]*〕")
_FOOTNOTE_NUMBER = re.compile(r"\[[一二三四五六七八九十○〇0-9]+\]")
_MARKS = str.maketrans("", "", '[]「」『』“”‘’"《》〈〉【】')
_TO_FULL_WIDTH = str.maketrans(",;:?!．", "，；：？！。")
_REPEATED_STOP = re.compile(f"([{LINE_ENDS}{PAUSE}])[{LINE_ENDS}{PAUSE}]+")
_LINE = re.compile(f"([^{LINE_ENDS}]+)[{LINE_ENDS}]")
# Radicals alone are the two halves of a character that the source could not write.
_MISSING = re.compile("[□○●\ufffd亻扌氵衤艹刂忄讠钅饣纟犭礻辶灬⺮]")
_NOT_VERSE = re.compile("诗题：|首句：")  # headings in a list of poems
_REGULAR = {
    (5, 4): "五言绝句",
    (7, 4): "七言绝句",
    (5, 8): "五言律诗",
    (7, 8): "七言律诗",
}
_UNIFORM = {4: "四言诗", 5: "五言诗", 6: "六言诗", 7: "七言诗"}


def clean_text(paragraphs: list[str]) -> str:
    """
    Joins the paragraphs and removes editors' notes, quotation marks and spaces.

    Defects that cannot be repaired (a missing character, a described glyph, Latin) stay, so that [`reject_reason`] finds them.
    """
    text = "".join(_close(paragraph) for paragraph in paragraphs)
    text = remove_notes(text)
    text = _FOOTNOTE_NUMBER.sub("", text).translate(_MARKS).translate(_TO_FULL_WIDTH)
    text = _REPEATED_STOP.sub(r"\1", "".join(text.split())).lstrip(LINE_ENDS + PAUSE)
    # A comma or a colon at the end is an error of the source.
    return text[:-1] + "。" if text.endswith(("，", "；", "：", PAUSE)) else text


def _close(paragraph: str) -> str:
    paragraph = paragraph.strip()
    ended = not paragraph or paragraph[-1] in LINE_ENDS + ",;:?!)）]］〕〗」』”\"'"
    return paragraph if ended else paragraph + "。"


def remove_notes(text: str) -> str:
    """Removes the notes of editors, which are in round or hollow brackets."""
    # Notes can be nested: each round removes the innermost.
    while (shorter := _NOTE.sub("", text)) != text:
        text = shorter
    return text


def split_lines(text: str) -> list[str]:
    """Splits a poem at its line ends: `"床前明月光，疑是地上霜。"` gives two lines without their marks."""
    return _LINE.findall(text)


def line_lengths(text: str) -> list[int]:
    """Counts the characters of every line; a pause inside a line does not count."""
    return [len(line) - line.count(PAUSE) for line in split_lines(text)]


def reject_reason(text: str) -> str | None:
    """The reason why a cleaned text, simplified and folded, is not used for training; `None` if it is used."""
    lengths = line_lengths(text)
    if not text:
        return "empty"
    if _MISSING.search(text):
        return "missing character"
    if _NOT_VERSE.search(text):
        return "not verse"
    if not all(is_han(c) or c in LINE_ENDS + PAUSE for c in text):
        return "stray symbol"
    if len(lengths) < 2:
        return "single line"
    if max(lengths) > MAX_LINE_LENGTH or min(lengths) == 0:
        return "line too long"
    return None


def detect_form(text: str, genre: str | None = None) -> str:
    """Names the form of a clean poem by its shape, unless the source says that it is `"词"`, `"曲"` or `"古文"`, which have none."""
    if genre:
        return genre
    lengths = line_lengths(text)
    if len(set(lengths)) > 1:
        return "杂言诗"
    length = lengths[0]
    return _REGULAR.get((length, len(lengths))) or _UNIFORM.get(length, "杂言诗")
