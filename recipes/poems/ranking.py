# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes held-out couplets with 99 competing lines for each of their lines, for `llada eval reversal --candidates`.

    python -m recipes.poems.ranking --corpus data/poems.safetensors.xz --output data/candidates.json

The couplets are from poems that no model was trained on. A competing line has the same place in another held-out couplet (first
or second) and the same length, and its last character shares a rhyme group of modern Standard Chinese with the true one, so
that neither meter nor rhyme reveals the true line. Couplets with a line of a training poem are left out. `--corpus` is the file
of `examples/pretrain.py --tokenize-only`.
"""

import argparse
import json
import random
from pathlib import Path

from transformers import AutoTokenizer

from modeling_llada.training.pretraining.corpus import Corpus, TokenizedDocuments
from modeling_llada.training.scripts import run_script
from modeling_llada.writing import write_atomically
from recipes.poems.check_form import rhyme_groups
from recipes.poems.couplets import ended_lines, strict_couplets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, help="tokenised corpus with the splits train, famous and test")
    parser.add_argument("--tokenizer", default="checkpoints/llada-poet", help="its tokenizer (%(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--couplets", type=int, default=300, help="how many couplets (%(default)s)")
    parser.add_argument("--distractors", type=int, default=99, help="lines that compete with each (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of both (%(default)s)")
    args = parser.parse_args()
    for name in ("couplets", "distractors"):
        if getattr(args, name) < 1:
            parser.error(f"`--{name}` must be at least 1, but got {getattr(args, name)}")

    corpus = Corpus.load(args.corpus)
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    read = set()
    for name in ("train", "famous"):
        for text in texts_of(corpus.splits[name], tokenizer):
            read.update(line for line, _ in ended_lines(text))
    couplets = []
    for text in texts_of(corpus.splits["test"], tokenizer):
        couplets += [couplet for couplet in strict_couplets(text) if read.isdisjoint(couplet)]
    candidates = choose(couplets, args.couplets, args.distractors, args.seed)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.output, json.dumps(candidates, ensure_ascii=False) + "\n")
    print(f"{len(candidates)} of {len(couplets):,} couplets: {args.output}")


def texts_of(documents: TokenizedDocuments, tokenizer) -> list[str]:
    """The texts of a split, without texts with a token that is no character."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    texts, start = [], 0
    for length in documents.lengths.tolist():
        characters = [tokens[token] for token in documents.tokens[start : start + length].tolist()]
        start += length
        if all(len(character) == 1 for character in characters):
            texts.append("".join(characters))
    return texts


def choose(couplets: list[tuple[str, str]], number: int, num_distractors: int, seed: int) -> list[dict]:
    """
    Draws couplets with enough competing lines, and these lines. There may be fewer than `number`. The result has the keys that
    [`~modeling_llada.evaluation.line_ranking.read_candidates`] reads.
    """
    generator = random.Random(seed)
    couplets = list(dict.fromkeys(couplets))
    kinds = [lines_by_kind(lines) for lines in zip(*couplets, strict=True)]
    chosen = []
    for couplet in generator.sample(couplets, len(couplets)):
        pools = [same_kind(line, by_kind, excluded=couplet) for line, by_kind in zip(couplet, kinds, strict=True)]
        if min(map(len, pools)) < num_distractors:
            continue
        lists = [generator.sample(pool, num_distractors) for pool in pools]
        names = ("first", "second", "first_distractors", "second_distractors")
        chosen.append(dict(zip(names, (*couplet, *lists), strict=True)))
        if len(chosen) == number:
            break
    return chosen


def lines_by_kind(lines) -> dict[tuple[int, str], list[str]]:
    """Lines by their length and each rhyme group of their last character, without repetitions."""
    by_kind = {}
    for line in dict.fromkeys(lines):
        for group in rhyme_groups(line[-1]):
            by_kind.setdefault((len(line), group), []).append(line)
    return by_kind


def same_kind(line: str, by_kind: dict[tuple[int, str], list[str]], excluded: tuple[str, str]) -> list[str]:
    """The other lines of the same length that rhyme, in a fixed order."""
    pools = [by_kind.get((len(line), group), []) for group in sorted(rhyme_groups(line[-1]))]
    return [other for other in dict.fromkeys(sum(pools, [])) if other not in excluded]


if __name__ == "__main__":
    run_script(main)
