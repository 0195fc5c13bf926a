# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Evaluates llada-poet, and writes the result into one JSON file.

    python -m recipes.poems.evaluate recall
    python -m recipes.poems.evaluate recall --pairs my_pairs.json --device cuda
    python -m recipes.poems.evaluate held-out --corpus data/poems.safetensors.xz --device cuda
    python -m recipes.poems.evaluate forms --samples 200 --temperature 0.7

- recall: each couplet of the famous poems is asked forwards (`LINE，` + masks + `。`) and backwards (masks + `，LINE。`) as
  plain text, greedily, in float32; only a whole line is a hit. `--pairs` takes other couplets, as a JSON list of
  [first, second] lines or of objects with these two keys.
- held-out: the bound on the negative log-likelihood (eq. 6 of the paper), in nats per token, on windows of 128 tokens of
  the held-out poems.
- forms: poems written from a header with only a form: the number and length of their lines, their rhyme, repeated lines, and
  lines of famous poems.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import torch

from modeling_llada.loading import load_checkpoint
from modeling_llada.training.pretraining.corpus import Corpus, lay_out
from modeling_llada.training.pretraining.held_out_loss import held_out_loss
from modeling_llada.training.scripts import run_script
from reporting.results import save


WIDTH = 128  # tokens of a held-out window
FORMS = {"五言绝句": (4, 5), "七言绝句": (4, 7), "五言律诗": (8, 5), "七言律诗": (8, 7)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["recall", "held-out", "forms"], help="what to measure")
    parser.add_argument("--model", default="checkpoints/llada-poet", help="folder of the checkpoint, or of an adapter")
    parser.add_argument("--device", default="cpu", help="where to run, such as cuda")
    parser.add_argument("--batch-size", type=int, default=256, help="rows of a forward pass")
    parser.add_argument("--pairs", help="recall: JSON list of [first, second] lines in place of the famous couplets")
    parser.add_argument("--limit", type=int, help="recall: only the first N couplets")
    parser.add_argument("--corpus", help="held-out: tokenised corpus, see examples/pretrain.py --tokenize-only")
    parser.add_argument("--noise-samples", type=int, default=16, help="held-out: noise samples for each window")
    parser.add_argument("--samples", type=int, default=200, help="forms: poems for each form")
    parser.add_argument("--temperature", type=float, default=0.7, help="forms: sampling temperature")
    parser.add_argument("--block-length", type=int, help="forms: length of the blocks, by default one block")
    parser.add_argument("--remasking", default="low_confidence", help="forms: remasking strategy")
    parser.add_argument("--spare-tokens", type=int, default=1, help="forms: masks beyond the length of the form")
    parser.add_argument("--seed", type=int, default=0, help="seed of noise and samples")
    parser.add_argument("--json", type=Path, help="write the result here")
    args = parser.parse_args()
    if args.part == "held-out" and not (args.corpus and Path(args.corpus).is_file()):
        parser.error(f"`--corpus` must name a tokenised corpus, but got {args.corpus}.")
    if args.limit is not None and args.limit < 1:
        parser.error(f"`--limit` must be at least 1, but got {args.limit}.")

    model, tokenizer = load_checkpoint(args.model, args.device, dtype="float32")
    started = time.monotonic()
    result = {"recall": measure_recall, "held-out": measure_held_out, "forms": measure_forms}[args.part](
        model, tokenizer, args
    )
    result = {"part": args.part, "model": args.model} | result | {"seconds": round(time.monotonic() - started, 1)}
    print(json.dumps({k: v for k, v in result.items() if k != "poems"}, ensure_ascii=False, indent=1))
    if args.json:
        save(args.json, result)


def measure_recall(model, tokenizer, args: argparse.Namespace) -> dict:
    """Exact match of whole lines in both directions."""
    if args.pairs:
        pairs = json.loads(Path(args.pairs).read_bytes())
        pairs = [(pair["first"], pair["second"]) if isinstance(pair, dict) else tuple(pair) for pair in pairs]
    else:
        from recipes.poems.couplets import famous_couplets

        pairs = famous_couplets()
    pairs = pairs[: args.limit]
    rates = {}
    for direction in ("next", "previous"):
        prompts = [ask(pair, direction, tokenizer.mask_token) for pair in pairs]
        answers = fill(model, tokenizer, prompts, args.batch_size)
        hits = sum(answer == f"{first}，{second}。" for answer, (first, second) in zip(answers, pairs, strict=True))
        rates[direction] = hits / len(pairs)
    return {
        "pairs": len(pairs),
        "source": args.pairs or "famous couplets",
        **rates,
        "settings": "generate(ids, max_new_tokens=0), defaults, float32",
    }


def ask(pair: tuple[str, str], direction: str, mask_token: str) -> str:
    """The couplet with one line masked."""
    first, second = pair
    if direction == "next":
        return f"{first}，{mask_token * len(second)}。"
    return f"{mask_token * len(first)}，{second}。"


def fill(model, tokenizer, prompts: list[str], batch_size: int) -> list[str]:
    """Fills the masks of prompts in batches of equal length."""
    by_length = defaultdict(list)
    ids = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    for index, row in enumerate(ids):
        by_length[len(row)].append(index)
    texts = [""] * len(prompts)
    for indices in by_length.values():
        for start in range(0, len(indices), batch_size):
            chunk = indices[start : start + batch_size]
            filled = model.generate(torch.tensor([ids[index] for index in chunk]), max_new_tokens=0)
            for index, text in zip(chunk, tokenizer.batch_decode(filled), strict=True):
                texts[index] = text
    return texts


def measure_held_out(model, tokenizer, args: argparse.Namespace) -> dict:
    """Nats per token on windows of the held-out poems."""
    windows = held_out_windows(Corpus.load(args.corpus)).to(model.device)
    loss = held_out_loss(model, windows, args.noise_samples, args.batch_size, args.seed)
    return {"nats_per_token": loss, "tokens": windows.numel(), "width": WIDTH, "noise_samples": args.noise_samples}


def held_out_windows(corpus: Corpus, width: int = WIDTH) -> torch.LongTensor:
    """The held-out poems without headers, concatenated and cut into windows, `(num_windows, width)`."""
    layout = lay_out(corpus.splits["test"], corpus.bos_token_id, corpus.eos_token_id, with_headers=False, seed=None)
    return torch.from_numpy(layout.tokens[: len(layout.tokens) // width * width]).long().view(-1, width)


def measure_forms(model, tokenizer, args: argparse.Namespace) -> dict:
    """Writes poems from headers with only a form, and counts those that keep it."""
    from recipes.poems.check_form import check_form
    from recipes.poems.cleaning import split_lines
    from recipes.poems.couplets import famous_poems
    from recipes.poems.header import poem_header

    famous_lines = {line for poem in famous_poems() for line in split_lines(poem["text"])}
    result, poems = {}, {}
    for form, (lines, width) in FORMS.items():
        prompt = tokenizer(poem_header(form), return_tensors="pt")["input_ids"]
        generator = torch.Generator(model.device).manual_seed(args.seed)
        texts = []
        for start in range(0, args.samples, args.batch_size):
            output = model.generate(
                prompt,
                max_new_tokens=lines * (width + 1) + args.spare_tokens,
                temperature=args.temperature,
                block_length=args.block_length,
                remasking=args.remasking,
                num_return_sequences=min(args.batch_size, args.samples - start),
                generator=generator,
            )
            texts += tokenizer.batch_decode(output[:, prompt.shape[1] :], skip_special_tokens=True)
        reports = [check_form(text, form) for text in texts]
        result[form] = {
            "keeps_form": sum(report.shape for report in reports) / len(reports),
            "rhymes": sum(bool(report.rhyme) for report in reports) / len(reports),
            "distinct": len(set(texts)) / len(texts),
            **count_lines([split_lines(text) for text in texts], famous_lines),
        }
        poems[form] = texts
    names = ("samples", "temperature", "block_length", "remasking", "spare_tokens", "seed")
    return {"forms": result, "settings": {name: getattr(args, name) for name in names}, "poems": poems}


def count_lines(poems: list[list[str]], famous_lines: set[str]) -> dict:
    """The shares of poems that repeat a line, and of lines that are quoted."""
    lines = [line for poem in poems for line in poem]
    return {
        "repeats_a_line": sum(len(set(poem)) < len(poem) for poem in poems) / len(poems),
        "famous_lines": sum(line in famous_lines for line in lines) / len(lines),
    }


if __name__ == "__main__":
    run_script(main)
