# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What a constraint on the form is worth for llada-poet, which writes its own lines with random remasking but loses the form.

    python -m recipes.poems.constraint_study --json evidence/results/constraint_poems.json

Each prompt is a header with a form and a title that is not of a famous poem in this form. It is answered

- freely;
- by rejection sampling: free poems until one keeps the form, or also rhymes, at most `TRIES`;
- by as many tries with fewer steps, which together take as many forward passes as one poem;
- with the form as a constraint, and with the form and a rhyme.

A poem is measured by the checks of its form, by repeated and famous lines, and by the model's own log-likelihood of it after
the header (eq. 6 of the paper), in nats for each token. The run can be resumed after each form.
"""

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

from modeling_llada import Constraint
from modeling_llada.seeds import indexed_generator, named_random
from modeling_llada.training.scripts import run_script
from recipes.poems.check_form import RHYMING_FORMS, SHAPES, check_form
from recipes.poems.cleaning import split_lines
from recipes.poems.form_patterns import ANY_RHYME, form_pattern
from recipes.poems.rewards import own_lines, prompts_of
from reporting.results import describe_machine, load, rounded, save
from reporting.statistics import bootstrap


FORMS = [form for form in SHAPES if form in RHYMING_FORMS]
TRIES = 4
ALL = "all"
# Differences in log-likelihood: a way, the way that it is compared with, and what a poem of the latter has to keep.
COMPARED = {
    "constraint, free": ("constraint", "free", None),
    "constraint, rejection": ("constraint", "rejection", "shape"),
    "constraint with rhyme, rejection with rhyme": ("constraint with rhyme", "rejection with rhyme", "passed"),
    "fewer steps, free": ("fewer steps", "free", None),
}


@dataclass(frozen=True)
class Poem:
    """A poem that the model wrote, with the forward passes that it took and the model's log-likelihood of each token, in nats."""

    text: str
    form: str
    passes: int
    log_likelihood: float | None = None

    @property
    def shape(self) -> bool:
        return check_form(self.text, self.form).shape

    @property
    def rhymes(self) -> bool:
        return bool(check_form(self.text, self.form).rhyme)

    @property
    def passed(self) -> bool:
        return self.shape and self.rhymes


class Writer:
    """Writes poems to the same prompts in several ways. The noise of a poem is that of its prompt and try."""

    def __init__(self, model, tokenizer, form: str, prompts: list[str], options: argparse.Namespace):
        self.model, self.tokenizer, self.form, self.prompts, self.options = model, tokenizer, form, prompts, options
        count, width = SHAPES[form]
        self.length = count * (width + 1) + 1  # one token more than the form needs

    def write(self, attempt: int = 0, rows: list[int] | None = None, **options) -> list[Poem]:
        """A poem for each prompt, or for some of them."""
        rows, poems = list(range(len(self.prompts))) if rows is None else rows, []
        for start in range(0, len(rows), self.options.batch_size):
            batch = rows[start : start + self.options.batch_size]
            inputs = self.tokenizer([self.prompts[row] for row in batch], return_tensors="pt", padding=True)
            output = self.model.generate(
                **inputs,
                max_new_tokens=self.length,
                remasking="random",
                temperature=self.options.temperature,
                generator=[indexed_generator(self.options.seed + attempt, row) for row in batch],
                return_dict_in_generate=True,
                **options,
            )
            answers = output.sequences[:, inputs["input_ids"].shape[1] :].tolist()
            poems += map(self.read, answers, output.num_forward_passes.tolist())
        return poems

    def write_until(self, check: str, first: list[Poem], **options) -> list[Poem]:
        """
        Rejection sampling: tries after the first ones, where these fail a check. Returns the poems that pass it, else the last
        ones, with the forward passes of all tries of their prompt.
        """
        poems = list(first)
        for attempt in range(1, TRIES):
            rows = [row for row, poem in enumerate(poems) if not getattr(poem, check)]
            for row, poem in zip(rows, self.write(attempt, rows, **options), strict=True):
                poems[row] = replace(poem, passes=poems[row].passes + poem.passes)
        return poems

    def read(self, tokens: list[int], passes: int) -> Poem:
        eos = self.tokenizer.eos_token_id
        tokens = tokens[: tokens.index(eos)] if eos in tokens else tokens
        return Poem(self.tokenizer.decode(tokens, skip_special_tokens=True), self.form, passes)

    def score(self, poems: list[Poem]) -> list[Poem]:
        """The poems, one for each prompt, with their log-likelihoods. All ways share the noise of a prompt."""
        return [self.score_one(row, poem) if poem.text else poem for row, poem in enumerate(poems)]

    def score_one(self, row: int, poem: Poem) -> Poem:
        prompt, tokens = (self.tokenizer(text)["input_ids"] for text in (self.prompts[row], poem.text))
        output = self.model.log_likelihood(
            torch.tensor([prompt + tokens]),
            labels=torch.tensor([[-100] * len(prompt) + tokens]),
            num_samples=self.options.noise_samples,
            antithetic=True,
            generator=indexed_generator(self.options.seed, row),
        )
        return replace(poem, log_likelihood=output.log_likelihood.item() / len(tokens))


def write_all(writer: Writer) -> dict[str, list[Poem]]:
    """The poems of each way, with their log-likelihoods."""
    tokenizer, form = writer.tokenizer, writer.form
    free = writer.write()
    few = {"steps": writer.length // TRIES}
    only_form = Constraint.from_regex(form_pattern(form), tokenizer)
    with_rhyme = Constraint.from_regex(form_pattern(form, ANY_RHYME), tokenizer)
    ways = {
        "free": free,
        "rejection": writer.write_until("shape", free),
        "rejection with rhyme": writer.write_until("passed", free),
        "fewer steps": writer.write_until("shape", writer.write(**few), **few),
        "constraint": writer.write(constraint=only_form),
        "constraint with rhyme": writer.write(constraint=with_rhyme),
    }
    return {name: writer.score(poems) for name, poems in ways.items()}


def summarize(ways: dict[str, list[Poem]]) -> dict:
    """The means of each way, and the paired differences of `COMPARED`, with intervals."""
    means = {}
    for name, poems in ways.items():
        lines = [split_lines(poem.text) for poem in poems]
        means[name] = {
            "shape": bootstrap([poem.shape for poem in poems]),
            "rhymes": bootstrap([poem.rhymes for poem in poems]),
            "passed": bootstrap([poem.passed for poem in poems]),
            "repeats_a_line": bootstrap([len(set(one)) < len(one) for one in lines]),
            "own_lines": bootstrap(own_lines([poem.text for poem in poems])),
            "log_likelihood": bootstrap([poem.log_likelihood for poem in poems if poem.text]),
            "passes": bootstrap([poem.passes for poem in poems]),
            "distinct": len({poem.text for poem in poems}) / len(poems),
        }
    differences = {}
    for name, (one, other, check) in COMPARED.items():
        pairs = [
            poem.log_likelihood - than.log_likelihood
            for poem, than in zip(ways[one], ways[other], strict=True)
            if poem.text and than.text and (check is None or getattr(than, check))
        ]
        if pairs:
            differences[name] = {"pairs": len(pairs), **bootstrap(pairs)}
    return {"ways": means, "log_likelihood_difference": differences}


def make_prompts(form: str, number: int, seed: int) -> list[str]:
    """Headers of a form with titles of poems in other forms."""
    titled = [row["prompt"] for row in prompts_of(form)[1:]]
    return sorted(named_random("constraint study", form, seed).sample(titled, number))


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/llada-poet", help="folder of the checkpoint (%(default)s)")
    parser.add_argument("--form", nargs="+", choices=FORMS, default=FORMS, help="forms that are measured now (all)")
    parser.add_argument("--prompts", type=int, default=25, help="titles for each form (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.7, help="of sampling (%(default)s)")
    parser.add_argument("--noise-samples", type=int, default=16, help="of a log-likelihood (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=20, help="rows of a forward pass (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of titles and noise (%(default)s)")
    parser.add_argument("--json", type=Path, required=True, help="file of the results")
    return parser


def main() -> None:
    args = make_parser().parse_args()
    if args.prompts < 2:
        raise ValueError(f"`--prompts` must be at least 2, for an interval, but got {args.prompts}.")
    names = ("model", "prompts", "temperature", "noise_samples", "seed")
    settings = {name: getattr(args, name) for name in names} | {"tries": TRIES}
    results = load(args.json, settings, poems={}, summary={})
    model = AutoModel.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    for form in args.form:
        if form not in results["poems"]:
            started = time.monotonic()
            writer = Writer(model, tokenizer, form, make_prompts(form, args.prompts, args.seed), args)
            results["poems"][form] = {
                name: [rounded(asdict(poem)) for poem in poems] for name, poems in write_all(writer).items()
            }
            results["seconds"] += time.monotonic() - started
            results |= {"machine": describe_machine("cpu")}
            save(args.json, results)
    by_form = {
        form: {name: [Poem(**poem) for poem in poems] for name, poems in ways.items()}
        for form, ways in results["poems"].items()
    }
    together = {name: [poem for ways in by_form.values() for poem in ways[name]] for name in by_form[args.form[0]]}
    results["summary"] = {form: rounded(summarize(ways)) for form, ways in {**by_form, ALL: together}.items()}
    save(args.json, results)
    for form, found in results["summary"].items():
        print(describe(form, found))


def describe(form: str, found: dict) -> str:
    lines = [
        f"{form} {name:24}"
        + " ".join(f"{key} {values[key]['mean']:.3g}" for key in ("shape", "rhymes", "log_likelihood", "passes"))
        for name, values in found["ways"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_script(main)
