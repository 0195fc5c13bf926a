# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""IsoFLOP profiles, the compute-optimal frontier and the price of a loss in compute, with intervals.

For each kind and budget a parabola in log(size) is fitted to the losses; its lowest point is the loss of the budget. A power law
is fitted to these points, a straight line in log-log: loss = exp(intercept) x FLOPs ^ slope. It describes the measured range. An
additional constant (an irreducible loss) cannot be estimated from three or four budgets.

Each replicate of the bootstrap resamples two sources of error: the held-out windows, which are the same for all runs and both
kinds, and the noise between runs with different seeds.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np


INTERVAL = (2.5, 97.5)
LARGEST_FACTOR = 1000.0  # for factors far outside of the budgets, and if LLaDA's loss does not fall
KINDS = ("llada", "twin")


@dataclass
class Measured:
    """A finished run."""

    kind: str
    budget: float
    size: str
    seed: int
    parameters: float  # the place of the size in a profile
    losses: np.ndarray  # nats per token of each held-out window


@dataclass
class Study:
    """The frontier of both kinds and the factor between them. The last axis of each array is that of the replicates."""

    # By (kind, budget): the lowest point of the profile, and whether the parabola has none among the sizes, so that the best
    # measured size takes its place.
    parameters: dict[tuple, np.ndarray] = field(default_factory=dict)
    losses: dict[tuple, np.ndarray] = field(default_factory=dict)
    at_edge: dict[tuple, np.ndarray] = field(default_factory=dict)
    # By (kind, budget): the parabola in log(parameters), `(3, replicates)`, the quadratic coefficient first.
    coefficients: dict[tuple, np.ndarray] = field(default_factory=dict)
    # By kind: slope and intercept, `(2, replicates)`.
    laws: dict[str, np.ndarray] = field(default_factory=dict)
    # By budget: the compute that LLaDA needs for the loss of the twin's law, divided by that of the twin.
    factors: dict[float, np.ndarray] = field(default_factory=dict)
    # The same without laws, from the lowest points of the twin and the lines between those of LLaDA; NaN if LLaDA never had
    # that loss.
    interpolated: dict[float, np.ndarray] = field(default_factory=dict)


def profile(parameters: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Fits parabolas in log(parameters) to the losses of at least three sizes, `(num_sizes, replicates)`.

    Returns parameters and loss of the lowest point, whether it is at the edge, `(replicates,)`, and the coefficients.
    """
    if len(parameters) < 3:
        raise ValueError(f"A profile needs at least three sizes, but got {len(parameters)}.")
    places = np.log(parameters)
    # Around the mean, where the fit is well conditioned.
    middle = places.mean()
    square, line, constant = np.polyfit(places - middle, losses, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        lowest = middle - line / (2 * square)
        loss = constant - line**2 / (4 * square)
    at_edge = ~((square > 0) & (lowest >= places.min()) & (lowest <= places.max()))
    best = losses.argmin(0)
    size = np.where(at_edge, parameters[best], np.exp(np.where(at_edge, 0, lowest)))
    coefficients = np.stack([square, line - 2 * middle * square, constant - middle * line + middle**2 * square])
    return size, np.where(at_edge, losses.min(0), loss), at_edge, coefficients


def study(runs: list[Measured], losses: np.ndarray) -> Study:
    """Fits the profiles and the laws to losses, measured or resampled, `(num_runs, replicates)`. Seeds of a cell are averaged."""
    cells = defaultdict(lambda: defaultdict(list))
    for run, loss in zip(runs, losses, strict=True):
        cells[run.kind, run.budget][run.parameters].append(loss)
    found = Study()
    for place in sorted(cells):
        sizes = sorted(cells[place])
        means = np.stack([np.mean(cells[place][size], axis=0) for size in sizes])
        lowest = profile(np.array(sizes), means)
        found.parameters[place], found.losses[place], found.at_edge[place], found.coefficients[place] = lowest
    for kind in KINDS:
        places = [place for place in found.losses if place[0] == kind]
        frontier = np.log(np.stack([found.losses[place] for place in places]))
        found.laws[kind] = np.polyfit(np.log([budget for _, budget in places]), frontier, 1)
    (slope, intercept), (twin_slope, twin_intercept) = found.laws["llada"], found.laws["twin"]
    for budget in sorted({budget for kind, budget in cells if kind == "twin"}):
        log_loss = twin_intercept + twin_slope * np.log(budget)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            factor = np.exp((log_loss - intercept) / slope) / budget
        found.interpolated[budget] = interpolate(found.losses, budget)
        found.factors[budget] = np.where(slope < 0, factor, LARGEST_FACTOR).clip(max=LARGEST_FACTOR)
    return found


def interpolate(losses: dict[tuple, np.ndarray], budget: float) -> np.ndarray:
    """The compute of LLaDA for the twin's loss at a budget, divided by that budget, `(replicates,)`."""
    own = sorted(place[1] for place in losses if place[0] == "llada")
    # From the largest budget to the smallest, because `np.interp` needs increasing losses.
    frontier = np.log(np.stack([losses["llada", one] for one in reversed(own)]))
    places, wanted = np.log(own[::-1]), np.log(losses["twin", budget])
    factors = [
        np.exp(np.interp(loss, column, places, left=np.nan, right=np.nan)) / budget
        if (np.diff(column) > 0).all()
        else np.nan
        for loss, column in zip(wanted, frontier.T, strict=True)
    ]
    return np.array(factors)


def seed_noise(runs: list[Measured]) -> dict[str, float]:
    """The standard deviation between seeds for each kind, pooled over budgets and sizes."""
    noise = {}
    for kind in KINDS:
        groups = defaultdict(list)
        for run in runs:
            if run.kind == kind:
                groups[run.budget, run.size].append(run.losses.mean())
        squares = sum(((np.array(group) - np.mean(group)) ** 2).sum() for group in groups.values())
        freedom = sum(len(group) - 1 for group in groups.values())
        if not freedom:
            raise ValueError(
                f"At least one run of {kind} needs two seeds, because otherwise the noise between seeds is unknown."
            )
        noise[kind] = float(np.sqrt(squares / freedom))
    return noise


def as_measured(runs: list[Measured]) -> Study:
    """The study of the measured losses, as one replicate."""
    return study(runs, np.array([[run.losses.mean()] for run in runs]))


def bootstrap(runs: list[Measured], replicates: int = 2000, seed: int = 0) -> Study:
    """The study with resampled windows and resampled noise between runs."""
    rng = np.random.default_rng(seed)
    windows = len(runs[0].losses)
    shares = rng.multinomial(windows, np.full(windows, 1 / windows), size=replicates) / windows
    losses = np.stack([run.losses for run in runs]) @ shares.T
    noise = seed_noise(runs)
    deviations = np.array([[noise[run.kind]] for run in runs])
    return study(runs, losses + deviations * rng.standard_normal(losses.shape))


def with_interval(value: float, drawn: np.ndarray) -> dict[str, float]:
    """A value and the middle 95% of its replicates."""
    low, high = np.percentile(drawn, INTERVAL)
    return {"mean": float(value), "low": float(low), "high": float(high)}
