# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""IsoFLOP profiles, the compute-optimal frontier and the price of a loss in compute, with intervals.

For each kind and budget a parabola in log(size) goes through the losses; its lowest point is the loss that the budget buys.
Through these points goes a power law, a straight line in log-log: loss = exp(intercept) x FLOPs ^ slope. It describes the
range that was measured. A further constant (an irreducible loss) cannot be told from three or four budgets.

Two sources of error are drawn again for each replicate of the bootstrap: the held-out windows, which are the same for all
runs and both kinds, and the noise between runs that differ in the seed alone.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np


INTERVAL = (2.5, 97.5)
LARGEST_FACTOR = 1000.0  # for what lies further outside of the budgets, and where LLaDA's loss does not fall
KINDS = ("llada", "twin")


@dataclass
class Measured:
    """
    A finished run.

    Args:
        kind (`str`), budget (`float`), size (`str`), seed (`int`):
            Which run.
        parameters (`float`):
            Where the size stands in a profile.
        losses (`np.ndarray` of shape `(num_windows,)`):
            Nats per token of each held-out window.
    """

    kind: str
    budget: float
    size: str
    seed: int
    parameters: float
    losses: np.ndarray


@dataclass
class Study:
    """
    The frontier of both kinds and the factor between them. The last axis of each array holds the replicates.

    Args:
        parameters (`dict`), losses (`dict`):
            The lowest point of the profile of each `(kind, budget)`.
        at_edge (`dict`):
            Whether a parabola falls towards an end of the sizes, or has no lowest point: then the lowest point is the best
            of the measured ones.
        coefficients (`dict`):
            Of the parabolas in log(parameters), `(3, replicates)`, the quadratic one first.
        laws (`dict`):
            Slope and intercept by kind, `(2, replicates)`.
        factors (`dict`):
            By budget: the compute that LLaDA needs for the loss which the law of the twin has there, by that of the twin;
            at most `LARGEST_FACTOR`.
        interpolated (`dict`):
            By budget: the same without laws, by the lowest points of the twin and the lines between those of LLaDA; NaN where
            the loss is not among LLaDA's.
    """

    parameters: dict[tuple, np.ndarray] = field(default_factory=dict)
    losses: dict[tuple, np.ndarray] = field(default_factory=dict)
    at_edge: dict[tuple, np.ndarray] = field(default_factory=dict)
    coefficients: dict[tuple, np.ndarray] = field(default_factory=dict)
    laws: dict[str, np.ndarray] = field(default_factory=dict)
    factors: dict[float, np.ndarray] = field(default_factory=dict)
    interpolated: dict[float, np.ndarray] = field(default_factory=dict)


def profile(parameters: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    Fits parabolas in log(parameters).

    Args:
        parameters (`np.ndarray` of shape `(num_sizes,)`):
            At least three sizes.
        losses (`np.ndarray` of shape `(num_sizes, replicates)`):
            Their losses.

    Returns:
        `tuple(np.ndarray)`: parameters and loss of the lowest point, whether it is at the edge, `(replicates,)`, and the
        coefficients, `(3, replicates)`.
    """
    if len(parameters) < 3:
        raise ValueError(f"A profile needs at least three sizes, but got {len(parameters)}.")
    places = np.log(parameters)
    # About the mean, where a parabola is well conditioned.
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
    """
    Fits the profiles and the laws.

    Args:
        runs (`list[Measured]`):
            The runs; seeds of a cell are averaged.
        losses (`np.ndarray` of shape `(num_runs, replicates)`):
            Their losses, as measured or drawn again.

    Returns:
        [`Study`].
    """
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
    """The compute of LLaDA for the twin's loss at a budget, by that budget, `(replicates,)`."""
    own = sorted(place[1] for place in losses if place[0] == "llada")
    # From the largest budget on, so that losses increase, as they have to for `np.interp`.
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
    """How far a run of each kind lies from the mean over seeds: the standard deviation, pooled over budgets and sizes."""
    noise = {}
    for kind in KINDS:
        groups = defaultdict(list)
        for run in runs:
            if run.kind == kind:
                groups[run.budget, run.size].append(run.losses.mean())
        squares = sum(((np.array(group) - np.mean(group)) ** 2).sum() for group in groups.values())
        freedom = sum(len(group) - 1 for group in groups.values())
        if not freedom:
            raise ValueError(f"At least one run of {kind} needs two seeds: without them the noise is not known.")
        noise[kind] = float(np.sqrt(squares / freedom))
    return noise


def as_measured(runs: list[Measured]) -> Study:
    """The study of the losses themselves: one replicate."""
    return study(runs, np.array([[run.losses.mean()] for run in runs]))


def bootstrap(runs: list[Measured], replicates: int = 2000, seed: int = 0) -> Study:
    """The study of windows drawn again, with the noise between runs drawn again."""
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
