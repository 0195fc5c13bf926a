# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Which decoding strategies sample, and which only pick the most probable texts?

    python -m evidence.exact
    python -m evidence.exact --length 4 --samples 2000 --json /tmp/exact.json

The mask predictor is a hidden Markov model, whose predictions are exact (evidence/exact/model.py), so each difference from the
true distribution is the sampler's own. Most settings are enumerated (evidence/exact/enumeration.py): the probability of each text,
over everything that can happen. Caches and constraints are sampled by `generate`, on shorter texts. A result is written as soon as it
is known, and a setting that is in the file is not run again. `make evidence` writes its section of docs/evidence.md.

The expectation, written down before the first run:

- random, margin and entropy remasking at temperature 1 with one token a step are exact: total variation 0 (the position that is
  committed does not depend on the tokens that were proposed, so each step samples from the right conditional distribution);
- low confidence at temperature 1 with one token a step is too far towards the most probable texts: total variation 0.2 to 0.4,
  because it commits a proposal for being probable; in blocks of 1 every remasking is exact;
- all tokens in one step: the product of the marginals, total variation about 0.5; two tokens a step about 0.1 with random
  remasking, more with margin and entropy, which choose neighbours less independently;
- thresholds and factors are no better than low confidence, since they read the same confidence; an entropy bound of 0.1 is nearly exact;
- another temperature than 1 is not the distribution at that temperature; temperature 0 is one text;
- caches change nothing, because the keys and values of this model depend on one token each;
- a constraint in one block is off by 0.02 to 0.1, and from left to right by 0.1 to 0.2, since what the later masks allow is
  counted without their dependence.

The outcome is in docs/evidence.md.
"""

import argparse
import time
from pathlib import Path

import torch

from evidence.exact.distances import distances, entropy, sampled_variation
from evidence.exact.enumeration import enumerate_samples
from evidence.exact.model import HiddenMarkovModel
from evidence.exact.settings import enumerated_settings, sampled_settings
from evidence.exact.truth import PROMPT, given_constraint, sample, true_distribution
from reporting.results import load, save


ROOT = Path(__file__).resolve().parents[2]
SHORTER = 3  # tokens that a sampled text has less than an enumerated one


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=8, help="tokens of a text (%(default)s)")
    parser.add_argument("--samples", type=int, default=100_000, help="texts of a sampled setting (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the samples (%(default)s)")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "evidence/results/exact.json", help="the results (%(default)s)"
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.length <= SHORTER or args.samples < 2:
        parser.error(f"`--length` must be at least {SHORTER + 1} and `--samples` at least 2.")
    settings = {name: getattr(args, name) for name in ("length", "samples", "seed")}
    values = load(args.json, settings, enumerated={}, sampled={})
    model = HiddenMarkovModel()
    truths = {length: true_distribution(model, length) for length in (args.length, args.length - SHORTER)}
    values["entropy"] = settled(entropy(truths[args.length]))
    values["most_probable"] = settled(truths[args.length].max().item())
    jobs = [("enumerated", name, options) for name, options in enumerated_settings().items()]
    jobs += [("sampled", name, options) for name, options in sampled_settings().items()]
    for kind, name, options in jobs:
        if name in values[kind]:
            continue
        started = time.monotonic()
        if kind == "enumerated":
            result = enumerate_setting(model, truths[args.length], args.length, options)
        else:
            length = args.length - SHORTER
            result = sample_setting(model, truths[length], length, options, args.samples, args.seed)
        values[kind][name] = settled(result)
        values["seconds"] = round(values["seconds"] + time.monotonic() - started, 1)
        save(args.json, values)
        print(f"{name:46} {values[kind][name]}", flush=True)
    save(args.json, values)
    print(f"{args.json} has all settings. `make evidence` writes the page.")


def settled(value: dict | float | None) -> dict | float | None:
    """The numbers to six decimals, so that the rounding of float32 does not show."""
    if isinstance(value, dict):
        return {name: settled(one) for name, one in value.items()}
    return None if value is None else round(value, 6) + 0.0  # no -0.0


def enumerate_setting(model: HiddenMarkovModel, truth: torch.DoubleTensor, length: int, options: dict) -> dict:
    if "steps" in options:
        options = options | {"steps": max(1, round(options["steps"] * length / 8))}  # they are named for 8 tokens
    found = enumerate_samples(model, PROMPT, length, **options)
    return distances(truth, found.probability) | {"forward_passes": found.forward_passes}


def sample_setting(
    model: HiddenMarkovModel, truth: torch.DoubleTensor, length: int, options: dict, samples: int, seed: int
) -> dict:
    if "constraint" in options:
        truth = given_constraint(model, truth, length, options["constraint"])
    numbers, _ = sample(model, length, samples, seed, **options)
    return {"total_variation": sampled_variation(truth, numbers)}


if __name__ == "__main__":
    main()
