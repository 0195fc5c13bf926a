# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Builds the poem corpus of the checkpoint llada-poet from the npm package `chinese-poetry` (MIT).

It cleans the poems, converts them to simplified script, drops near-duplicates and poems with rare characters, and writes a
`datasets` folder with the splits `train`, `test` (about 1%, without famous poems) and `famous` (also in `train`).
"""

import argparse
import json
import lzma
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modeling_llada.writing import complete_or_absent, write_atomically
from recipes.poems.alphabet import LINE_ENDS, is_han, load_alphabet
from recipes.poems.check_form import RHYMING_FORMS
from recipes.poems.cleaning import clean_text, detect_form, reject_reason, split_lines
from recipes.poems.dedupe import NearDuplicates, find_repeated, is_held_out
from recipes.poems.header import header_variants
from recipes.poems.sources import RawPoem, fetch_package, open_package, read_poems
from recipes.poems.titles import author_for_header, clean_author, clean_title, title_for_header
from recipes.poems.variants import VariantFolder


EXAMPLES = """examples:
  download the package with npm and build everything:
    python -m recipes.poems.prepare --output data/poems
  build from an archive that is already here:
    python -m recipes.poems.prepare --source chinese-poetry-2.0.1.tgz --output data/poems
  write the two files that the repository keeps:
    python -m recipes.poems.prepare --output data/poems --write-vocabulary recipes/poems/vocab_han.json
    python -m recipes.poems.prepare --output data/poems --write-famous recipes/poems/famous.jsonl.xz
"""
COMMON_TUNE = 20  # a title of so many 词 is the name of a tune


@dataclass
class Poem:
    """A clean poem; the fields are the columns of the data set."""

    text: str
    title: str
    author: str
    form: str
    source: str
    headers: list[str] = field(default_factory=list)
    famous: bool = False


def main() -> None:
    """Builds the corpus as the command line asks."""
    args = parse_arguments()
    dist = open_package(args.source or fetch_package(args.cache), args.cache)
    rejected: Counter[str] = Counter()
    candidates = list(convert(progress(read_poems(dist), "read"), rejected))
    mark_pairs(candidates, args.pairs)
    if args.write_vocabulary:
        write_vocabulary(candidates, args.write_vocabulary, args.vocabulary_size)
    alphabet = set(load_alphabet(args.write_vocabulary or args.vocabulary))
    poems = list(select(progress(candidates, "select"), alphabet, rejected))
    add_headers(poems, alphabet)
    splits = split(poems, args.seed)
    save_splits(splits, args.output)
    if args.write_famous:
        write_famous(splits["famous"], args.write_famous)
    print_summary(splits, rejected)


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    vocabulary, cache = Path(__file__).with_name("vocab_han.json"), Path("~/.cache/llada-poems").expanduser()
    pairs = 'a JSON list of pairs, [line, next] or {"first": line, "second": next}: poems that hold one become famous'
    add = parser.add_argument
    add("--output", type=Path, required=True, help="the data set folder to write; replaced when it is there")
    add("--source", type=Path, help="the archive of the package or its unpacked folder; default: download")
    add("--cache", type=Path, default=cache, help="where the download is kept (%(default)s)")
    add("--pairs", type=Path, help=pairs)
    add("--vocabulary", type=Path, default=vocabulary, help="the Han characters that poems may use (%(default)s)")
    add("--write-vocabulary", type=Path, metavar="PATH", help="first choose the characters, and write them here")
    add("--vocabulary-size", type=int, default=6260, metavar="N", help="how many to choose (%(default)s)")
    add("--write-famous", type=Path, metavar="PATH", help="also write the famous poems as .jsonl.xz")
    add("--seed", type=int, default=0, help="of the order of the training split (%(default)s)")
    return parser.parse_args(arguments)


def progress(items: Iterable, name: str) -> Iterable:
    """Shows a progress bar."""
    from tqdm.auto import tqdm

    return tqdm(items, desc=name, unit=" poems", mininterval=2)


def convert(raws: Iterable[RawPoem], rejected: Counter) -> Iterator[Poem]:
    """Cleans the poems and converts them to simplified script; counts the reasons of dropped poems."""
    from opencc import OpenCC

    converter, fold = OpenCC("t2s"), VariantFolder()
    tunes: Counter[str] = Counter()
    for raw in raws:
        fields = "\x1f".join([raw.title or "", raw.author or "", *raw.paragraphs])
        title, author, *paragraphs = fold(converter.convert(fields)).split("\x1f")
        text = clean_text(paragraphs)
        reason = "spoken stage play" if _is_spoken(raw) else reject_reason(text)
        if reason:
            rejected[reason] += 1
            continue
        if raw.genre == "词":
            tunes[title] += 1
        form = detect_form(text, raw.genre or _tune_genre(text, title, raw, tunes))
        yield Poem(text, clean_title(title), clean_author(author), form, raw.source, famous=raw.famous)


def _is_spoken(raw: RawPoem) -> bool:
    # Plays mix songs with speech, which has stage directions: (正末云), ［净］.
    return raw.genre == "曲" and any(mark in paragraph for paragraph in raw.paragraphs for mark in "(（［")


def _tune_genre(text: str, title: str, raw: RawPoem, tunes: Counter) -> str | None:
    # The complete Tang poems have early 词 under the name of their tune.
    name = title.split()[0].split("·")[0] if title.split() else ""
    is_tune = raw.genre is None and not raw.is_folk_song and tunes[name] >= COMMON_TUNE
    return "词" if is_tune and detect_form(text) not in RHYMING_FORMS else None


def mark_pairs(poems: list[Poem], path: Path | None) -> None:
    """Marks the poems with one of the user's pairs of lines as famous."""
    if path is None:
        return
    records = json.loads(path.read_text(encoding="utf-8"))
    pairs = {(r["first"], r["second"]) if isinstance(r, dict) else tuple(r) for r in records}
    for poem in poems:
        lines = split_lines(poem.text)
        poem.famous |= not pairs.isdisjoint(zip(lines, lines[1:], strict=False))


def write_vocabulary(poems: list[Poem], path: Path, size: int) -> None:
    """Chooses all characters of the famous poems and then the most frequent characters, and writes them by frequency."""
    counts = Counter(c for poem in poems for c in poem.text if is_han(c))
    needed = {c for poem in poems if poem.famous for c in poem.text + poem.title + poem.author if is_han(c)}
    # The code point breaks ties, so that the list does not depend on the order of reading.
    by_frequency = sorted(counts.keys() | needed, key=lambda c: (-counts[c], c))
    others = [c for c in by_frequency if c not in needed][: size - len(needed)]
    chosen = sorted(needed.union(others), key=lambda c: (-counts[c], c))
    write_atomically(path, json.dumps(chosen, ensure_ascii=False) + "\n")


def select(candidates: Iterable[Poem], alphabet: set[str], rejected: Counter) -> Iterator[Poem]:
    """Yields the poems that the tokenizer can write and that repeat no earlier poem, famous poems first."""
    seen = NearDuplicates()
    # Sorting is stable, so the order of the collections stays among famous poems and among the others.
    for poem in sorted(candidates, key=lambda poem: not poem.famous):
        if not alphabet.issuperset(poem.text):
            rejected["rare character"] += 1
        elif seen.add(split_lines(poem.text)):
            yield poem
        else:
            rejected["near-duplicate"] += 1


def add_headers(poems: list[Poem], alphabet: set[str]) -> None:
    """Adds to each poem the headers that it can be trained with."""
    for poem in poems:
        title = title_for_header(poem.title, alphabet)
        poem.headers = header_variants(poem.form, title, author_for_header(poem.author, alphabet))


def split(poems: list[Poem], seed: int) -> dict[str, list[Poem]]:
    """Splits into `train` (shuffled, the famous poems among them), `test` and `famous`."""
    held_out = [poem for poem in poems if not poem.famous and is_held_out(poem.text)]
    train = [poem for poem in poems if poem.famous or not is_held_out(poem.text)]
    leaked = find_repeated([split_lines(poem.text) for poem in held_out], (split_lines(poem.text) for poem in train))
    test = [poem for i, poem in enumerate(held_out) if i not in leaked]
    train += [held_out[i] for i in sorted(leaked)]
    random.Random(seed).shuffle(train)
    return {"train": train, "test": test, "famous": [poem for poem in poems if poem.famous]}


def save_splits(splits: dict[str, list[Poem]], output: Path) -> None:
    """Writes the data set folder, which is complete or absent."""
    from datasets import Dataset, DatasetDict

    rows = {name: Dataset.from_list([_row(poem) for poem in poems]) for name, poems in splits.items()}
    with complete_or_absent(output) as folder:
        DatasetDict(rows).save_to_disk(folder)


def _row(poem: Poem) -> dict:
    row = asdict(poem)
    del row["famous"]
    return row


def write_famous(poems: list[Poem], path: Path) -> None:
    """Writes the famous poems as compressed JSON lines, without the headers, which follow from the other columns."""
    keys = ("text", "title", "author", "form", "source")
    lines = [json.dumps({key: getattr(poem, key) for key in keys}, ensure_ascii=False) for poem in poems]
    write_atomically(path, lzma.compress(("\n".join(lines) + "\n").encode("utf-8"), preset=9 | lzma.PRESET_EXTREME))


def print_summary(splits: dict[str, list[Poem]], rejected: Counter) -> None:
    """Prints the numbers of kept poems, and of dropped poems by reason."""
    print(f"\n{'split':<10}{'poems':>10}{'lines':>12}{'tokens':>13}")
    for name, poems in splits.items():
        lines = sum(c in LINE_ENDS for poem in poems for c in poem.text)
        tokens = sum(len(poem.text) for poem in poems)
        print(f"{name:<10}{len(poems):>10,}{lines:>12,}{tokens:>13,}")
    kept = splits["train"] + splits["test"]
    for label, counts in (
        ("form", Counter(poem.form for poem in kept)),
        ("source", Counter(poem.source for poem in kept)),
        ("dropped because", rejected),
    ):
        print(f"\n{label}")
        for name, count in counts.most_common():
            print(f"  {name:<22}{count:>10,}")


if __name__ == "__main__":
    main()
