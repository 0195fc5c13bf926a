# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Does `antithetic=True` make the error of `log_likelihood` smaller at the same number of forward passes?

    python benchmarks/likelihood_variance.py
    python benchmarks/likelihood_variance.py --texts 10 --repeats 4 --num-samples 8 --output /tmp/quick.json

The texts are the first couplets of the held-out poems, five characters a line (`data/poems.safetensors.xz`). Each is
scored as a whole (12 tokens) and as a completion (the second line given the first, 6 tokens). An estimate is repeated
with other noise, plain and antithetic, and the standard deviations over the repeats are compared: the root of the mean
variance over the texts, with the standard error of the ratio by resampling the texts. The JSON file also compares the
`standard_error` that the model reports with the true deviation.

The expectation, written down before the first run, from all 4,095 masks of seven held-out and five famous couplets:

- two samples: ratio 0.75 to 0.90. The pair `l`, `L + 1 - l` cancels what is linear in `l`, and complementary masks make
  the sum of easy and hard tokens more even; but a mask of few tokens has a weight `L / l` that no other mask balances.
- 8 samples: 0.70 to 0.85. `l` is spread evenly with and without it, so what is left to gain is in the choice of the
  masked tokens, and a group of 8 spreads them evenly.
- 32 samples: 0.60 to 0.80. Groups have similar weights now. What remains is the part that is not a sum over tokens: which
  context the masked tokens see, and together with which others they are masked.

The outcome: as expected, but completions gain more at 8 and 32 samples, 0.65 and 0.52. The expectation gave every couplet
the same weight. The model knows the famous ones by heart, so their variance is almost nothing, and little of it goes; here
the variances are added up, and hard texts count most. With the same weights the masks of the seven held-out couplets give
0.63 and 0.56. A completion of 6 tokens has only 6 values of `l`, so a group of 8 has one or two of them and the part of
the error that is a sum over tokens almost vanishes. The `standard_error` that the model reports takes samples, or
antithetic pairs, for independent: it is up to 1.4 times too large for plain samples, and 1.4 to 2 times for antithetic
ones.
"""

import argparse
import json
import lzma
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from safetensors.torch import load
from transformers import AutoModel, AutoTokenizer

import modeling_llada  # noqa: F401  registers the classes
from modeling_llada.files import write_atomically


ROOT = Path(__file__).parent.parent
EXPECTED = {2: (0.75, 0.90), 8: (0.70, 0.85), 32: (0.60, 0.80)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=ROOT / "checkpoints/llada-poet", help="folder of the checkpoint")
    parser.add_argument("--corpus", type=Path, default=ROOT / "data/poems.safetensors.xz", help="tokenised poems")
    parser.add_argument("--texts", type=int, default=50, help="number of couplets (%(default)s)")
    parser.add_argument("--repeats", type=int, default=8, help="estimates of each text (%(default)s)")
    parser.add_argument("--num-samples", type=int, nargs="+", default=[2, 8, 32], help="noise samples of an estimate")
    parser.add_argument("--batch-size", type=int, default=64, help="sequences of a forward pass (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (%(default)s)")
    parser.add_argument("--device", default="cpu", help="where to run (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/likelihood_variance.json")
    args = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModel.from_pretrained(args.model, dtype=torch.float32).to(args.device).eval()
    texts = held_out_couplets(args.corpus, tokenizer, args.texts)
    started = time.monotonic()
    results = measure(model, texts, args)
    show(results)
    settings = {name: getattr(args, name) for name in ("texts", "repeats", "batch_size", "seed", "device")}
    write(args.output, {"settings": settings, "seconds": round(time.monotonic() - started), "results": results})


def held_out_couplets(corpus: Path, tokenizer, number: int) -> torch.LongTensor:
    """The first couplets `LINE，LINE。` of held-out poems with five characters a line, `(number, 12)`."""
    tensors = load(lzma.decompress(corpus.read_bytes()))
    poems = tensors["test.tokens"].long().split(tensors["test.lengths"].tolist())
    comma, stop, *others = tokenizer.convert_tokens_to_ids(list("，。？！；：、"))
    couplets = []
    for poem in poems:
        couplet = poem[:12]
        marks = torch.isin(couplet, torch.tensor([comma, stop, *others])).nonzero().squeeze(-1).tolist()
        if marks == [5, 11] and (couplet[5], couplet[11]) == (comma, stop):
            couplets.append(couplet)
    if len(couplets) < number:
        sys.exit(f"`--texts` must be at most {len(couplets)}, the couplets in the corpus, but got {number}.")
    return torch.stack(couplets[:number])


def measure(model, texts: torch.LongTensor, args: argparse.Namespace) -> list[dict]:
    """One row of the table for each kind of scoring and number of samples."""
    results = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("scoring", total=4 * sum(args.num_samples) * len(texts) * args.repeats)
        for scoring, num_given in (("whole text", 0), ("completion", 6)):
            for num_samples in args.num_samples:
                estimates = {}
                for antithetic in (False, True):
                    generator = torch.Generator().manual_seed(args.seed)
                    estimates[antithetic] = repeat(model, texts, num_given, num_samples, antithetic, generator, args)
                    progress.advance(bar, num_samples * len(texts) * args.repeats)
                results.append({"scoring": scoring, "num_samples": num_samples, **compare(estimates, args.seed)})
    return results


def repeat(model, texts, num_given, num_samples, antithetic, generator, args) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates and reported standard errors, both `(texts, repeats)`."""
    input_ids = texts.repeat_interleave(args.repeats, dim=0)
    labels = input_ids.clone()
    labels[:, :num_given] = -100
    output = model.log_likelihood(
        input_ids,
        labels,
        num_samples=num_samples,
        batch_size=args.batch_size,
        antithetic=antithetic,
        generator=generator,
    )
    shape = len(texts), args.repeats
    return output.log_likelihood.cpu().view(shape), output.standard_error.cpu().view(shape)


def compare(estimates: dict, seed: int) -> dict:
    """The standard deviations, their ratio and its error, and how the reported standard errors compare with them."""
    plain, antithetic = (estimates[name][0].double().var(1) for name in (False, True))
    drawn = torch.randint(len(plain), (2000, len(plain)), generator=torch.Generator().manual_seed(seed))
    ratios = (antithetic[drawn].mean(1) / plain[drawn].mean(1)).sqrt()
    row = {
        "plain_sd": plain.mean().sqrt().item(),
        "antithetic_sd": antithetic.mean().sqrt().item(),
        "ratio": (antithetic.mean() / plain.mean()).sqrt().item(),
        "ratio_error": ratios.std().item(),
    }
    for name, errors, variance in (
        ("plain", estimates[False][1], plain),
        ("antithetic", estimates[True][1], antithetic),
    ):
        reported = errors.double().square().mean().sqrt() / variance.mean().sqrt()
        row[f"{name}_reported_over_true"] = None if reported.isnan() else reported.item()
    return {name: value if value is None else round(value, 4) for name, value in row.items()}


def show(results: list[dict]) -> None:
    """Prints the table."""
    table = Table(title="standard deviation of log_likelihood over repeats, nats")
    for name in ("scored", "samples", "plain", "antithetic", "ratio", "expected"):
        table.add_column(name, justify="left" if name == "scored" else "right")
    for row in results:
        low, high = EXPECTED.get(row["num_samples"], (None, None))
        table.add_row(
            row["scoring"],
            str(row["num_samples"]),
            f"{row['plain_sd']:.3f}",
            f"{row['antithetic_sd']:.3f}",
            f"{row['ratio']:.2f} ± {row['ratio_error']:.2f}",
            f"{low:.2f} to {high:.2f}" if low else "",
        )
    Console().print(table)


def write(path: Path, values: dict) -> None:
    """Writes the JSON file."""
    values["expected_ratio"] = {str(number): bounds for number, bounds in EXPECTED.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
