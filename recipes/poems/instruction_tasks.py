# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tasks: questions about a poem, with their answers.

Each task is a function from a poem and a random number generator to an [`Item`], or to `None` if the poem does not fit.
`instruction_wordings` puts an item into words.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from recipes.poems.alphabet import PAUSE, load_alphabet, load_han
from recipes.poems.check_form import check_form
from recipes.poems.cleaning import split_lines
from recipes.poems.couplets import ended_lines, famous_poems, strict_couplets
from recipes.poems.header import poem_header
from recipes.poems.instruction_checks import GAP, make_check
from recipes.poems.instruction_collage import PHRASE_LENGTH, LinePool
from recipes.poems.instruction_split import MIN_LINE_LENGTH
from recipes.poems.themes import THEMES, famous_themes
from recipes.poems.titles import author_for_header, title_for_header


MAX_ANSWER_LENGTH = 64  # characters, which are tokens: a 七言律诗
SHAPES_IN_ENGLISH = {
    "五言绝句": "quatrain of five-character lines",
    "七言绝句": "quatrain of seven-character lines",
    "五言律诗": "regulated verse of eight five-character lines",
    "七言律诗": "regulated verse of eight seven-character lines",
}
KINDS_IN_ENGLISH = {
    "五言绝句": "five-character quatrain",
    "七言绝句": "seven-character quatrain",
    "五言律诗": "five-character regulated verse",
    "七言律诗": "seven-character regulated verse",
}
COMMON_HAN = 3000  # only common characters are asked for as heads
SENTENCE_ENDS = "。？！"
SECOND_GAP = 0.3  # share of the couplets with gaps in two places
ON_PHRASE = 0.5  # share of the acrostics on phrases, if there is a pool of lines
# Typical phrases for acrostics. Only the test asks for them.
# fmt: off
IDIOMS = [
    "春夏秋冬", "梅兰竹菊", "花好月圆", "风花雪月", "东西南北", "江山如画", "国泰民安", "山高水长", "天长地久", "鸟语花香", "青山绿水", "明月清风",
    "琴棋书画", "高山流水", "春暖花开", "万事如意", "前程似锦", "平安喜乐", "金玉满堂", "松鹤延年", "诗酒年华", "人间天上", "长风破浪", "一帆风顺",
    "海阔天空", "清风徐来", "云淡风轻", "秋水长天", "烟雨江南", "白日青天", "四海为家", "千里同风", "生日快乐", "百年好合", "心想事成", "龙马精神",
]
# fmt: on


@dataclass(frozen=True)
class Item:
    """A question about a poem."""

    group: str  # of phrasings
    slots: dict[str, str]  # the values for the braces in the phrasings
    answer: str  # a right one
    check: dict  # of answers, see `instruction_checks`

    @property
    def key(self) -> tuple:
        """A key that is equal for items with the same question."""
        return self.group, *self.slots.values()


@dataclass(frozen=True)
class Scope:
    """The scope of the tasks."""

    themes: frozenset[str] = frozenset()
    is_strict: bool = False  # lines are asked only within couplets `LINE，LINE。`, as in the recall benchmark
    pool: LinePool | None = None  # the lines of acrostics on phrases; without it there are no such acrostics


Pair = tuple[str, str, str, str]  # a line, its mark, the next line, its mark


def line_pairs(text: str, is_strict: bool = False) -> list[Pair]:
    """Lists the neighboring lines of a poem, each with its end mark."""
    if is_strict:
        return [(first, "，", second, "。") for first, second in strict_couplets(text)]
    lines = ended_lines(text)
    pairs = [(*first, *second) for first, second in zip(lines, lines[1:], strict=False)]
    return [pair for pair in pairs if min(len(pair[0]), len(pair[2])) >= MIN_LINE_LENGTH]


@cache
def _famous_tables() -> dict[str, dict[str, set[str]]]:
    """The neighbors of each line of the famous poems, and the poet and the title of each couplet."""
    tables = {name: defaultdict(set) for name in ("next", "previous", "author", "title")}
    for poem in famous_poems():
        for pair in line_pairs(poem["text"]):
            first, _, second, _ = pair
            tables["next"][first].add(second)
            tables["previous"][second].add(first)
            tables["author"][_couplet(pair)].add(poem["author"])
            tables["title"][_couplet(pair)].add(poem["title"])
    return tables


def _couplet(pair: Pair) -> str:
    return "".join(pair[:3])


def _choose(options: list, rng: random.Random):
    return rng.choice(options) if options else None


def next_line(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for the line after a line."""
    return _neighbor("next", poem, rng, scope)


def previous_line(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for the line before a line."""
    return _neighbor("previous", poem, rng, scope)


def _neighbor(asked: str, poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for a neighbor, if it is unique. The answer has both lines, because the model recalls a line best beside the other."""
    neighbors = _famous_tables()[asked]
    given, missing = (0, 2) if asked == "next" else (2, 0)
    pair = _choose([p for p in line_pairs(poem["text"], scope.is_strict) if len(neighbors[p[given]]) == 1], rng)
    if pair is None or PAUSE in pair[missing]:  # a gap stands for a character, not for a pause
        return None
    answer = "".join(pair)
    pattern = "".join(GAP * len(part) if place == missing else part for place, part in enumerate(pair))
    return Item(asked, {"line": pair[given]}, answer, make_check("fill", answers=[answer], pattern=pattern))


def fill(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for the missing characters of a couplet, in one or two places."""
    pairs = line_pairs(poem["text"], is_strict=True)
    # A gap stands for a character, not for a pause.
    pair = _choose([pair for pair in pairs if PAUSE not in "".join(pair)], rng)
    if pair is None:
        return None
    text = "".join(pair)
    starts = [0, len(pair[0]) + 1]
    rng.shuffle(starts)
    pattern = list(text)
    for start in starts[: 1 + (rng.random() < SECOND_GAP)]:
        width = len(pair[0])
        length = rng.randint(1, width if pattern == list(text) else width - 1)
        begin = start + rng.randint(0, width - length)
        pattern[begin : begin + length] = GAP * length
    pattern = "".join(pattern)
    return Item("fill", {"pattern": pattern}, text, make_check("fill", answers=[text], pattern=pattern))


def author(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for the poet of a couplet."""
    return _source("author", poem, rng)


def title(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for the title of a couplet's poem, with or without its number in a cycle."""
    return _source("title", poem, rng)


def _source(asked: str, poem: dict, rng: random.Random) -> Item | None:
    """Asks for the source of a couplet. The answer is the couplet after title and author, as the model has read it."""
    values = _famous_tables()[asked]
    names = {
        "title": title_for_header(poem["title"], _alphabet()),
        "author": author_for_header(poem["author"], _alphabet()),
    }
    pairs = [
        pair for pair in line_pairs(poem["text"]) if pair[1] not in SENTENCE_ENDS and len(values[_couplet(pair)]) == 1
    ]
    pair = _choose(pairs, rng)
    if pair is None or not all(names.values()):
        return None
    answers = list(dict.fromkeys([names[asked], names[asked].split("·其")[0]]))
    answer = poem_header(**names) + "".join(pair)
    return Item(asked, {"couplet": _couplet(pair)}, answer, make_check(asked, answers=answers))


def acrostic(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for a poem whose lines begin with given characters, which are distinct and common."""
    if not keeps_form(poem):
        return None
    if scope.pool and rng.random() < ON_PHRASE:
        return _acrostic_on_phrase(rng, scope.pool)
    heads = "".join(line[0] for line in split_lines(poem["text"]))
    return acrostic_on(heads, poem["form"], poem["text"]) if _are_good_heads(heads) else None


def _acrostic_on_phrase(rng: random.Random, pool: LinePool) -> Item | None:
    form = rng.choice(list(SHAPES_IN_ENGLISH))
    heads = pool.draw_heads(form, rng)
    answer = pool.compose(heads, form, rng) if heads and _are_good_heads(heads) else None
    return acrostic_on(heads, form, answer) if answer else None


def _are_good_heads(heads: str) -> bool:
    parts = {heads[start : start + PHRASE_LENGTH] for start in range(0, len(heads), PHRASE_LENGTH)}
    return parts.isdisjoint(IDIOMS) and len(set(heads)) == len(heads) and _common_han().issuperset(heads)


def acrostic_on(heads: str, form: str, answer: str = "") -> Item:
    """An acrostic on characters, which need not be the heads of a real poem."""
    slots = {"heads": heads, "listed": "、".join(heads), "spaced": " ".join(heads)} | _form_slots(form)
    return Item("acrostic", slots, answer, make_check("acrostic", heads=heads, form=form))


def write(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for a poem of a form, with or without a title and a poet to imitate."""
    if not keeps_form(poem):
        return None
    name = author_for_header(poem["author"], _alphabet())
    heading = title_for_header(poem["title"], _alphabet())
    groups = {"write form": True, "write title": heading, "write author": name, "write all": heading and name}
    group = rng.choice([group for group, is_possible in groups.items() if is_possible])
    slots = _form_slots(poem["form"])
    slots |= {"title": heading} if group in ("write title", "write all") else {}
    slots |= {"author": name} if group in ("write author", "write all") else {}
    return Item(group, slots, poem["text"], make_check("form", form=poem["form"]))


def theme(poem: dict, rng: random.Random, scope: Scope) -> Item | None:
    """Asks for a famous poem about a theme."""
    themes = sorted(_themes_of()[poem["text"]] & scope.themes)
    if not themes or len(poem["text"]) > MAX_ANSWER_LENGTH:
        return None
    name = rng.choice(themes)
    slots = {"theme": name, "theme_en": THEMES[name][0]}
    return Item("theme", slots, poem["text"], make_check("theme", theme=name))


TASKS: dict[str, Callable[[dict, random.Random, Scope], Item | None]] = {
    "write": write,
    "acrostic": acrostic,
    "fill": fill,
    "next": next_line,
    "previous": previous_line,
    "author": author,
    "title": title,
    "theme": theme,
}


def keeps_form(poem: dict) -> bool:
    """Whether a poem has one of the forms to write, and keeps it."""
    return poem["form"] in SHAPES_IN_ENGLISH and check_form(poem["text"], poem["form"]).passed


def _form_slots(form: str) -> dict[str, str]:
    """The names of a form: 五言绝句, 五绝, and two in English."""
    return {
        "form": form,
        "short": form[0] + form[2],
        "kind": KINDS_IN_ENGLISH[form],
        "shape": SHAPES_IN_ENGLISH[form],
    }


@cache
def _themes_of() -> dict[str, set[str]]:
    themes = defaultdict(set)
    for name, poems in famous_themes().items():
        for poem in poems:
            themes[poem["text"]].add(name)
    return themes


@cache
def _alphabet() -> set[str]:
    return set(load_alphabet())


@cache
def _common_han() -> set[str]:
    return set(load_han()[:COMMON_HAN])
