# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: random remasking samples, low-confidence remasking picks. Measured by evidence/exact, where predictions are exact."""

from evidence.command import Command
from evidence.exact.settings import BLOCKS, CACHES, LIMITS, REMASKINGS, RULES, STEPS, TEMPERATURES
from reporting.markdown import counted, joined, table
from reporting.plots import Plot, logarithmic, panel, series


TITLE = "Which strategies sample, and which pick"
RESULTS = {"measured": "evidence/results/exact.json"}
ORDER_FREE = ("random", "margin", "entropy")  # remaskings whose order does not depend on the proposed tokens
STEP_NAMES = [counted(steps, "step") for steps in STEPS]
MANY, HALF, ONE = (STEP_NAMES[index] for index in (0, 1, -1))
WARMED = ("random", "low_confidence")
LEAP = "confidence_threshold 0.9, leap_threshold 0.6"
SMALL = "python -m evidence.exact --length 5 --samples 20000 --json exact_small.json"
WINDOW = "dual cache, suffix_window 1"
LEFT_TO_RIGHT = "constraint, blocks of 1"
CONSTRAINTS = ("random", "margin", "low_confidence", "blocks of 1", "blocks of 2")


def summary(results: dict) -> str:
    found = results["measured"]["enumerated"]
    return (
        "At temperature 1 with one token a step, random, margin and entropy remasking sample exactly what the model says. "
        f"Low-confidence remasking, the default, does not: its total variation from it is {variation(found[f'low_confidence, {MANY}'])}. "
        "It picks probable texts."
    )


def paper(results: dict) -> str:
    return (
        "The paper derives the reverse process with random remasking, and takes low-confidence remasking in its place, as an "
        "annealing. It does not say how far either is from the distribution of the model, because with a network nobody knows that."
    )


def measured(results: dict) -> str:
    values = results["measured"]
    found, sampled, settings = values["enumerated"], values["sampled"], values["settings"]
    return "\n\n".join(
        [
            "Here the mask predictor is a hidden Markov model, and so all its predictions are exact: each difference from the true "
            f"distribution is the sampler's own. A text has {settings['length']} tokens after a prompt, and each token depends "
            f"strongly on its neighbours; the most probable text has {100 * values['most_probable']:.1f}%, and the entropy of the "
            f"texts is {values['entropy']:.2f} nats. What a sampler produces is computed without sampling, over everything that can "
            "happen in its steps. Cells are the total variation from the truth (the share of texts that would have to change), "
            "and in brackets the entropy of what is produced. The temperature is one if nothing else is said.",
            "**Remasking and steps.**",
            grid(found, REMASKINGS, STEP_NAMES),
            "**Blocks**, one token a step.",
            grid(found, REMASKINGS, [f"blocks of {size}" for size in BLOCKS]),
            "**Parallel rules**, beside low-confidence remasking.",
            rule_table(found),
            "**Temperature**, one token a step.",
            grid(found, WARMED, [f"temperature {value:g}" for value in TEMPERATURES]),
            "**Limits of sampling**, with margin remasking and one token a step: "
            + joined(
                [f"`{name}={value:g}` {cell(found[f'margin, {name} {value:g}'])}" for name, value in LIMITS.items()]
            )
            + ".",
            f"**Caches and constraints**, from {settings['samples']:,} sampled texts each. The estimate is nothing on average for a "
            "sampler that is right, so it can be negative. The constraint asks for an even number of one of the tokens, so each token "
            "depends on all others; the truth is the distribution of the texts that keep it.",
            sampled_table(sampled),
        ]
    )


def differences(results: dict) -> str:
    values = results["measured"]
    found, sampled = values["enumerated"], values["sampled"]
    few, many = (found[f"low_confidence, {steps}"] for steps in (ONE, MANY))
    exact = [name for name in ORDER_FREE if found[f"{name}, {MANY}"]["total_variation"] == 0]
    bounds = RULES["entropy_bound"]
    return "\n".join(
        [
            f"- Exact with one token a step: {joined(exact)} remasking. The position that they commit depends on the predictions "
            "and not on the proposed tokens. Low confidence looks at the probability of the proposal, which is like "
            "drawing many times and keeping what is most probable.",
            f"- So with low confidence, more steps are further from the truth: {variation(many)} with one token a step, {variation(few)} "
            "with all tokens in one step, where every remasking is the product of the marginals. More steps buy probable texts.",
            "- Thresholds, factors and leaps read the same confidence, and do the same. An entropy bound reads the predictions alone. Here "
            f"bounds up to {exact_up_to(found, bounds):g} never commit two tokens, and are exact; "
            + joined(
                [
                    f"{bound:g} takes {passes(found, bound)} passes and is off by {variation(found[f'entropy_bound {bound:g}'])}"
                    for bound in bounds[-2:]
                ]
            )
            + ".",
            "- In blocks of one token every remasking is exact, as an autoregressive model is.",
            "- With several tokens a step, random remasking is the nearest: "
            + joined([f"{variation(found[f'{name}, {HALF}'])} ({name})" for name in ORDER_FREE])
            + " with half of the steps. Margin and entropy commit neighbours together, which depend on each other.",
            "- A temperature is applied to each token. The result is not the distribution of texts at that temperature.",
            "- The keys and values of this model depend on one token each, so a cache cannot be stale here. That caches change nothing "
            "shows that `generate` keeps the right positions. What a stale cache costs a network is in [quality.md](quality.md).",
            "- A constraint is kept, but what is sampled is not the truth given the constraint, because the tokens of later steps are "
            f"counted as if they were independent: {estimate(sampled['constraint, margin'])} in one block, "
            f"{estimate(sampled[LEFT_TO_RIGHT])} from left to right.",
            "- The bound on the log-likelihood, eq. 6, is an equality for this model; the tests hold `log_likelihood` to it.",
            "- A text of a few tokens of a small vocabulary is far from language. How far a sampler is off depends on the model; whether "
            "it is exact does not.",
        ]
    )


def commands(results: dict) -> list[Command]:
    return [
        Command(
            "python -m evidence.exact",
            "all settings",
            results["measured"]["seconds"],
            "one CPU thread, shared with other work",
        ),
        Command(SMALL, "the same on shorter texts"),
    ]


def exact_up_to(found: dict, bounds: tuple[float, ...]) -> float:
    """The largest entropy bound without an error."""
    return max(value for value in bounds if found[f"entropy_bound {value:g}"]["total_variation"] == 0)


def passes(found: dict, bound: float) -> str:
    return f"{found[f'entropy_bound {bound:g}']['forward_passes']:.1f}"


def variation(result: dict) -> str:
    return f"{result['total_variation']:.2f}"


def cell(result: dict) -> str:
    return f"{result['total_variation']:.3f} ({result['entropy']:.2f})"


def estimate(result: dict) -> str:
    mean, low, high = (result["total_variation"][name] for name in ("mean", "low", "high"))
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def grid(found: dict, rows: tuple[str, ...], columns: list[str]) -> str:
    return table(["", *columns], [[f"`{row}`", *(cell(found[f"{row}, {one}"]) for one in columns)] for row in rows])


def rule_names() -> list[str]:
    return [f"{rule} {value:g}" for rule, values in RULES.items() for value in values] + [LEAP]


def rule_table(found: dict) -> str:
    rows = [[f"`{name}`", cell(found[name]), f"{found[name]['forward_passes']:.2f}"] for name in rule_names()]
    return table(["", "total variation (entropy)", "forward passes"], rows)


def sampled_table(sampled: dict) -> str:
    caches = ["no cache", *(f"{name} cache" for name in CACHES), WINDOW]
    names = caches + [f"constraint, {name}" for name in CONSTRAINTS]
    return table(["", "total variation"], [[name, estimate(sampled[name])] for name in names])


def draw_exact(figure, results, theme) -> None:
    """Total variation against forward passes, and against the temperature."""
    found = results["measured"]["enumerated"]
    axes = panel(figure, (0.06, 0.14, 0.42, 0.68), "temperature 1", "forward passes", "total variation")
    families = {name: [f"{name}, {steps}" for steps in STEP_NAMES] for name in REMASKINGS}
    families |= {rule: [f"{rule} {value:g}" for value in values] for rule, values in RULES.items()}
    for index, (family, names) in enumerate(families.items()):
        points = sorted((found[name]["forward_passes"], found[name]["total_variation"]) for name in names)
        draw_line(axes, theme, index, family, points)
    logarithmic(axes, "x", [1, 2, 4, 8])
    axes.set_ylim(-0.03, 1.35)  # room for the legend
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.legend(loc="upper left", fontsize=8, ncols=2)
    axes = panel(figure, (0.56, 0.14, 0.42, 0.68), "one token a step", "temperature", "total variation")
    for name in WARMED:
        warm = [(value, found[f"{name}, temperature {value:g}"]["total_variation"]) for value in TEMPERATURES]
        points = sorted([*warm, (1.0, found[f"{name}, {MANY}"]["total_variation"])])
        draw_line(axes, theme, REMASKINGS.index(name), name, points)
    axes.set_ylim(-0.03, 1)
    axes.legend(loc="lower left", fontsize=9)


def draw_line(axes, theme, index: int, label: str, points: list[tuple[float, float]]) -> None:
    """Points without intervals, because they are computed."""
    x, value = zip(*points, strict=True)
    series(axes, theme, index, label, x, value, value, value)


PLOTS = [
    Plot(
        "exact",
        "Total variation from the true distribution against forward passes, for each remasking and three parallel rules, and "
        "against the temperature. Random, margin and entropy remasking reach 0 with one token a step at temperature 1; low "
        "confidence and the rules that read it move away from it with more passes.",
        draw_exact,
        (9.0, 4.4),
    ),
]
