# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: masked diffusion scales like autoregression. Measured by recipes/scaling."""

import numpy as np

from evidence.command import Command
from reporting.markdown import counted, joined, table, with_interval
from reporting.plots import Plot, logarithmic, panel, series


TITLE = "Masked diffusion scales like autoregression"
RESULTS = {
    "paper": "evidence/paper.yaml",
    "measured": "evidence/results/scaling.json",
    "quick": "evidence/results/scaling_cpu.json",
    "poet": "evidence/results/twin.json",
}
KINDS = {"llada": "LLaDA", "twin": "autoregressive twin"}
# How the paper names its models, and what the models of a kind begin with.
FAMILIES = {"LLaDA": "LLaDA", "ARM": "autoregressive baseline"}
# Of the scores of the paper two are drawn: one on which LLaDA does better and one on which it does worse.
DRAWN = ("MMLU", "PIQA")
WHOLE = "python -m recipes.scaling.run --plan poems --workers 4 --max-minutes 8.5 --resume"
QUICK = "python -m recipes.scaling.run --plan tiny --output runs/scaling-tiny --workers 2"
FIT = "python -m recipes.scaling.fit --runs runs/scaling --json evidence/results/scaling.json"


def summary(results: dict) -> str:
    found = results["measured"]
    slopes = [with_interval(found["laws"][kind]["slope"], 3) for kind in KINDS]
    first = found["factors"][0]
    return (
        f"Held-out loss falls as a power of the compute: exponent {slopes[0]} for LLaDA's bound, {slopes[1]} for the twin. The "
        f"loss of the twin at {flops(first['budget'])} FLOPs costs LLaDA {times(measured_or_law(first), found)} times as many. No "
        "LLaDA of the study reached the loss of the twin's larger budgets."
    )


def paper(results: dict) -> str:
    said = results["paper"]["scaling"]
    return (
        "A figure shows six benchmarks against training FLOPs, for LLaDA and for autoregressive baselines on the same data, at "
        f"{span([row[2] for row in said['rows']])} FLOPs. The paper says that LLaDA matches them overall, and fits no curves. "
        f"Here are the numbers ({said['place']}), the most trained model of each kind and size:\n\n"
        + paper_table(said)
    )


def paper_table(said: dict) -> str:
    rows = {row[0]: row for row in sorted(said["rows"], key=lambda row: row[2])}
    head = [name for name in said["columns"] if name != "billion tokens"]
    lines = []
    for row in rows.values():
        scores = ["" if score is None else f"{score:.1f}" for score in row[3:]]
        lines.append([row[0], flops(row[2]), *scores])
    return table(head, lines)


def measured(results: dict) -> str:
    found = results["measured"]
    difference = with_interval(found["slope_difference"], 3)
    return "\n\n".join(
        [
            f"{counted(len(found['runs']), 'run')} on classical Chinese poems: LLaDA and a Llama of the same shape on the same "
            "rows in the same order, with the same optimiser and schedule. FLOPs count the layers, the output head and "
            "attention, the same for both ([how](../recipes/scaling/README.md)). Loss is nats per token of "
            f"{counted(found['held_out_windows'], 'held-out window')}: the bound of eq. 6 for LLaDA, the exact value for the "
            "twin. Between seeds a run varies by "
            + joined([f"{found['noise_between_seeds'][kind]:.3f} ({name})" for kind, name in KINDS.items()])
            + " nats (standard deviation).",
            "**The loss of a budget**, at the lowest point of a parabola through the sizes:",
            profile_table(found),
            "Edge: the parabola has no lowest point among the sizes. Then the table has the best measured size, and a better size "
            "would have a lower loss.",
            f"The exponents differ by {difference}. No point in the table is further from its law than "
            f"{max(law['largest_residual'] for law in found['laws'].values()):.3f} nats.",
            "**The compute of LLaDA for the twin's loss**, by the two power laws and, if LLaDA had that loss, by the line between "
            "its own points. Beyond: LLaDA had no run with so much compute.",
            factor_table(found),
            "**Tasks**, at the best measured size of each budget. *Choice*: the second line of a held-out couplet among "
            "four, by likelihood. *Known*: the second line of a famous couplet, which is in the training rows, by greedy "
            "decoding. These intervals are over the questions alone, without the noise of seeds.",
            task_table(found),
        ]
    )


def profile_table(found: dict) -> str:
    rows = []
    for budget in budgets(found):
        cells = []
        for kind in KINDS:
            row = one_of(found["profiles"], kind, budget)
            if row is None:
                cells += ["", ""]
                continue
            edge = " (edge)" if row["at_edge"] else ""
            cells += [with_interval(row["loss"], 3), f"{row['parameters']['mean'] / 1e6:.2f} M{edge}"]
        rows.append([flops(budget), *cells])
    return table(["FLOPs", "LLaDA, loss", "LLaDA, size", "twin, loss", "twin, size"], rows)


def factor_table(found: dict) -> str:
    rows = []
    for row in found["factors"]:
        between = "" if row["interpolated"] is None else times(row["interpolated"], found)
        beyond = " (beyond)" if row["beyond_the_budgets"] else ""
        rows.append([flops(row["budget"]), times(row["factor"], found) + beyond, between])
    return table(["FLOPs of the twin", "LLaDA needs, times, by the laws", "between its own budgets"], rows)


def measured_or_law(row: dict) -> dict:
    """The factor between measured points, or, where there is none, by the laws."""
    return row["interpolated"] or row["factor"]


def times(value: dict, found: dict) -> str:
    """A factor with its interval; a value at the upper limit is written as over that limit."""
    digits = 0 if value["mean"] >= 10 else 1
    parts = [
        f"over {value[end]:,.0f}" if value[end] >= found["largest_factor"] else f"{value[end]:,.{digits}f}"
        for end in ("mean", "low", "high")
    ]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]"


def task_table(found: dict) -> str:
    head = [
        "FLOPs",
        "model",
        "size",
        "choice, %",
        "known lines, %",
        "known characters, %",
        "nats a character, held out",
    ]
    rows = []
    for budget in budgets(found):
        for kind, name in KINDS.items():
            row = one_of(found["tasks"], kind, budget)
            if row is None:
                continue
            rates = [
                with_interval(row[score], 1, scale=100) for score in ("choice", "known_lines", "known_characters")
            ]
            nats = with_interval(row["held_out_couplets_nats"], 2)
            rows.append([flops(budget), name, row["size"], *rates, nats])
    return table(head, rows)


def differences(results: dict) -> str:
    found, said = results["measured"], results["paper"]["scaling"]
    edges = [f"{KINDS[row['kind']]} at {flops(row['budget'])}" for row in found["profiles"] if row["at_edge"]]
    lines = [
        f"- Our largest budget is {flops(max(row['budget'] for row in found['runs']))} FLOPs, the paper's smallest "
        f"{flops(min(row[2] for row in said['rows']))}. "
        "Its benchmarks mean nothing for models of this size, so other tasks take their place.",
        "- The bound is compared with an exact value. The gap between the bound and LLaDA's likelihood is measured under "
        "[likelihood](#the-likelihood-bound-is-usable).",
        "- Learning rates follow one rule for both kinds and were tuned for neither. Small models read the small corpus several "
        "times, and runs with more compute read it more often.",
        "- A power law without an irreducible loss describes only the measured range. Its intervals cover the noise of seeds and "
        "of held-out windows, but not the choice of the law. " + poet_against_the_law(results),
    ]
    for row in found["left_out"]:
        lines.append(
            f"- At {flops(row['budget'])} FLOPs the {KINDS[row['kind']]} has too few sizes for a parabola, so that budget is not in "
            f"its fits. Its lowest loss there is {row['lowest']:.3f}, where its law has {row['by_the_law']:.3f}."
        )
    if edges:
        lines.append(
            f"- The best size lies at an end of the sizes measured, so the loss there is too high: {', '.join(edges)}."
        )
    if found["slope_difference"]["low"] > 0 or found["slope_difference"]["high"] < 0:
        lines.append(
            "- The exponents of the two kinds differ by more than their intervals: the gap changes with the compute."
        )
    return "\n".join(lines)


def commands(results: dict) -> list[Command]:
    whole, quick = results["measured"], results["quick"]
    return [
        Command(
            WHOLE,
            f"{counted(len(whole['runs']), 'run')}, in pieces, and then `{FIT}`",
            whole["seconds"],
            device(whole),
        ),
        Command(
            QUICK,
            f"{counted(len(quick['runs']), 'run')} on the famous poems, at {span(budgets(quick))} FLOPs: the exponent is "
            f"{with_interval(quick['laws']['llada']['slope'], 3)} for LLaDA and "
            f"{with_interval(quick['laws']['twin']['slope'], 3)} for the twin",
            quick["seconds"],
            device(quick),
        ),
    ]


def poet_against_the_law(results: dict) -> str:
    """llada-poet is a run of the largest size with far more compute, on other shares of the same rows."""
    found, poet = results["measured"], results["poet"]
    run = max((row for row in found["runs"] if row["kind"] == "llada"), key=lambda row: row["parameters"])
    tokens = poet["curves"]["llada"][-1]["step"] * poet["settings"]["tokens_per_step"]
    compute = tokens * run["flops"] / run["tokens"]
    law, loss = law_at(found["laws"]["llada"], compute), poet["held_out"]["llada"]["mean"]
    lower = [row["budget"] for row in of_kind(found["profiles"], "twin") if row["loss"]["mean"] < loss]
    text = (
        f"llada-poet, of the largest size, has {with_interval(poet['held_out']['llada'], 2)} after {flops(compute)} FLOPs, where "
        f"the law has {law:.2f}. So the law does not hold that far outside of its range."
    )
    if lower:
        text += (
            f" With {compute / lower[0]:.0f} times the FLOPs it has not reached the loss of the twin at {flops(lower[0])}, so a "
            "factor marked as beyond is too small for a model of this size."
        )
    return text


def device(found: dict) -> str:
    workers = sorted({min(found["workers"], default=1), max(found["workers"], default=1)})
    number = " to ".join(str(one) for one in workers)
    return f"{' and '.join(found['machine']['device'])}, {number} workers"


def budgets(found: dict) -> list[float]:
    """The budgets that count for at least one kind."""
    return sorted({row["budget"] for row in found["profiles"]})


def of_kind(rows: list[dict], kind: str) -> list[dict]:
    """The rows of a kind, in the order of the budgets."""
    return [row for row in rows if row["kind"] == kind]


def law_at(law: dict, compute):
    """The loss that a law has at some FLOPs."""
    return np.exp(law["intercept"] + law["slope"]["mean"] * np.log(compute))


def one_of(rows: list[dict], kind: str, budget: float) -> dict | None:
    """The row of a kind at a budget; `None` if it has too few runs there."""
    return next((row for row in rows if (row["kind"], row["budget"]) == (kind, budget)), None)


def flops(value: float) -> str:
    """Scientific notation without the plus sign of the exponent."""
    return f"{value:.1e}".replace("e+", "e")


def span(values: list[float]) -> str:
    return f"{flops(min(values))} to {flops(max(values))}"


def draw_frontier(figure, results, theme) -> None:
    """The profiles of each budget on the left, what a budget buys on the right."""
    found = results["measured"]
    left = panel(
        figure, (0.07, 0.15, 0.41, 0.66), "Sizes of each budget", "parameters", "held-out loss (nats per token)"
    )
    right = panel(figure, (0.57, 0.15, 0.41, 0.66), "Frontier", "training FLOPs", "held-out loss (nats per token)")
    for index, (kind, name) in enumerate(KINDS.items()):
        rows = of_kind(found["profiles"], kind)
        for row in rows:
            draw_profile(left, theme.series[index], found, row)
        columns = [[row["loss"][end] for row in rows] for end in ("mean", "low", "high")]
        series(right, theme, index, name, [row["budget"] for row in rows], *columns, line=False)
        ends = np.array([rows[0]["budget"], rows[-1]["budget"]])
        right.plot(ends, law_at(found["laws"][kind], ends), color=theme.series[index])
    sizes = sorted({row["parameters"] for row in found["runs"]})
    logarithmic(left, "x", sizes, lambda size: f"{size / 1e6:.2g} M")
    logarithmic(right, "x", budgets(found), flops)
    right.legend(loc="upper right", fontsize=9)


def draw_profile(axes, colour: str, found: dict, profile: dict) -> None:
    """The runs of a budget as points, and the parabola through them if it has a lowest point."""
    kind, budget = profile["kind"], profile["budget"]
    rows = [row for row in found["runs"] if (row["kind"], row["budget"]) == (kind, budget)]
    sizes = np.array(sorted({row["parameters"] for row in rows}), float)
    axes.plot(
        [row["parameters"] for row in rows],
        [row["held_out_nats"] for row in rows],
        marker="os"[list(KINDS).index(kind)],
        markersize=4,
        linestyle="none",
        color=colour,
    )
    if profile["at_edge"]:
        return
    places = np.linspace(np.log(sizes.min()), np.log(sizes.max()), 40)
    axes.plot(np.exp(places), np.polyval(profile["coefficients"], places), color=colour, linewidth=1.0)


def draw_tasks(figure, results, theme) -> None:
    """Our choice task beside two of the paper's, against FLOPs."""
    found, said = results["measured"], results["paper"]["scaling"]
    axes = panel(figure, (0.05, 0.15, 0.26, 0.64), "Here", "training FLOPs", "choice among four (%)")
    for index, (kind, name) in enumerate(KINDS.items()):
        rows = of_kind(found["tasks"], kind)
        columns = [[100 * row["choice"][end] for row in rows] for end in ("mean", "low", "high")]
        series(axes, theme, index, name, [row["budget"] for row in rows], *columns)
    logarithmic(axes, "x", [min(budgets(found)), max(budgets(found))], flops)
    axes.legend(loc="upper left", fontsize=8)
    for left, task in zip((0.39, 0.72), DRAWN, strict=True):
        axes = panel(figure, (left, 0.15, 0.26, 0.64), "The paper", "training FLOPs", f"{task} (%)")
        column = said["columns"].index(task)
        for index, (family, name) in enumerate(FAMILIES.items()):
            rows = sorted((row[2], row[column]) for row in said["rows"] if row[0].startswith(family))
            axes.plot(
                *zip(*rows, strict=True),
                marker="os"[index],
                markersize=3.5,
                linestyle="none",
                color=theme.series[index],
                label=name,
            )
        places = [row[2] for row in said["rows"]]
        logarithmic(axes, "x", [min(places), max(places)], flops)
        axes.legend(loc="lower right", fontsize=8)


PLOTS = [
    Plot(
        "scaling-loss",
        "Held-out loss against the number of parameters for each compute budget, and the lowest loss of each budget against "
        "training FLOPs, for LLaDA and its autoregressive twin, with the fitted power laws.",
        draw_frontier,
    ),
    Plot(
        "scaling-tasks",
        "Accuracy against training FLOPs: our choice among four second lines, and MMLU and PIQA as in figure 3 of the paper, for "
        "LLaDA and autoregressive models.",
        draw_tasks,
        (9.5, 3.8),
    ),
]
