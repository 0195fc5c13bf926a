# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The runs of a scaling study: compute budgets, sizes and seeds, for masked diffusion and for its autoregressive twin.

    python -m recipes.scaling.plan --plan poems       # the table of the runs, with their expected seconds
    python -m recipes.scaling.plan --plan tiny

A plan is a YAML file; `poems` and `tiny` are in this folder. Training FLOPs are counted in the same way for both kinds, so that
a size and a budget give the same number of tokens for both:

    FLOPs per token = 6 (body + head) + 12 layers hidden_size width

body: the weights of attention and feed-forward. head: vocabulary x hidden_size, for the matrix product (the embedding is the
same tied matrix, and a look-up is free). The last term is attention over all pairs of positions of a row, at the mean width of
the rows. LLaDA needs logits only for the masked half, and the twin only half of the pairs; the count ignores both. `flops_body`
is 6 x body x tokens, the 6ND over non-embedding parameters of the paper.
"""

import argparse
import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from reporting.markdown import table


KINDS = ("llada", "twin")
SHAPE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
MINIMUM_STEPS = 40


@dataclass(frozen=True)
class Size:
    """The shape of a model, with the names of [`LLaDAConfig`]."""

    name: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int

    @property
    def body(self) -> int:
        """Weights of the layers, without norms."""
        per_layer = 4 * self.hidden_size**2 + 3 * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * per_layer

    def head(self, vocab_size: int) -> int:
        """Weights of the output head, which are tied to the embedding."""
        return vocab_size * self.hidden_size

    def flops_per_token(self, vocab_size: int, width: float) -> float:
        """Training FLOPs per token, forward and backward."""
        weights = self.body + self.head(vocab_size)
        return 6 * weights + 12 * self.num_hidden_layers * self.hidden_size * width


@dataclass(frozen=True)
class Run:
    """One training run, for as many steps as its budget of FLOPs allows."""

    budget: float
    size: Size
    kind: str
    seed: int
    steps: int
    tokens: int
    flops: float
    learning_rate: float

    @property
    def name(self) -> str:
        return f"{self.budget:.1e}-{self.size.name}-{self.kind}-seed{self.seed}".replace("e+", "e")

    @property
    def flops_body(self) -> float:
        """6ND over the parameters of the layers alone."""
        return 6 * self.size.body * self.tokens


class Plan:
    """The runs of a study, from a YAML file, or from the one with that name in this folder."""

    def __init__(self, path: str | Path):
        beside = Path(__file__).parent / f"{path}.yaml"
        self.path = beside if beside.is_file() else Path(path)
        if not self.path.is_file():
            raise ValueError(f"`--plan` must be poems, tiny or a YAML file, but there is no file {path}.")
        self.values = yaml.safe_load(self.path.read_text(encoding="utf-8"))
        needed = {"corpus", "vocab_size", "window", "tokens_per_step", "learning_rate", "rows", "sizes", "runs"}
        if missing := sorted((needed | {"scores", "expected"}) - self.values.keys()):
            raise ValueError(f"`{missing[0]}` is missing in {self.path}. See recipes/scaling/poems.yaml.")
        self.name = self.path.stem
        self.sizes = {name: Size(name, **shape) for name, shape in self.values["sizes"].items()}
        self._check()

    def _check(self) -> None:
        for entry in self.values["runs"]:
            if unknown := [name for name in entry["sizes"] if name not in self.sizes]:
                raise ValueError(f"`runs` of {self.path} names the size {unknown[0]!r}, which is not in `sizes`.")
        names = [run.name for run in self.runs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"`runs` of {self.path} has {twice[0]} twice.")
        if short := [run for run in self.runs if run.steps < MINIMUM_STEPS]:
            raise ValueError(
                f"{short[0].name} has {short[0].steps} steps, and needs at least {MINIMUM_STEPS}: give it more FLOPs, or "
                "lower `tokens_per_step`."
            )

    @property
    def mean_width(self) -> float:
        """The mean width of the rows, weighted by their share of the tokens."""
        shares = sum(row["share"] for row in self.values["rows"])
        return sum(row["share"] * row["width"] for row in self.values["rows"]) / shares

    @cached_property
    def runs(self) -> list[Run]:
        """All runs, small budgets first, and within a budget the longest first, so that workers finish together."""
        runs = [
            self._run(float(entry["flops"]), self.sizes[size], kind, seed)
            for entry in self.values["runs"]
            for size in entry["sizes"]
            for kind in KINDS
            for seed in entry["seeds"]
        ]
        return sorted(runs, key=lambda run: (run.budget, -run.steps, run.kind, run.seed))

    def _run(self, budget: float, size: Size, kind: str, seed: int) -> Run:
        per_token = size.flops_per_token(self.values["vocab_size"], self.mean_width)
        steps = round(budget / per_token / self.values["tokens_per_step"])
        tokens = steps * self.values["tokens_per_step"]
        rate = self.values["learning_rate"]
        learning_rate = rate["value"] * math.sqrt(rate["at_width"] / size.hidden_size)
        return Run(budget, size, kind, seed, steps, tokens, tokens * per_token, learning_rate)

    def expected_seconds(self, run: Run) -> float:
        """The seconds of a run alone on the device. The host limits small models, and arithmetic large ones."""
        expected = self.values["expected"]
        return max(run.flops / expected["flops_per_second"], run.steps * expected["seconds_per_step"])

    def shape(self, size: Size) -> dict:
        """The fields of [`LLaDAConfig`] for a size."""
        return {name: getattr(size, name) for name in SHAPE}


def plan_table(plan: Plan) -> str:
    """The runs as a Markdown table; both kinds share a row."""
    head = ["budget, FLOPs", "size", "parameters: body + head", "steps", "tokens"]
    head += ["learning rate", "seeds", "seconds, each kind"]
    cells: dict[tuple, list[Run]] = {}
    for run in plan.runs:
        cells.setdefault((run.budget, run.size.name), []).append(run)
    rows = []
    for (budget, size), runs in cells.items():
        run, seeds = runs[0], sorted({run.seed for run in runs})
        parameters = f"{run.size.body / 1e6:.2f} M + {run.size.head(plan.values['vocab_size']) / 1e6:.2f} M"
        length = [f"{run.steps:,}", f"{run.tokens / 1e6:.1f} M", f"{run.learning_rate:.1e}"]
        seconds = f"{plan.expected_seconds(run):.0f}"
        rows.append([f"{budget:.1e}", size, parameters, *length, ", ".join(map(str, seeds)), seconds])
    return table(head, rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", default="poems", help="poems, tiny or a YAML file (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        plan = Plan(args.plan)
    except ValueError as error:
        parser.error(str(error))
    print(plan_table(plan))
    seconds = sum(plan.expected_seconds(run) for run in plan.runs)
    flops = sum(run.flops for run in plan.runs)
    print(f"\n{len(plan.runs)} runs, {flops:.2e} FLOPs, {seconds / 60:.0f} minutes one after the other")


def as_dict(run: Run) -> dict:
    """The run as part of its record."""
    values = dataclasses.asdict(run)
    return values | {"size": run.size.name, "name": run.name, "flops_body": run.flops_body, "body": run.size.body}


if __name__ == "__main__":
    main()
