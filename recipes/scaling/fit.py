# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Combines the records of `run.py` in one JSON file: profiles, power laws, factors and scores, with 95% intervals.

    python -m recipes.scaling.fit --runs runs/scaling --json evidence/results/scaling.json
    python -m recipes.scaling.fit --runs runs/scaling-tiny --json evidence/results/scaling_cpu.json

A budget counts for a kind if it has three sizes of it. So a study that was stopped early has a result too.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from modeling_llada.evaluation.intervals import wilson_interval
from recipes.scaling.laws import (
    KINDS,
    LARGEST_FACTOR,
    Measured,
    Study,
    as_measured,
    bootstrap,
    seed_noise,
    with_interval,
)
from reporting.markdown import with_interval as shown
from reporting.results import rounded, save


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="the --output folder of run.py")
    parser.add_argument("--json", type=Path, required=True, help="write the result here")
    parser.add_argument("--replicates", type=int, default=2000, help="of the bootstrap (%(default)s)")
    return parser


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser()
    args = parser.parse_args(arguments)
    if args.replicates < 100:
        parser.error(f"`--replicates` must be at least 100 for a 95% interval, but got {args.replicates}.")
    try:
        records = load_records(args.runs)
        result = collect(records, load_calls(args.runs), args.replicates)
    except ValueError as error:
        parser.error(str(error))
    save(args.json, rounded(result))  # further digits are noise, and differ between machines
    print(summary(result))
    print(f"wrote {args.json}")


def load_records(folder: Path) -> list[dict]:
    """All records of a study, in the order of their names."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "runs").glob("*.json"))]
    if not records:
        raise ValueError(f"`--runs` must be the output of run.py, but {folder} has no records in runs/.")
    return records


def load_calls(folder: Path) -> list[dict]:
    """The seconds of the calls of run.py."""
    path = folder / "calls.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def complete_budgets(runs: list[Measured]) -> list[Measured]:
    """The runs at budgets with at least three sizes of their kind, because a study may have been stopped early."""
    sizes = {}
    for run in runs:
        sizes.setdefault((run.budget, run.kind), set()).add(run.size)
    kept = [run for run in runs if len(sizes[run.budget, run.kind]) >= 3]
    if any(len({run.budget for run in kept if run.kind == kind}) < 3 for kind in KINDS):
        raise ValueError(
            "`--runs` must hold at least three budgets with three sizes of both kinds. Go on with run.py."
        )
    return kept


def left_out(measured: list[Measured], found: Study) -> list[dict]:
    """The lowest loss of each kind at budgets that do not count for it, and the loss of its law there."""
    lowest: dict[tuple, float] = {}
    for run in measured:
        place = run.kind, run.budget
        if place not in found.losses:
            lowest[place] = min(lowest.get(place, np.inf), float(run.losses.mean()))
    return [
        {"kind": kind, "budget": budget, "lowest": loss, "by_the_law": law_at(found, kind, budget)}
        for (kind, budget), loss in sorted(lowest.items())
    ]


def law_at(found: Study, kind: str, budget: float) -> float:
    """The loss of the law of a kind at a budget."""
    slope, intercept = found.laws[kind][:, 0]
    return float(np.exp(intercept + slope * np.log(budget)))


def collect(records: list[dict], calls: list[dict], replicates: int) -> dict:
    """The contents of the JSON file."""
    measured = [measured_of(record) for record in records]
    runs = complete_budgets(measured)
    found, drawn = as_measured(runs), bootstrap(runs, replicates)
    slopes = {kind: (found.laws[kind][0, 0], drawn.laws[kind][0]) for kind in KINDS}
    largest = max(run.budget for run in runs if run.kind == "llada")
    return {
        "plan": records[0]["plan"],
        "seconds": sum(call["seconds"] for call in calls) or None,
        "workers": sorted({call["workers"] for call in calls}),
        "machine": {name: sorted({record[name] for record in records}) for name in MACHINE},
        "held_out_windows": len(runs[0].losses),
        "bootstrap_replicates": replicates,
        "noise_between_seeds": seed_noise(runs),
        "largest_factor": LARGEST_FACTOR,
        "profiles": [
            {
                "kind": kind,
                "budget": budget,
                "parameters": with_interval(found.parameters[place][0], drawn.parameters[place]),
                "loss": with_interval(found.losses[place][0], drawn.losses[place]),
                "at_edge": bool(found.at_edge[place][0]),
                "coefficients": found.coefficients[place][:, 0].tolist(),
            }
            for place in found.losses
            for kind, budget in [place]
        ],
        "laws": {
            kind: {
                "slope": with_interval(*slopes[kind]),
                "intercept": float(found.laws[kind][1, 0]),
                "largest_residual": residual(found, kind),
            }
            for kind in KINDS
        },
        "slope_difference": with_interval(
            slopes["llada"][0] - slopes["twin"][0], slopes["llada"][1] - slopes["twin"][1]
        ),
        "factors": [
            {
                "budget": budget,
                "factor": with_interval(factor[0], drawn.factors[budget]),
                "interpolated": between(found.interpolated[budget], drawn.interpolated[budget]),
                "beyond_the_budgets": bool(budget * factor[0] > largest),
                "at_least": bool(factor[0] >= LARGEST_FACTOR),
            }
            for budget, factor in found.factors.items()
        ],
        "tasks": tasks(records, list(found.losses)),
        "left_out": left_out(measured, found),
        "runs": [row(record, run) for record, run in zip(records, measured, strict=True)],
    }


def residual(found: Study, kind: str) -> float:
    """The largest distance of a lowest point from the law, in nats per token."""
    losses = {budget: loss[0] for (place, budget), loss in found.losses.items() if place == kind}
    return float(max(abs(law_at(found, kind, budget) - loss) for budget, loss in losses.items()))


def between(value: np.ndarray, drawn: np.ndarray) -> dict | None:
    """A factor between LLaDA's own budgets; `None` if it is outside of them in more than a few replicates."""
    inside = drawn[~np.isnan(drawn)]
    if np.isnan(value[0]) or len(inside) < 0.95 * len(drawn):
        return None
    return with_interval(value[0], inside)


MACHINE = ("device", "precision", "torch", "transformers")


def measured_of(record: dict) -> Measured:
    run, losses = record["run"], np.array(record["scores"]["window_nats"])
    return Measured(run["kind"], run["budget"], run["size"], run["seed"], record["parameters"], losses)


def row(record: dict, run: Measured) -> dict:
    """A run, without the values that only the bootstrap needs."""
    scores = {name: value for name, value in record["scores"].items() if name != "window_nats"}
    names = ("name", "kind", "budget", "size", "seed", "steps", "tokens", "flops", "flops_body", "learning_rate")
    return {
        **{name: record["run"][name] for name in names},
        "parameters": record["parameters"],
        "standard_error": float(run.losses.std(ddof=1) / len(run.losses) ** 0.5),
        "tokens_per_second": float(np.median(record["tokens_per_second"])) if record["tokens_per_second"] else None,
        **scores,
    }


def tasks(records: list[dict], places: list[tuple[str, float]]) -> list[dict]:
    """The task scores of each budget, at the size with the lowest held-out loss, averaged over seeds."""
    rows = []
    for kind, budget in places:
        cells: dict[str, list[dict]] = {}
        for record in records:
            if (record["run"]["kind"], record["run"]["budget"]) == (kind, budget):
                cells.setdefault(record["run"]["size"], []).append(record["scores"])
        size = min(cells, key=lambda name: np.mean([scores["held_out_nats"] for scores in cells[name]]))
        values = {}
        for name, sort, hits, number in RATES:
            # Seeds answer the same questions, so their number does not increase the number of questions.
            rate = float(np.mean([scores[sort][hits] / scores[sort][number] for scores in cells[size]]))
            questions = cells[size][0][sort]["lines" if sort == "known_couplets" else number]
            low, high = wilson_interval(round(rate * questions), questions)
            values[name] = {"mean": rate, "low": min(low, rate), "high": max(high, rate)}
        for sort in ("held_out_couplets", "known_couplets"):
            mean, error = (
                float(np.mean([scores[sort][name] for scores in cells[size]]))
                for name in ("nats_per_character", "standard_error")
            )
            values[f"{sort}_nats"] = {"mean": mean, "low": mean - 1.96 * error, "high": mean + 1.96 * error}
        rows.append({"kind": kind, "budget": budget, "size": size, "seeds": len(cells[size]), **values})
    return rows


RATES = (
    ("choice", "held_out_couplets", "chosen", "choices"),
    ("known_lines", "known_couplets", "lines_right", "lines"),
    ("known_characters", "known_couplets", "characters_right", "characters"),
)


def summary(result: dict) -> str:
    """A short summary of the result."""
    lines = []
    for found in result["profiles"]:
        edge = ", at the edge of the sizes" if found["at_edge"] else ""
        lines.append(
            f"{found['kind']:5} {found['budget']:.1e} FLOPs: {shown(found['loss'], 3)} nats per token at "
            f"{found['parameters']['mean'] / 1e6:.2f} M parameters{edge}"
        )
    for kind, law in result["laws"].items():
        lines.append(f"{kind:5} loss ~ FLOPs^s, s = {shown(law['slope'], 4)}")
    for factor in result["factors"]:
        beyond = ", beyond the largest budget" if factor["beyond_the_budgets"] else ""
        beyond = ", at least" if factor["at_least"] else beyond
        lines.append(
            f"the twin's loss at {factor['budget']:.1e} FLOPs costs LLaDA {shown(factor['factor'], 2)} times as many{beyond}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
