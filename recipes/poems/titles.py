# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Cleans titles and names, and selects those that may be in a header."""

import re

from recipes.poems.alphabet import is_han
from recipes.poems.cleaning import remove_notes
from recipes.poems.header import MAX_TITLE_LENGTH


NO_AUTHOR = {"不详", "无名氏", "佚名", "阙名", "缺名", "失名", "无名", "未知", "郊庙朝会歌辞", "杂歌谣辞"}
NO_TITLE = {"句", "诗", "无题", "失题", "阙题", "缺题", "佚题", "佚句", "残句", "断句", "诗一首", "失调名", "失题一首"}
NO_TITLE |= {"前腔", "同前", "幺篇", "幺", "幺令", "尾", "二", "三", "四", "五", "六", "七"}

# The complete Tang poems call rulers by their temple names.
RULERS = {
    "太宗皇帝": "李世民",
    "高宗皇帝": "李治",
    "则天皇后": "武则天",
    "明皇帝": "李隆基",
    "德宗皇帝": "李适",
    "后主煜": "李煜",
    "嗣主璟": "李璟",
    "后主衍": "王衍",
}

_NUMBER = re.compile(r"^(.+?)[\s·]+其?([一二三四五六七八九十百〇○]+)$")
_MARKS = re.compile('[《》〈〉「」『』“”‘’"〖〗【】\\[\\]]')


def clean_title(title: str) -> str:
    """Normalizes a simplified title: `"咏怀 二"` becomes `"咏怀·其二"`, and a placeholder becomes `""`."""
    title = _MARKS.sub("", remove_notes(title)).replace("・", "·").strip(" \u3000·，。、")
    numbered = _NUMBER.match(title)
    name = numbered.group(1) if numbered else title
    if name.strip(" ·") in NO_TITLE:
        return ""
    name = re.sub(r"\s+", "·", name.strip(" ·，。、"))
    return f"{name}·其{numbered.group(2).replace('○', '〇')}" if numbered else name


def clean_author(author: str) -> str:
    """Removes notes from a name; anonymous authors become `""`."""
    author = re.sub(r"\s+", "", _MARKS.sub("", remove_notes(author)))
    return "" if author in NO_AUTHOR else RULERS.get(author, author)


def title_for_header(title: str, alphabet: set[str]) -> str:
    """Returns the title if it is short and the tokenizer can write it, else `""`."""
    return title if len(title) <= MAX_TITLE_LENGTH and _writable(title, alphabet) else ""


def author_for_header(author: str, alphabet: set[str]) -> str:
    """Returns the name if it is one and the tokenizer can write it, else `""`."""
    return author if len(author) <= 6 and _writable(author, alphabet) else ""


def _writable(text: str, alphabet: set[str]) -> bool:
    return alphabet.issuperset(text) and all(is_han(c) or c in "·，、" for c in text)
