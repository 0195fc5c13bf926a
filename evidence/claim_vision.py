# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: what the pictures, the tiles and the stages of LLaDA-V buy. Measured by recipes/vision."""

from evidence.command import Command, device_of
from recipes.vision.scores import label, percent, results_table, seconds_section, studies_table, tasks_of, verdict
from reporting.markdown import joined, table
from reporting.plots import MARKERS, Plot, panel


TITLE = "What pictures, tiles and stages buy"
RESULTS = {"measured": "evidence/results/vision.json"}
RECIPE = "python -m recipes.vision"
TRAIN = f"{RECIPE} train --config recipes/vision/vision.yaml"
# What a study of this kind should have, by what its run lacks.
WANTED = ("one tile", "grey pictures", "without stage 1", "without stage 2", "without stage 3")


def summary(results: dict) -> str:
    found = results["measured"]
    model, losses = found["model"], losses_of(found["studies"])
    scores = model["scores"]
    right = joined([f"{task} {percent(scores[task])}" for task in ("naming", "reading", "two-step /think")])
    text = (
        f"A LLaDA-V of {millions(model)} million parameters, trained in {minutes(model)} minutes, is right in held-out questions: "
        f"{right}."
    )
    if not losses:
        return text
    bought = [f"{name} {points(mean(loss))}" for name, loss in losses.items()]
    return f"{text} Points that short runs lose in the mean of all tasks: {joined(bought)}."


def paper(results: dict) -> str:
    return (
        "LLaDA-V ([paper](https://huggingface.co/papers/2505.16933)) is trained in three stages: the projector on captions, all "
        "parts on instructions, all parts on reasoning. Its figures for leaving something out were not at hand."
    )


def measured(results: dict) -> str:
    found = results["measured"]
    model, studies = found["model"], found["studies"]
    parts = [
        f"A vision tower, a projector and a language part, {millions(model)} million parameters from random weights, learned questions "
        f"about drawn pictures in {minutes(model)} minutes on one {device_of(model['machine'])} "
        "([the recipe](../recipes/vision/README.md)). The styles of the emoji to name, the layouts, the wordings and the words on signs were "
        f"held out. {model['rows']:,} questions of each task, one token in each pass; bold where a score reaches what was required:",
        results_table(model["scores"]),
        verdict(model["scores"]),
        seconds_section(found["timings"]),
    ]
    if studies:
        parts += [
            "**Short runs.** All start from one tower, which was trained as that of the model above. Each lacks one thing, and answers "
            f"{joined(sorted({one['rows'] for one in studies.values()}))} questions of each task. Bold scores have an interval below "
            "that of the run that lacks nothing.",
            studies_table(studies),
            "Points that are lost, in the mean of all tasks, and where most of them are lost:",
            losses_table(losses_of(studies)),
        ]
    return "\n\n".join(parts)


def losses_table(losses: dict[str, dict[str, float]]) -> str:
    rows = []
    for name, loss in losses.items():
        worst = [task for task in sorted(loss, key=loss.get, reverse=True)[:3] if loss[task] >= 1]
        shown = joined([f"{task} ({points(loss[task])})" for task in worst]) or "none loses a point"
        rows.append([name, points(mean(loss)), shown])
    return table(["", "points lost", "most"], rows)


def losses_of(studies: dict[str, dict]) -> dict[str, dict[str, float]]:
    """By how many points each short run is below the first one, by task."""
    if not studies:
        return {}
    first, *others = studies.items()
    scores = first[1]["scores"]
    return {
        label(name, one): {
            task: 100 * (scores[task]["right"] - one["scores"][task]["right"]) for task in tasks_of(scores)
        }
        for name, one in others
    }


def differences(results: dict) -> str:
    found = results["measured"]
    had = {label(name, one) for name, one in found["studies"].items()}
    lines = [
        "- The projector learns with the tower here, before the stages. So the first one trains the language part, not the projector.",
        "- One seed. The intervals leave the noise of the training out.",
        "- The short runs are far from the end of learning: what a stage buys there need not be what it buys in the long run.",
        "- A run without a stage is shorter by the minutes of that stage.",
        "- A step on one tile costs less, so that a run of as many minutes has more steps. This hides what tiles buy.",
        "- The tower of all short runs was trained in colour. Grey are the pictures of the three stages and of the questions.",
        "- All pictures are drawings of a few kinds. Photographs, and models of other sizes, were not measured.",
    ]
    return "\n".join([*lines, *(f"- No short run was measured: {name}." for name in WANTED if name not in had)])


def commands(results: dict) -> list[Command]:
    found = results["measured"]
    model, studies = found["model"], found["studies"]
    device = device_of(model["machine"])
    result = [
        Command(TRAIN, "the model", sum(model["seconds"].values()), device),
        Command(
            f"{RECIPE} evaluate --model runs/vision/final --json runs/vision/results.json",
            "its scores",
            model["evaluation_seconds"],
            device,
        ),
    ]
    for timing in found["timings"]:
        command = f"{RECIPE} time --model runs/vision/final --json runs/vision/seconds.json"
        result.append(Command(command, "seconds of an answer", timing["seconds"], device_of(timing["machine"])))
    for name, one in studies.items():
        seconds, what = sum(one["seconds"].values()), f"short run, {label(name, one)}"
        result.append(
            Command(f"{TRAIN} --output-dir runs/{name} {options(one)}", what, seconds, device_of(one["machine"]))
        )
    return result


def options(run: dict) -> str:
    """The options with which `train` makes a short run."""
    parts = [
        f"--base runs/vision --minutes {','.join(f'{stage}={value:g}' for stage, value in run['minutes'].items())}"
    ]
    parts += [f"--skip-stage {stage}" for stage in run["skipped"]]
    parts += ["--blind"] if run["blind"] else []
    parts += ["--one-tile"] if run["one_tile"] else []
    values = [f'"{key}={value}"'.replace("'", "") for key, value in run["changes"].items()]
    return " ".join([*parts, *(["--set", *values] if values else [])])


def millions(model: dict) -> str:
    return f"{model['parameters'] / 1e6:.1f}"


def minutes(model: dict) -> str:
    return f"{sum(model['seconds'].values()) / 60:.0f}"


def mean(loss: dict[str, float]) -> float:
    return sum(loss.values()) / len(loss)


def points(value: float) -> str:
    return f"{value:.1f}"


def draw_runs(figure, results, theme) -> None:
    """A row for each task: on the left the model, and the short runs on pictures and tiles; on the right the rest."""
    found = results["measured"]
    named = {"the model": found["model"]} | {label(name, one): one for name, one in found["studies"].items()}
    first = dict(list(named.items())[:2])
    seen = {name: one for name, one in named.items() if one["blind"] or one["one_tile"]}
    rest = {name: one for name, one in named.items() if name not in first and name not in seen}
    tasks = tasks_of(found["model"]["scores"])
    for number, (title, runs) in enumerate((("pictures and tiles", first | seen), ("stages", first | rest))):
        axes = panel(figure, (0.13 + number * 0.45, 0.2, 0.4, 0.74), "", "right (%)", title)
        for index, (name, one) in enumerate(runs.items()):
            draw_run(axes, theme, index, name, [one["scores"][task] for task in tasks], len(runs))
        axes.set_xlim(0, 100)
        axes.set_yticks(range(len(tasks)), tasks if number == 0 else [""] * len(tasks))
        axes.invert_yaxis()
        axes.xaxis.set_label_coords(0.5, -0.07)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, fontsize=9)


def draw_run(axes, theme, index: int, name: str, scores: list[dict], number: int) -> None:
    """The scores of a run with their intervals, a little below those of the run before it."""
    right = [100 * score["right"] for score in scores]
    places = [place + 0.7 * ((index + 0.5) / number - 0.5) for place in range(len(scores))]
    ends = [
        [abs(100 * score["interval"][end] - value) for score, value in zip(scores, right, strict=True)]
        for end in (0, 1)
    ]
    colour = theme.series[index % len(theme.series)]
    axes.errorbar(
        right,
        places,
        xerr=ends,
        label=name,
        color=colour,
        marker=MARKERS[index % len(MARKERS)],
        markersize=4.5,
        linestyle="none",
        elinewidth=1.0,
        capsize=0.0,
    )


PLOTS = [
    Plot(
        "vision",
        "Right answers by task with their intervals, of the model and of short runs: on the left with all pictures and tiles, with one "
        "tile and with grey pictures, on the right without one of the stages.",
        draw_runs,
        (11.0, 6.4),
    ),
]
