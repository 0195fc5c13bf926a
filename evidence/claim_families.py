# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: what block diffusion costs and gains beside full attention. Measured by recipes/families."""

from evidence.command import Command, device_of
from reporting.markdown import joined, significant, table, with_interval
from reporting.plots import Plot, logarithmic, panel, series


TITLE = "Block diffusion beside full attention"
RESULTS = {"measured": "evidence/results/families.json"}
NAMES = {"dense": "dense LLaDA", "moe": "LLaDA-MoE", "blocks": "LLaDA2"}
TRAIN = "python -m recipes.families train --config recipes/families/families.yaml --max-minutes 9 --resume"
MEASURE = "python -m recipes.families measure --run runs/families"
TICKS = [factor * 10**power for power in range(6) for factor in (1, 2, 5)]


def summary(results: dict) -> str:
    found = results["measured"]
    dense, blocks = (found["models"][name] for name in ("dense", "blocks"))
    trained, full = (first(model["recall"])["previous"] for model in (blocks, dense))
    return (
        f"A LLaDA2 has a bound of {with_interval(blocks['nats'], 3)} nats per token of held-out poems, a dense LLaDA of the same "
        f"active size {with_interval(dense['nats'], 3)}. It recalls {percent(trained)} of the lines before a given one, the dense "
        f"LLaDA {percent(full)}. {gain(found)}"
    )


def gain(found: dict) -> str:
    """How fast the models write poems."""
    parts = []
    for size in sizes(found):
        dense, blocks = (
            quickest(found["models"][name], size)["tokens_per_second"][size] for name in ("dense", "blocks")
        )
        parts.append(f"{blocks / dense:.2g} times (batches of {size})")
    return (
        f"LLaDA2 writes poems {joined(parts)} as fast as the dense LLaDA, each in its fastest way that is about as exact as its "
        "best one."
    )


def quickest(model: dict, size: str) -> dict:
    """The fastest way of a model to write poems whose exact match is in the interval of its most exact way."""
    least = max(model["poems"], key=lambda one: one["exact"]["mean"])["exact"]["low"]
    exact = [one for one in model["poems"] if one["exact"]["mean"] >= least]
    return max(exact, key=lambda one: one["tokens_per_second"][size])


def paper(results: dict) -> str:
    return (
        "The paper has dense models, whose positions all see each other. LLaDA-MoE keeps that, and LLaDA2 predicts a block from "
        "the clean blocks before it. Their reports compare no such models of one size on one text."
    )


def measured(results: dict) -> str:
    found = results["measured"]
    recipe, models = found["recipe"], found["models"]
    measure, training = recipe["measure"], recipe["training"]
    some = first(models)
    return "\n\n".join(
        [
            f"A {joined([NAMES[name] for name in models])} read the same {significant(training['max_steps'] * training['tokens_per_step'] / 1e6)}"
            " M tokens of classical Chinese poems, in rows of the same order. A token meets as many weights in each. The mixtures "
            "of experts have the same layers, and LLaDA2 is trained by block diffusion, in blocks of "
            f"{measure['block_length']} tokens ([the recipe](../recipes/families/README.md)). Expected, written down before the run:",
            "\n".join(f"- {line}." for line in recipe["expected"]),
            f"**Bound and recall.** Nats per token of {measure['windows']} held-out windows of {measure['width']} tokens, by eq. 6; "
            f"of LLaDA2 block by block. One line of {some_recall(some)['pairs']} famous couplets, which all models have read, is filled in "
            "beside the other, by one token a pass: each line with its mark is as long as a block. Lines that are right, in percent. "
            "The time of a training step is the median over the log, since compiling is in the first ones.",
            table(
                [
                    "",
                    "active",
                    "in all",
                    "ms a training step",
                    "nats per token",
                    "above dense",
                    "blocks",
                    "second line",
                    "first line",
                ],
                [row for name in models for row in model_rows(found, name)],
            ),
            f"**Poems.** The rest of {some['poems'][0]['number']} famous poems from their header and first line, in blocks of "
            f"{measure['block_length']}: poems that are right to the end, in percent, and forward passes of a poem in brackets. "
            f"A poem has {some['poems'][0]['tokens']:.0f} tokens on average, and a canvas {measure['prompt_tokens'] + measure['new_tokens']}.",
            poem_table(found, lambda one: f"{with_interval(one['exact'], 1, 100)} ({one['passes']:.1f})"),
            f"Tokens of the true poems per second, in batches of {joined(sizes(found))}:",
            poem_table(
                found, lambda one: " / ".join(f"{one['tokens_per_second'][size]:,.0f}" for size in sizes(found))
            ),
            gain(found),
        ]
    )


def model_rows(found: dict, name: str) -> list[list[str]]:
    """A row for each way of recall. What does not depend on it is only in the first one."""
    model = found["models"][name]
    above = found["from_first"].get(name)
    size = [f"{model[key] / 1e6:.1f} M" for key in ("active", "parameters")]
    bound = [with_interval(model["nats"], 3), with_interval(above, 3) if above else ""]
    head = [NAMES[name], *size, f"{model['step_ms']:,.3g}", *bound]
    rows = []
    for way, directions in model["recall"].items():
        rows.append(
            [*head, way or "one", *(with_interval(directions[key]["exact"], 1, 100) for key in ("next", "previous"))]
        )
        head = [""] * len(head)
    return rows


def poem_table(found: dict, cell) -> str:
    """A row for each way of decoding, a column for each model and cache."""
    columns = {label: {one["decoding"]: one for one in poems} for label, poems in curves(found).items()}
    ways = list(first(columns))
    return table(["", *columns], [[way, *(cell(column[way]) for column in columns.values())] for way in ways])


def curves(found: dict) -> dict[str, list[dict]]:
    """What was measured of poems, by model and cache."""
    result: dict[str, list[dict]] = {}
    for name, model in found["models"].items():
        for one in model["poems"]:
            result.setdefault(f"{NAMES[name]}, {one['cache']}", []).append(one)
    return result


def differences(results: dict) -> str:
    found = results["measured"]
    models, block_length = found["models"], found["recipe"]["measure"]["block_length"]
    lines = [
        "- One seed and one learning rate for all, tuned for none. The intervals leave the noise of the training out.",
        "- Equal are the rows, not the cost: block diffusion computes each row twice in a pass of training, noisy and clean.",
        "- LLaDA2 differs from the LLaDA-MoE in its router and in how its load is balanced, too.",
        "- The bound of LLaDA2 is that of a model that reads block after block, so bounds compare orders of reading, too.",
        "- Couplets and poems are of the training text, since small models have no other questions with one right answer. "
        "Questions in words, after a fine-tuning, were not asked.",
        f"- Blocks of {block_length} tokens in texts of some lines stand for the longer blocks of LLaDA2 in longer texts. Other "
        "lengths were not trained.",
        "- Rows are short and the models small. Speeds of large models and on long texts were not measured here.",
    ]
    missing = [NAMES[name] for name in NAMES if name not in models]
    return "\n".join([*lines, *(f"- {name} was not measured." for name in missing)])


def commands(results: dict) -> list[Command]:
    models = results["measured"]["models"]
    device = device_of(first(models)["machine"])
    training, measuring = (
        sum(model[key] for model in models.values()) for key in ("training_seconds", "measuring_seconds")
    )
    return [
        Command(TRAIN, "the steps of the training, in pieces of some minutes", training, device),
        Command(MEASURE, "all that is measured", measuring, device),
    ]


def sizes(found: dict) -> list[str]:
    """The sizes of the batches."""
    return list(found["recipe"]["measure"]["timed"])


def some_recall(model: dict) -> dict:
    return first(model["recall"])["next"]


def first(values: dict):
    return next(iter(values.values()))


def percent(direction: dict) -> str:
    return f"{with_interval(direction['exact'], 1, 100)}%"


def draw_poems(figure, results, theme) -> None:
    """Exact match against passes on the left, against tokens per second in each size of batches on its right."""
    found = results["measured"]
    panels = [("", "forward passes of a poem", lambda one: one["passes"])]
    for size in sizes(found):
        panels.append(
            (f"batches of {size}", "tokens per second", lambda one, size=size: one["tokens_per_second"][size])
        )
    width = 1 / len(panels)
    for number, (title, label, x_of) in enumerate(panels):
        axes = panel(figure, (number * width + 0.05, 0.32, width - 0.075, 0.48), title, label, "exact match (%)")
        for index, (name, poems) in enumerate(curves(found).items()):
            poems = sorted(poems, key=x_of)
            values = [[100 * one["exact"][end] for one in poems] for end in ("mean", "low", "high")]
            series(axes, theme, index, name, list(map(x_of, poems)), *values)
        every = [x_of(one) for poems in curves(found).values() for one in poems]
        logarithmic(axes, "x", [tick for tick in TICKS if min(every) / 2 <= tick <= max(every) * 2])
        axes.set_ylim(bottom=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=3, fontsize=9)


PLOTS = [
    Plot(
        "families",
        "Exact match of poems against forward passes, and against tokens per second in small and large batches, for a dense LLaDA "
        "and a LLaDA-MoE with and without a cache, and for a LLaDA2 that reuses finished blocks.",
        draw_poems,
        (11.0, 4.2),
    ),
]
