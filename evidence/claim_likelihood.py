# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: the likelihood bound is usable. Measured by evidence/likelihood."""

from evidence.command import Command, device_of
from reporting.markdown import counted, significant, table, with_interval
from reporting.plots import Plot, logarithmic, panel, series


TITLE = "The likelihood bound is usable"
RESULTS = {
    "paper": "evidence/paper.yaml",
    "measured": "evidence/results/likelihood.json",
    "quick": "evidence/results/likelihood_quick.json",
}
ESTIMATORS = ("eq. 5", "eq. 6", "eq. 6, `l` spread", "eq. 6, antithetic")


def summary(results: dict) -> str:
    paper, rows = results["paper"]["likelihood"], results["measured"]["samples"]
    few, many = needed(rows[-1], paper), needed(of_span(rows, "a line"), paper)
    return (
        f"Eq. 5 needs {many['mean']:,.0f} samples on a line and {few['mean']:,.0f} on a quatrain for the error of "
        f"{paper['count_form_samples']} of eq. 6 (the paper: over {paper['rate_form_samples']:,}); antithetic samples have "
        f"{significant(antithetic_part(results['measured'], 'a couplet', 32))} of the error of independent ones."
    )


def paper(results: dict) -> str:
    said = results["paper"]["likelihood"]
    return (
        "Eq. 5 masks each token with a probability `t` and divides by `t`; eq. 6 masks exactly `l` of `L` tokens and weighs by "
        f"`L / l`. Their expectation is the same. The paper: eq. 5 needs over {said['rate_form_samples']:,} Monte Carlo "
        f"estimates for stable results, eq. 6 is stable with {said['count_form_samples']} ({said['place']}). It gives no "
        "variances. It also says that the objective is the mean of autoregressive log-likelihoods over all orders (eq. 15)."
    )


def measured(results: dict) -> str:
    found = results["measured"]
    settings, order = found["settings"], found["any_order"]
    return "\n\n".join(
        [
            f"Measured on the openings of {settings['texts']} held-out poems, with {settings['model']}, a model of our own. Up to a "
            "couplet, all masks of a text are run through the model, so the error of independent samples is exact. The error of "
            "coupled samples comes from "
            f"{counted(settings['repeats'], 'estimate')} of each text. The error is the standard deviation, the root of the mean "
            "variance over the texts.",
            "**Error at equal cost.** A sample is a forward pass. The package spreads `l` evenly over the samples of an "
            "estimate; `antithetic=True` also couples their masks.",
            error_table(found),
            "**Samples that eq. 5 needs** for the error of "
            f"{results['paper']['likelihood']['count_form_samples']} samples of eq. 6:",
            samples_table(found, results["paper"]["likelihood"]),
            "The rate `t` needs a smallest value: a mask of one token has about the probability `t` and the weight "
            "`1 / t`, so without a smallest rate the variance of eq. 5 is infinite. Eq. 6 has no such masks.",
            f"**Any order.** Over {order['orders']} orders of {order['tokens']} tokens and {counted(order['texts'], 'text')}, "
            "the mean of the autoregressive log-likelihoods and eq. 6 over all masks differ by at most "
            f"{tiny(order['float32'])} nats in float32 and {tiny(order['float64'])} in float64, with separate forward passes. "
            f"Single orders differ by {order['deviation_over_orders']:.1f} nats (standard deviation).",
            "**Bound and truth.** The truth is the log-likelihood of the sampler that fills in one token after another in a "
            "random order: the probability of a text is the mean over all orders, summed exactly.",
            bound_table(found),
            "**The reported error.** How often the bound is within two reported standard errors of an estimate, and the ratio of "
            "the reported to the true error:",
            coverage_table(found),
        ]
    )


def differences(results: dict) -> str:
    paper, found = results["paper"]["likelihood"], results["measured"]
    ratio = paper["rate_form_samples"] / paper["count_form_samples"]
    agree = [row for row in found["samples"] if row["times"]["low"] <= ratio <= row["times"]["high"]]
    below = [row["span"] for row in found["samples"] if row["times"]["high"] < ratio]
    above = [row["span"] for row in found["samples"] if row["times"]["low"] > ratio]
    return "\n".join(
        [
            f"- The paper's factor of about {ratio:.0f} is inside our interval for: "
            f"{', '.join(row['span'] for row in agree) or 'no span'}. The factor is smaller for: {', '.join(below) or 'no span'}, "
            f"and larger for: {', '.join(above) or 'no span'}. It falls with the length, and it depends on the smallest rate, "
            "which the paper does not give.",
            '- "Stable" is not defined in the paper. We compare standard deviations.',
            "- The model is small and the texts are short. Nothing was measured on the official checkpoints.",
        ]
    )


def commands(results: dict) -> list[Command]:
    whole, quick = results["measured"], results["quick"]
    return [
        Command(whole["command"], "all of it", whole["seconds"], device_of(whole["machine"])),
        Command(
            quick["command"],
            f"the same on {counted(quick['settings']['texts'], 'text')}: a factor of "
            f"{significant(of_span(quick['samples'], 'a couplet')['times']['mean'])} on a couplet, where all texts give "
            f"{significant(of_span(whole['samples'], 'a couplet')['times']['mean'])}",
            quick["seconds"],
            device_of(quick["machine"]),
        ),
    ]


def error_table(found: dict) -> str:
    columns = [(span, number) for span in ("a line", "a couplet") for number in (8, 32, 128)]
    head = ["error in nats", *(f"{span}, {number} samples" for span, number in columns)]
    rows = []
    for estimator in ESTIMATORS:
        cells = [error_of(found, span, estimator, number) for span, number in columns]
        rows.append([estimator, *(f"{row['error']:.2f} [{row['low']:.2f}, {row['high']:.2f}]" for row in cells)])
    return table(head, rows)


def samples_table(found: dict, paper: dict) -> str:
    first, second = found["rate_eps"]
    head = ["scored", "tokens", f"smallest rate {first:g}", f"smallest rate {second:g}"]
    rows = []
    for row in found["samples"]:
        cells = [with_interval(needed(row, paper, name), 0) for name in ("times", "times_smaller_rate")]
        rows.append([row["span"], str(row["tokens"]), *cells])
    return table(head, rows)


def bound_table(found: dict) -> str:
    rows = [
        [row["span"], str(row["tokens"]), *(with_interval(row[name], 2) for name in ("bound", "exact", "gap"))]
        for row in found["bound"]
    ]
    return table(["scored", "tokens", "bound, nats", "truth, nats", "the bound is below by"], rows)


def coverage_table(found: dict) -> str:
    rows = []
    for span in ("a line", "a couplet"):
        for number in (8, 32, 128):
            plain, antithetic = (
                next(
                    row
                    for row in found["coverage"]
                    if (row["span"], row["samples"], row["antithetic"]) == (span, number, coupled)
                )
                for coupled in (False, True)
            )
            cells = [
                f"{with_interval(row['within'], 0, scale=100)}, {row['reported_over_true']:.2f}x"
                for row in (plain, antithetic)
            ]
            rows.append([span, str(number), *cells])
    return table(["scored", "samples", "plain", "antithetic"], rows)


def tiny(value: float) -> str:
    return f"{value:.0e}" if value else f"{value:g}"


def needed(row: dict, paper: dict, name: str = "times") -> dict:
    """The samples of eq. 5 with the same error, with the interval."""
    return {end: paper["count_form_samples"] * value for end, value in row[name].items()}


def antithetic_part(found: dict, span: str, number: int) -> float:
    independent, coupled = (error_of(found, span, name, number)["error"] for name in ("eq. 6", "eq. 6, antithetic"))
    return coupled / independent


def of_span(rows: list[dict], span: str) -> dict:
    return next(row for row in rows if row["span"] == span)


def error_of(found: dict, span: str, estimator: str, number: int) -> dict:
    wanted = (span, estimator, number)
    return next(row for row in found["error"] if (row["span"], row["estimator"], row["samples"]) == wanted)


def draw_error(figure, results, theme) -> None:
    """Draws a panel for each span, with double logarithmic axes."""
    found = results["measured"]
    for place, span in (((0.07, 0.15, 0.41, 0.66), "a line"), ((0.57, 0.15, 0.41, 0.66), "a couplet")):
        tokens = of_span(found["samples"], span)["tokens"]
        axes = panel(figure, place, f"{span}, {tokens} tokens", "samples (forward passes)", "standard error (nats)")
        for index, estimator in enumerate(ESTIMATORS):
            rows = [row for row in found["error"] if (row["span"], row["estimator"]) == (span, estimator)]
            columns = [[row[name] for row in rows] for name in ("samples", "error", "low", "high")]
            series(axes, theme, index, estimator.replace("`", ""), *columns)
        logarithmic(axes, "x", [1, 4, 16, 64, 256, 1024])
        logarithmic(axes, "y", [0.1, 0.3, 1, 3, 10, 30])
        axes.legend(loc="lower left", fontsize=9)


def draw_samples(figure, results, theme) -> None:
    """Draws the samples of eq. 5 that match those of eq. 6, against the length of the span."""
    found, said = results["measured"], results["paper"]["likelihood"]
    axes = panel(
        figure,
        (0.09, 0.17, 0.86, 0.66),
        "",
        "scored tokens",
        f"samples of eq. 5 with the error of {said['count_form_samples']} of eq. 6",
    )
    tokens = [row["tokens"] for row in found["samples"]]
    for index, (name, rate_eps) in enumerate(zip(("times", "times_smaller_rate"), found["rate_eps"], strict=True)):
        rows = [needed(row, said, name) for row in found["samples"]]
        columns = [[row[end] for row in rows] for end in ("mean", "low", "high")]
        series(axes, theme, index, f"smallest rate {rate_eps:g}", tokens, *columns)
    axes.axhline(said["rate_form_samples"], color=theme.ink, linewidth=1.2, linestyle="--", label="the paper")
    logarithmic(axes, "x", tokens)
    logarithmic(axes, "y", [100, 300, 1000, 3000, 10000])
    axes.legend(loc="upper right", fontsize=9)


PLOTS = [
    Plot(
        "likelihood-error",
        "Standard error of the likelihood bound against the number of samples, for eq. 5, eq. 6, eq. 6 with spread counts and "
        "antithetic samples: four falling lines, in this order from top to bottom.",
        draw_error,
    ),
    Plot(
        "likelihood-samples",
        "How many samples of eq. 5 have the error of those of eq. 6, against the number of scored tokens, for two smallest "
        "rates, with the number of the paper as a dashed line.",
        draw_samples,
        (8.0, 3.6),
    ),
]
