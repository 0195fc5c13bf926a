# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Builds instructions about poems, with answers that a program can check.

    python -m recipes.poems.instructions --output data/instructions                        # from the famous poems alone
    python -m recipes.poems.instructions --output data/instructions --corpus data/poems    # and from the whole corpus

Writes train.jsonl, test.jsonl and statistics.json. A row has `messages` (a user's and an assistant's turn), `task`,
`language` (zh or en, of the instruction; answers are Chinese), `phrasing` and `items` (how it differs from training, see below),
`id`, and `check`, which instruction_checks.py reads. evaluate_instructions.py asks the rows of test.jsonl.

The test rows measure the following. No test row is about a poem of the training, or asks for a whole line of four characters or
more that is in a training answer (a title or the heads of an acrostic may be such a line by chance). `phrasing` is `trained` if
training has the same grammar for other items, else `new`, see instruction_wordings.py. The only instruction that both may have
is a form without further details (写一首五言绝句), which has endless answers.
- next, previous, author, title, and fill of `famous`: about the half of the famous poems that training never asks about.
  The base model has read them as documents, so this measures whether instructions reach its memory.
- write and acrostic (and fill of `corpus`), with `--corpus`: about poems that neither the base model nor the training has
  seen. For write and acrostic many answers are right. fill asks for the exact characters, and only some follow from the rest.
  Without `--corpus` these tasks too are about the famous half, and a model may quote.
- acrostic of `idiom`: phrases of four characters, which are the heads of no poem in training. Half of the training
  acrostics are on other phrases, see instruction_collage.py.
- theme of `famous`: themes of the training in new words; of `new theme`: themes that training never asks for. An answer
  is right if it quotes a famous poem with that tag, from either half.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from modeling_llada.writing import write_atomically
from recipes.poems.instruction_collage import LinePool
from recipes.poems.instruction_split import Split, split_poems
from recipes.poems.instruction_tasks import IDIOMS, MAX_ANSWER_LENGTH, TASKS, Item, Scope, acrostic_on, keeps_form
from recipes.poems.instruction_wordings import LANGUAGES, count_all, say


WEIGHTS = {
    "write": 0.2,
    "acrostic": 0.2,
    "fill": 0.1,
    "next": 0.13,
    "previous": 0.14,
    "author": 0.09,
    "title": 0.09,
    "theme": 0.05,
}
FROM_CORPUS = ("write", "acrostic")  # the other tasks, and half of fill, ask for what the base model has read
MAX_ROW_LENGTH = 128  # tokens of the longest rows in the training of llada-poet
NUM_MARKS = 2  # the newline after the instruction and EOS, see instruct_template.jinja
PATIENCE = 20  # a pool is exhausted after so many misses in a row for each of its poems


def main(arguments: list[str] | None = None) -> None:
    """Writes the instructions as the command line asks."""
    args = parse_arguments(arguments)
    train, test = split_poems(args.corpus)
    rows = {
        "train": training_rows(train, args.weights, args.train, args.english, args.seed, args.corpus is not None),
        "test": test_rows(train, test, args.test, args.seed, args.corpus is not None),
    }
    statistics = {name: measure(part) for name, part in rows.items()}
    args.output.mkdir(parents=True, exist_ok=True)
    for name, part in rows.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in part]
        write_atomically(args.output / f"{name}.jsonl", "".join(lines))
    options = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    report = {"options": options, **statistics, "phrasings": count_all()}
    write_atomically(args.output / "statistics.json", json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    print_statistics(statistics)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the folder to write into")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="folder of prepare.py (only the famous poems)")
    parser.add_argument("--train", type=int, default=262_144, metavar="N", help="training rows (%(default)s)")
    parser.add_argument(
        "--test",
        type=int,
        default=100,
        metavar="N",
        help="test rows for each task, language and phrasing (%(default)s)",
    )
    parser.add_argument(
        "--english", type=float, default=0.4, metavar="P", help="share of the training rows in English (%(default)s)"
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=[],
        metavar="TASK=W",
        help=f"of the training mixture, in any unit; 0 leaves a task out (now: {' '.join(f'{t}={w}' for t, w in WEIGHTS.items())})",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice and the order (%(default)s)")
    args = parser.parse_args(arguments)
    if args.train < 1 or args.test < 1:
        parser.error("`--train` and `--test` must be at least 1.")
    if not 0 <= args.english <= 1:
        parser.error(f"`--english` must be a share, from 0 to 1, but got {args.english}.")
    try:
        args.weights = WEIGHTS | dict(map(parse_weight, args.weights))
    except ValueError as error:
        parser.error(str(error))
    if not any(args.weights.values()):
        parser.error("`--weights` must leave at least one task above 0.")
    return args


def parse_weight(text: str) -> tuple[str, float]:
    """Reads `next=0.1`."""
    task, _, value = text.partition("=")
    if task not in TASKS:
        raise ValueError(f"`--weights` must name tasks, which are {', '.join(TASKS)}; got {text!r}.")
    try:
        weight = float(value)
    except ValueError:
        weight = -1.0
    if not 0 <= weight < float("inf"):
        raise ValueError(f"`--weights` must be numbers from 0, as in next=0.1; got {text!r}.")
    return task, weight


def training_rows(
    split: Split, weights: dict[str, float], num_rows: int, english: float, seed: int, has_corpus: bool = False
) -> list[dict]:
    """Makes distinct training rows in random order. A task without enough distinct rows gives fewer."""
    from tqdm.auto import tqdm

    rows = []
    with tqdm(total=num_rows, desc="train", unit=" rows", mininterval=1) as bar:
        for task, weight in weights.items():
            rng = random.Random(f"{seed} {task}")
            poems = task_poems(task, split, has_corpus, rng)
            count = round(num_rows * weight / sum(weights.values()))
            pool = LinePool(list(filter(keeps_form, split.corpus))) if task == "acrostic" and count else None
            scope = Scope(frozenset(split.themes), pool=pool)
            for row in distinct_rows(task, poems, scope, english, rng, count):
                rows.append(row)
                bar.update()
    random.Random(seed).shuffle(rows)
    return [{"id": f"train-{index}"} | row for index, row in enumerate(rows)]


def task_poems(task: str, split: Split, has_corpus: bool, rng: random.Random) -> list[tuple[str, dict]]:
    """The poems to ask about in training, each with the name of its source."""
    from_corpus = has_corpus and (task in FROM_CORPUS or task == "fill")
    poems = [("corpus", poem) for poem in split.corpus] if from_corpus else []
    if not has_corpus or task not in FROM_CORPUS:
        famous = [("famous", poem) for poem in split.famous]
        # Half of the gaps are in famous poems.
        poems += famous * (len(poems) // len(famous) if poems else 1)
    rng.shuffle(poems)
    return poems


def distinct_rows(
    task: str, poems: list[tuple[str, dict]], scope: Scope, english: float, rng: random.Random, count: int
) -> Iterator[dict]:
    """Repeats the poems until there are enough rows, or no new rows are found."""
    seen, misses = set(), 0
    while poems and len(seen) < count and misses < PATIENCE * len(poems):
        for source, poem in poems:
            item = TASKS[task](poem, rng, scope)
            language = LANGUAGES[rng.random() < english]
            row = item and make_row(task, item, language, "trained", source, rng)
            turns = row and tuple(message["content"] for message in row["messages"])
            if not row or turns in seen:
                misses += 1
                continue
            seen.add(turns)
            misses = 0
            yield row
            if len(seen) == count:
                return


def make_row(task: str, item: Item, language: str, phrasing: str, items: str, rng: random.Random) -> dict | None:
    """Puts an item into words; `None` if each wording is too long."""
    instruction = say(item.group, language, phrasing, item.slots, MAX_ROW_LENGTH - row_length("", item.answer), rng)
    if len(item.answer) > MAX_ANSWER_LENGTH or not instruction:
        return None
    messages = [{"role": "user", "content": instruction}, {"role": "assistant", "content": item.answer}]
    return {
        "task": task,
        "language": language,
        "phrasing": phrasing,
        "items": items,
        "messages": messages,
        "check": item.check,
    }


def row_length(instruction: str, answer: str) -> int:
    """The tokens of a row, one for each character."""
    return len(instruction) + len(answer) + NUM_MARKS


def test_rows(train: Split, test: Split, num_rows: int, seed: int, has_corpus: bool = False) -> list[dict]:
    """Makes the test rows: the same items in both languages, in trained and in new words."""
    rows = []
    for task in TASKS:
        for items, chosen in test_items(task, train, test, num_rows, seed, has_corpus).items():
            for language in LANGUAGES:
                for phrasing in ("new",) if (task, items) == ("theme", "famous") else ("trained", "new"):
                    rng = random.Random(f"{seed} {task} {items} {language} {phrasing}")
                    made = [make_row(task, item, language, phrasing, items, rng) for item in chosen]
                    rows += [
                        {"id": f"{task}-{items}-{language}-{phrasing}-{index}".replace(" ", "_")} | row
                        for index, row in enumerate(made)
                        if row
                    ]
    return rows


def test_items(
    task: str, train: Split, test: Split, num_rows: int, seed: int, has_corpus: bool
) -> dict[str, list[Item]]:
    """The test items of a task by source."""
    if task == "theme":
        return {
            name: choose_items(task, test.famous, Scope(frozenset(themes)), num_rows, seed)
            for name, themes in (("famous", train.themes), ("new theme", test.themes))
        }
    scope = Scope(is_strict=task in ("next", "previous"))
    famous = {} if has_corpus and task in FROM_CORPUS else {"famous": test.famous}
    corpus = {"corpus": test.corpus} if has_corpus and task in (*FROM_CORPUS, "fill") else {}
    chosen = {name: choose_items(task, poems, scope, num_rows, seed) for name, poems in (famous | corpus).items()}
    if task == "acrostic":
        forms = ("五言绝句", "七言绝句")
        chosen["idiom"] = [acrostic_on(heads, forms[i % 2]) for i, heads in enumerate(IDIOMS)][:num_rows]
    return chosen


def choose_items(task: str, poems: list[dict], scope: Scope, num_rows: int, seed: int) -> list[Item]:
    """Chooses one item for each of some poems, all with distinct questions."""
    rng = random.Random(f"{seed} test {task}")
    items = {}
    for poem in rng.sample(poems, len(poems)):
        item = TASKS[task](poem, rng, scope)
        if item and len(items) < num_rows:
            items.setdefault(item.key, item)
    return list(items.values())


def measure(rows: list[dict]) -> dict:
    """Counts the rows of each task, language, phrasing and source, and their tokens."""
    lengths = {}
    for task in (task for task in TASKS if any(row["task"] == task for row in rows)):
        turns = [[m["content"] for m in row["messages"]] for row in rows if row["task"] == task]
        lengths[task] = {
            "rows": len(turns),
            "instruction": quantiles([len(instruction) for instruction, _ in turns]),
            "answer": quantiles([len(answer) for _, answer in turns]),
            "row": quantiles([row_length(*pair) for pair in turns]),
        }
    groups = Counter(" ".join(row[key] for key in ("task", "items", "language", "phrasing")) for row in rows)
    return {"rows": len(rows), "tokens": lengths, "groups": dict(sorted(groups.items()))}


def quantiles(values: list[int]) -> dict[str, int]:
    """Median, 95th percentile and largest."""
    values = sorted(values)
    return {"median": values[len(values) // 2], "p95": values[int(0.95 * len(values))], "max": values[-1]}


def print_statistics(statistics: dict) -> None:
    for name, part in statistics.items():
        print(f"\n{name}: {part['rows']:,} rows; tokens, as median / 95% / most")
        print(f"  {'task':<10}{'rows':>9}{'instruction':>18}{'answer':>18}{'whole row':>18}")
        for task, values in part["tokens"].items():
            cells = [" / ".join(map(str, values[key].values())) for key in ("instruction", "answer", "row")]
            print(f"  {task:<10}{values['rows']:>9,}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
