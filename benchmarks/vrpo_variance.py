# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""How noisy is the score of VRPO, and what do shared noise and antithetic masks take away?

The score of a pair is the difference of four evidence bounds: of the policy and of the reference, for both responses. The policy is
a model with an adapter, and the reference is the model without it. The variance over draws of the noise is taken for each pair, and
averaged over pairs. With noise of its own for each bound it is the sum of the variances of the four bounds.

    python examples/vrpo.py --config examples/configs/poet_vrpo.yaml
    python -m benchmarks.vrpo_variance --adapter runs/moon --pairs data/pairs.jsonl
"""

import argparse
import json
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer

import modeling_llada  # noqa: F401  (it registers the classes)
from modeling_llada.training.masking.evidence_bound import bound_terms, draw_weights
from reporting.markdown import report_table


MASKS = {False: "independent", True: "antithetic"}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default="checkpoints/llada-poet", help="the reference (%(default)s)")
    add("--adapter", required=True, help="the folder of the adapter that makes it the policy")
    add("--pairs", type=Path, required=True, help="a .jsonl file with the texts prompt, chosen and rejected")
    add("--count", type=int, default=16, help="pairs, the first ones of the file (%(default)s)")
    add("--samples", type=int, default=4, help="noise samples in an estimate, an even number (%(default)s)")
    add("--draws", type=int, default=8, help="estimates of each bound (%(default)s)")
    add("--device", default="cpu", help="where to run (%(default)s)")
    args = parser.parse_args(arguments)
    if args.samples < 2 or args.samples % 2:
        parser.error(f"`--samples` must be even, for antithetic masks, but got {args.samples}.")
    if args.draws < 2 or args.count < 2:
        parser.error(f"`--draws` and `--count` must be at least 2, but got {args.draws} and {args.count}.")
    print(report_table(measure(args), {}))


def measure(args: argparse.Namespace) -> list[dict[str, str]]:
    """The rows of the table: an estimator, and the variances of a bound of the policy and of the score."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(args.model, dtype="float32"), args.adapter)
    model.to(args.device).eval()
    lines = args.pairs.read_text(encoding="utf-8").splitlines()[: args.count]
    pairs = [tokenized(json.loads(line), tokenizer) for line in lines]
    rows = []
    for antithetic, name in MASKS.items():
        bounds = torch.stack([bounds_of(model, pair, number, antithetic, args) for number, pair in enumerate(pairs)])
        policy, reference = bounds.unbind(1)  # each (pairs, responses, draws)
        scores = policy - reference
        apart = (policy.var(-1) + reference.var(-1)).sum(-1)
        together = (scores[:, 0] - scores[:, 1]).var(-1)
        for noise, variances in (("of its own", apart), ("shared", together)):
            rows.append(
                {
                    "noise of the reference": noise,
                    "masks": name,
                    "variance of a bound": f"{policy.var(-1).mean():.3g}",
                    "variance of the score": f"{variances.mean():.3g} ± {variances.std() / len(pairs) ** 0.5:.2g}",
                    "median pair": f"{variances.median():.3g}",
                }
            )
    return rows


def tokenized(pair: dict[str, str], tokenizer) -> list[tuple[torch.LongTensor, int]]:
    """Both rows, ended by EOS, and where the response begins."""
    start = len(tokenizer(pair["prompt"]).input_ids)
    texts = (pair["prompt"] + pair[side] + tokenizer.eos_token for side in ("chosen", "rejected"))
    return [(tokenizer(text, return_tensors="pt").input_ids, start) for text in texts]


@torch.no_grad()
def bounds_of(
    model: PeftModel, pair: list[tuple[torch.LongTensor, int]], number: int, antithetic: bool, args: argparse.Namespace
) -> torch.FloatTensor:
    """Estimates of the bounds of a pair by the policy and by the reference on the same noise, `(2, responses, draws)`."""
    estimates = []
    for response, (ids, start) in enumerate(pair):
        ids = ids.expand(args.draws, -1)
        seeds = [((number * 2 + response) * args.draws + draw) * 2 + antithetic for draw in range(args.draws)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        scored = (torch.arange(ids.shape[1]) >= start).expand(ids.shape)
        weights = draw_weights(scored, args.samples, antithetic, generators)
        batch = ids, torch.ones_like(ids), weights, weights.flatten().nonzero().flatten()
        batch = [tensor.to(args.device) for tensor in batch]
        policy = bound_terms(model, *batch, model.config.mask_token_id).bounds
        with model.disable_adapter():
            reference = bound_terms(model, *batch, model.config.mask_token_id).bounds
        estimates.append(torch.stack([policy, reference]).cpu())
    return torch.stack(estimates, dim=1)


if __name__ == "__main__":
    main()
