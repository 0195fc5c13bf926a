# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Lets a checkpoint write several poems to each header, and keeps what the rewards say: pairs for VRPO, and the best ones for SFT.

    python -m recipes.poems.preferences --pairs data/poem_pairs.jsonl --winners data/poem_winners.jsonl
    python examples/vrpo.py --config recipes/poems/vrpo.yaml
    python examples/sft.py --config recipes/poems/winners.yaml

The score of a poem is the mean of the rewards of `recipes.poems.rewards`: form, rhyme, and lines of its own. A pair is the best and the
worst poem to a header. Headers of `recipes.poems.evaluate forms` have no title, and are left out here.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from modeling_llada.loading import load_checkpoint
from modeling_llada.seeds import indexed_generator
from modeling_llada.training.scripts import run_script
from modeling_llada.writing import check_writable, write_atomically
from recipes.commands import check_positive
from recipes.poems.evaluate import FORMS
from recipes.poems.rewards import keeps_form, own_lines, prompts_of, rhymes_by_tone


REWARDS = (keeps_form, rhymes_by_tone, own_lines)


def main(arguments: list[str] | None = None) -> None:
    args = parse_arguments(arguments)
    for path in (args.pairs, args.winners):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_writable(path)
    model, tokenizer = load_checkpoint(args.model, args.device)
    pairs, winners = [], []
    for number, (row, poems) in enumerate(written(model, tokenizer, args)):
        scores = scores_of(poems, row["form"])
        best, worst = (poems[scores.index(end)] for end in (max(scores), min(scores)))
        if max(scores) - min(scores) >= args.margin:
            pairs.append({"prompt": row["prompt"], "chosen": best, "rejected": worst})
        if max(scores) >= args.least:
            winners.append({"prompt": row["prompt"], "completion": best})
        if number % 500 == 499:
            print(f"{number + 1:,} headers, {len(pairs):,} pairs, {len(winners):,} winners", flush=True)
    for path, rows in ((args.pairs, pairs), (args.winners, winners)):
        write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(f"wrote {len(rows):,} rows to {path}")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="rows with prompt, chosen and rejected go here")
    parser.add_argument("--winners", type=Path, required=True, help="rows with prompt and completion go here")
    parser.add_argument("--model", default="checkpoints/llada-poet", help="(%(default)s)")
    parser.add_argument("--form", dest="forms", choices=FORMS, nargs="+", default=list(FORMS), help="(all)")
    parser.add_argument("--headers", type=int, default=1000, help="of each form, at most (%(default)s)")
    parser.add_argument("--poems", type=int, default=8, help="to each header (%(default)s)")
    parser.add_argument("--temperature", type=float, default=1.0, help="(%(default)s)")
    parser.add_argument(
        "--margin", type=float, default=0.1, help="between the scores of a pair, at least (%(default)s)"
    )
    parser.add_argument("--least", type=float, default=1.0, help="score of a winner (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="headers of a batch (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--device", help="(an accelerator, if there is one)")
    args = parser.parse_args(arguments)
    names = ("headers", "poems", "temperature", "margin", "batch_size")
    check_positive(parser, args, {name: f"--{name.replace('_', '-')}" for name in names})
    if args.poems < 2:
        parser.error("`--poems` must be at least 2, so that they can be compared, but got 1.")
    return args


def headers_of(form: str, number: int, seed: int) -> list[dict[str, str]]:
    """Headers of a form with titles, in a shuffled order."""
    rows = prompts_of(form)[1:]
    Random(f"headers {form} {seed}").shuffle(rows)
    return rows[:number]


def written(model, tokenizer, args: argparse.Namespace) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Each header with its poems, up to their ends, one token a pass."""
    end, start = tokenizer.eos_token_id, 0
    for form in args.forms:
        rows = headers_of(form, args.headers, args.seed)
        count, width = FORMS[form]
        for first in range(0, len(rows), args.batch_size):
            part = rows[first : first + args.batch_size]
            texts = [row["prompt"] for row in part for _ in range(args.poems)]
            inputs = tokenizer(texts, padding=True, return_tensors="pt").to(model.device)
            draws = [indexed_generator(args.seed, start + row, model.device) for row in range(len(texts))]
            start += len(texts)
            output = model.generate(
                **inputs, max_new_tokens=count * (width + 1) + 1, temperature=args.temperature, generator=draws
            )
            answers = output[:, inputs.input_ids.shape[1] :].tolist()
            poems = [tokenizer.decode(ids[: ids.index(end)] if end in ids else ids) for ids in answers]
            for place, row in enumerate(part):
                yield row, poems[place * args.poems : (place + 1) * args.poems]


def scores_of(poems: list[str], form: str) -> list[float]:
    """The mean of the rewards of each poem."""
    rewards = [reward(completions=poems, form=[form] * len(poems)) for reward in REWARDS]
    return [sum(values) / len(values) for values in zip(*rewards, strict=True)]


if __name__ == "__main__":
    run_script(main)
