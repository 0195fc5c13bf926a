# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Masked diffusion has no reversal curse. Measured by examples/poems/reversal_tiny.py."""

from markdown import Command, counted, device_of, table
from plots import Plot, panel, series


TITLE = "Masked diffusion has no reversal curse"
RESULTS = {
    "paper": "docs/evidence/paper.yaml",
    "measured": "docs/evidence/results/reversal_cpu.json",
    "masked": "docs/evidence/results/reversal_cpu_masked.json",
}
NAMES = {"llada": "LLaDA", "twin": "twin"}
TASKS = {
    "line after, by question": ("question next",),
    "line before, by question": ("question previous",),
    "line after, by text": ("infill next", "continuation next"),
    "line before, by text": ("infill previous",),
}
ALLOWED = 0.1  # the relative difference that counts as none
PROTOCOL = (
    "python examples/poems/reversal.py --twin twin=runs/twin/final --candidates data/candidates.json --device cuda "
    "--json runs/reversal.json"
)
OFFICIAL = (
    "llada eval reversal --model GSAI-ML/LLaDA-8B-Instruct --pairs poem_data.json --chat-template --max-new-tokens 28"
)
TICKS = (0, 25, 50, 75, 100)


def summary(results: dict) -> str:
    forward, backward = (rate_of(results, "llada", f"question {way}") for way in ("next", "previous"))
    verdict = "Yes, in small" if abs(backward - forward) <= ALLOWED * forward else "In part, in small"
    return (
        f"{verdict}: asked about couplets that had no questions in training, LLaDA finds {forward:.0%} of the lines after and "
        f"{backward:.0%} of the lines before; its twin {rate_of(results, 'twin', 'question next'):.0%} and "
        f"{rate_of(results, 'twin', 'question previous'):.0%}."
    )


def paper(results: dict) -> str:
    said = results["paper"]["reversal"]
    rows = [[name, *(f"{score}" for score in scores)] for name, scores in said["scores"].items()]
    return (
        f"Exact match in percent ({said['place']}):\n\n"
        + table(["", *said["columns"]], rows)
        + "\n\nThe models of the table have read different texts. Here they have read the same."
    )


def measured(results: dict) -> str:
    found = results["measured"]
    sizes = {result["parameters"] for run in found["seeds"].values() for result in run.values()}
    return "\n\n".join(
        [
            f"Two models of {max(sizes):,} parameters and one shape, trained from scratch on the same rows: "
            f"{found['couplets']} couplets, read from left to right, and questions about half of them, which line comes after "
            "and which before. They are asked about the other half, which they have read just as often. Whole lines, greedy, "
            f"{counted(len(found['seeds']), 'seed')} with couplets of their own, taken together. By text means by infilling, and "
            "for the twin by going on after the first line.",
            table(["", *TASKS], [[name, *cells(found, key)] for key, name in NAMES.items()]),
            "The same where the questions are predicted too, as in pre-training "
            f"({counted(len(results['masked']['seeds']), 'seed')}):",
            table(["", *TASKS], [[name, *cells(results["masked"], key)] for key, name in NAMES.items()]),
        ]
    )


def differences(results: dict) -> str:
    return (
        "- This is small: few couplets, read hundreds of times. The same protocol for llada-poet and its twin, on the famous "
        "couplets, with the ranks of true lines among others, is a command below; its numbers are not here yet.\n"
        "- What is masked matters. Where questions are masked too, LLaDA finds "
        f"{results['masked']['held_out']['llada']['question previous']['mean']:.0%} of the lines before: what is asked has to be "
        "given, as in the fine-tuning of the paper, or the case that is asked for hardly ever comes in training.\n"
        "- The pairs of the paper were not asked of the official checkpoint here."
    )


def commands(results: dict) -> list[Command]:
    found, masked = results["measured"], results["masked"]
    return [
        Command(found["command"], "the first table", found["seconds"], device_of(found["machine"])),
        Command(masked["command"], "the second", masked["seconds"], device_of(masked["machine"])),
        Command(PROTOCOL, "llada-poet and its twin, on a GPU"),
        Command(OFFICIAL, "the official checkpoint, on the pairs of its repository"),
    ]


def rate_of(results: dict, name: str, task: str) -> float:
    return results["measured"]["held_out"][name][task]["mean"]


def cells(found: dict, name: str) -> list[str]:
    """Exact match by task, empty where a model cannot be asked."""
    tasks = found["held_out"][name]
    rates = (next((tasks[form] for form in forms if form in tasks), None) for forms in TASKS.values())
    return [f"{rate['mean']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}]" if rate else "" for rate in rates]


def draw(figure, results: dict, theme) -> None:
    """Lines found by questions, after and before the given one."""
    axes = panel(figure, (0.1, 0.12, 0.6, 0.7), "By questions", "", "lines found, of the half without questions")
    for index, (key, name) in enumerate(NAMES.items()):
        tasks = results["measured"]["held_out"][key]
        rates = [tasks[f"question {way}"] for way in ("next", "previous")]
        values = [[100 * rate[end] for rate in rates] for end in ("mean", "low", "high")]
        series(axes, theme, index, name, [place + 0.08 * (index - 0.5) for place in (0, 1)], *values, line=False)
    axes.set_xlim(-0.5, 1.5)
    axes.set_ylim(-3, 103)
    axes.set_xticks([0, 1], ["line after", "line before"])
    axes.set_yticks(TICKS, [f"{tick}%" for tick in TICKS])
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)


PLOTS = [
    Plot(
        "reversal",
        "Share of lines found by questions, after and before the given line: LLaDA finds both, its twin the lines after alone.",
        draw,
        (7.0, 3.6),
    )
]
