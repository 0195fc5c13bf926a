# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: whether it matters how policy gradients score an answer. Measured by recipes/reasoning."""

from evidence.command import Command, device_of
from reporting.markdown import joined, significant, table, with_interval
from reporting.plots import Plot, panel


TITLE = "Rewards by four likelihoods"
RESULTS = {"measured": "evidence/results/reasoning.json"}
TASKS = {"evaluate": "arithmetic", "countdown": "Countdown"}
NAMES = {"elbo": "evidence bound", "one_step": "one step", "coupled": "coupled masks", "trace": "replayed order"}
PUBLISHED = {"elbo": "ESPO", "one_step": "diffu-GRPO", "coupled": "coupled-GRPO", "trace": "TraceRL"}
TRAIN = "python -m recipes.reasoning train --config recipes/reasoning/reasoning.yaml --max-minutes 9 --resume"
REWARD = "python -m recipes.reasoning reward --run runs/reasoning --processes 8 --max-minutes 9"
MEASURE = "python -m recipes.reasoning measure --run runs/reasoning"


def summary(results: dict) -> str:
    found = results["measured"]
    parts = []
    for task, by_likelihood in found["tasks"].items():
        way = rewarded(found)
        means = {name: one["ways"][way]["right"]["mean"] for name, one in by_likelihood.items()}
        best, worst = max(means, key=means.get), min(means, key=means.get)
        parts.append(
            f"{TASKS[task]}: from {percent(before(found, task, way))} of the answers to {percent(by_likelihood[best]['ways'][way])} with the "
            f"{NAMES[best]}, {percent(by_likelihood[worst]['ways'][way])} with the {NAMES[worst]}"
        )
    return f"GRPO by {len(NAMES)} estimates of the likelihood, with the same answers and passes. {'; '.join(parts)}."


def paper(results: dict) -> str:
    return (
        "The paper trains by no rewards. Later ones estimate the likelihood of an answer in four ways: "
        f"{joined([f'{NAMES[name]} ({PUBLISHED[name]})' for name in NAMES])}. In a common re-implementation (DARE) they are alike on "
        "mathematics, and far apart on planning."
    )


def measured(results: dict) -> str:
    found = results["measured"]
    recipe, base = found["recipe"], found["base"]
    reward = recipe["reward"]
    return "\n\n".join(
        [
            f"A model of {significant(base['parameters'] / 1e6)} M parameters learned to solve two kinds of problems with the working "
            f"written out, in a canvas of {recipe['canvas']} tokens: arithmetic with {recipe['tasks']['evaluate']['numbers']} numbers, an "
            f"operation a line, and Countdown with {recipe['tasks']['countdown']['numbers']} numbers, each used once ([the "
            "recipe](../recipes/reasoning/README.md)). Then it was trained on rewards for right last lines: "
            f"{reward['max_steps']} steps of {reward['per_device_train_batch_size']} answers, {reward['num_noise_samples']} forward passes in a "
            "score, and the same learning rate for all. Held-out problems have other numbers. Expected, written down before the run:",
            "\n".join(f"- {line}." for line in recipe["expected"]),
            "Right answers in percent, the mean over the seeds with its interval by the t distribution; of the first model, the "
            "interval of the problems. Without spread are groups of answers that all got the same reward, in the second half of the "
            "steps, in percent.",
            *(task_table(found, task) for task in found["tasks"]),
        ]
    )


def task_table(found: dict, task: str) -> str:
    ways = list(found["recipe"]["measure"]["decoding"])
    first = [with_interval(before(found, task, way)["right"], 1, 100) for way in ways]
    rows = [["first model", *first, "", "", ""]]
    for name, one in found["tasks"][task].items():
        cells = [with_interval(one["ways"][way]["right"], 1, 100) for way in ways]
        seconds = one["training_seconds"] / len(one["seeds"])
        rows.append([NAMES[name], *cells, str(len(one["seeds"])), f"{100 * one['no_spread']:.0f}", f"{seconds:.0f}"])
    return table([TASKS[task], *ways, "seeds", "without spread", "seconds a run"], rows)


def differences(results: dict) -> str:
    found = results["measured"]
    lines = [
        "- One size of a small model, one learning rate and one number of steps for all likelihoods, tuned for none.",
        "- The published runs train large models with an adapter. Their figures do not bear on these tasks.",
        "- The estimates are those of this repository: antithetic masks in the bound, and coupled masks without DiffuCoder's weights.",
        "- Several runs share a device, so the seconds of a run compare the likelihoods, and are no speed of the device.",
    ]
    missing = [
        f"{NAMES[name]} on {TASKS[task]}"
        for task in TASKS
        for name in NAMES
        if name not in found["tasks"].get(task, {})
    ]
    return "\n".join([*lines, *(f"- The {one} was not measured." for one in missing)])


def commands(results: dict) -> list[Command]:
    found = results["measured"]
    device = device_of(found["base"]["machine"])
    policies = [one for by_likelihood in found["tasks"].values() for one in by_likelihood.values()]
    training, measuring = (sum(one[key] for one in policies) for key in ("training_seconds", "measuring_seconds"))
    return [
        Command(TRAIN, "the first model", found["base"]["training_seconds"], device),
        Command(REWARD, "the runs on rewards, several at a time; their seconds are added up", training, device),
        Command(MEASURE, "all that is measured", measuring + found["base"]["seconds"], device),
    ]


def before(found: dict, task: str, way: str) -> dict:
    """What was measured of the first model."""
    return found["base"]["tasks"][task][way]


def rewarded(found: dict) -> str:
    """The way of decoding that answers were written in for rewards, which is the first one."""
    return next(iter(found["recipe"]["measure"]["decoding"]))


def percent(way: dict) -> str:
    return f"{with_interval(way['right'], 1, 100)}%"


def draw_rewards(figure, results, theme) -> None:
    """The mean reward of the answers in training against the steps, a panel for each task."""
    found = results["measured"]["tasks"]
    width = 1 / len(found)
    for number, (task, by_likelihood) in enumerate(found.items()):
        axes = panel(
            figure,
            (number * width + 0.07, 0.3, width - 0.1, 0.5),
            TASKS[task],
            "step",
            "right answers while training (%)",
        )
        for name, one in by_likelihood.items():
            index = list(NAMES).index(name)
            steps, values = zip(*one["curve"], strict=True)
            axes.plot(steps, [100 * value for value in values], color=theme.series[index], label=NAMES[name])
        axes.set_ylim(bottom=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=9)


PLOTS = [
    Plot(
        "reasoning",
        "The share of right answers while a small model is trained on rewards, for four estimates of the likelihood of an answer, in "
        "arithmetic and in Countdown.",
        draw_rewards,
        (9.0, 4.0),
    ),
]
