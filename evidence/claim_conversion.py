# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: the weights of an autoregressive model are a good start. Measured by recipes/smollm2."""

import math

from evidence.command import Command, device_of
from reporting.markdown import significant, table, with_interval
from reporting.plots import Plot, logarithmic, panel, series


TITLE = "An autoregressive checkpoint is a good start"
RESULTS = {"measured": "evidence/results/smollm2.json"}
NAMES = {
    "converted": "converted",
    "annealed": "converted, causal mask annealed",
    "random": "random weights",
    "autoregressive": "original, trained on",
}
RUN = "python -m recipes.smollm2 train --config recipes/smollm2/smollm2.yaml --max-minutes 9 --resume"


def summary(results: dict) -> str:
    found = results["measured"]
    converted, random = (last(found, name)["nats"] for name in ("converted", "random"))
    return (
        f"After {tokens(last(found, 'converted'))} tokens a converted SmolLM2 has a bound of {with_interval(converted, 2)} nats "
        f"per token of held-out English, the same network from random weights {with_interval(random, 2)}. {saving(found)}"
    )


def saving(found: dict) -> str:
    """How many tokens the conversion saves."""
    end = last(found, "random")
    needed = crossing(points(found, "converted"), end["nats"]["mean"])
    if needed is None:
        return "The converted network does not reach that."
    if needed == 0:
        return "The converted network is better than that before any training."
    return (
        f"The converted network is at the last value of the other one after {significant(needed / 1e6)} M tokens, so the "
        f"conversion saves {1 - needed / end['tokens']:.0%} of them."
    )


def crossing(curve: list[dict], level: float) -> float | None:
    """The tokens after which a curve is at a level, on a line in the logarithm of the tokens; `None` if it never is."""
    if curve[0]["nats"]["mean"] <= level:
        return 0.0
    for before, after in zip(curve, curve[1:], strict=False):
        first, second = before["nats"]["mean"], after["nats"]["mean"]
        if second <= level:
            if before["tokens"] == 0:
                return after["tokens"] * (first - level) / (first - second)
            part = (first - level) / (first - second)
            return math.exp((1 - part) * math.log(before["tokens"]) + part * math.log(after["tokens"]))
    return None


def paper(results: dict) -> str:
    return (
        "The paper trains LLaDA from random weights. Others began with autoregressive weights (DiffuLLaMA, Dream); DiffuLLaMA "
        "anneals the causal mask over the first steps."
    )


def measured(results: dict) -> str:
    found = results["measured"]
    original, measure = found["original"], found["recipe"]["measure"]
    corpus = original["corpus"]
    rows = [
        [
            NAMES[name],
            *(f"{points(found, name)[index]['nats']['mean']:.2f}" for index in (0, 1)),
            with_interval(last(found, name)["nats"], 3),
        ]
        for name in NAMES
        if name in found["models"]
    ]
    first = tokens(points(found, "converted")[1])
    megabytes = sum(corpus["characters"].values()) / 1e6
    return "\n\n".join(
        [
            "SmolLM2-135M-Instruct (of a file of four bits, as float32) is trained on with the diffusion loss, without a causal "
            "mask and without a shift of the targets; the same network starts from random weights, with a learning rate of its "
            f"own. They read {megabytes:.0f} MB of English prose, dictionaries and documentation "
            f"([where it is from](../recipes/smollm2/README.md)) for {tokens(last(found, 'converted'))} tokens, "
            f"{last(found, 'converted')['tokens'] / corpus['tokens']['train']:.1f} epochs. Nats per token of "
            f"{original['held_out_windows']} held-out windows of {found['recipe']['width']} tokens: for mask predictors the bound "
            "of eq. 6, for autoregressive models the exact value. The original before any of this training has "
            f"{with_interval(original['nats'], 3)}.",
            table(["", "before", f"after {first} tokens", "at the end"], rows),
            saving(found) + " " + annealing(found),
            f"**Text of its own**: {measure['prompts']} held-out beginnings of {measure['prompt_tokens']} tokens are completed by "
            f"{measure['new_tokens']}. Nats per token of a completion under the original say how likely it finds it; a text "
            "that repeats itself is likely too, so the entropy of the frequencies of the tokens in a completion stands beside "
            "it. Random order at temperature 1 with one token a pass draws from the model itself.",
            table(["", "decoding", "nats under the original", "entropy, nats"], quality_rows(found)),
        ]
    )


def annealing(found: dict) -> str:
    """What the annealing changes at the end."""
    if "annealed" not in found["models"]:
        return ""
    change = with_interval(found["from_converted"]["annealed"], 3)
    return f"Annealing the causal mask changes the bound at the end by {change} nats, on the same windows and noise."


def quality_rows(found: dict) -> list[list[str]]:
    original = found["original"]
    rows = [["held-out text", "", *quality(original["held_out_text"])]]
    rows += [["original", name, *quality(sample)] for name, sample in original["samples"].items()]
    for model in NAMES:
        if model in found["models"]:
            rows += [[NAMES[model], name, *quality(sample)] for name, sample in last(found, model)["samples"].items()]
    return rows


def quality(sample: dict) -> list[str]:
    return [with_interval(sample["nats"], 2), with_interval(sample["entropy"], 2)]


def differences(results: dict) -> str:
    recipe = results["measured"]["recipe"]
    canvas = recipe["measure"]["prompt_tokens"] + recipe["measure"]["new_tokens"]
    return "\n".join(
        [
            "- One seed, and learning rates by rules, not tuned. The intervals are over the windows, and leave the noise of the "
            "training out.",
            "- The last value of the random weights comes after the decay of their learning rate, those of the converted network "
            "on the way before it, so what the conversion saves is rather more.",
            f"- Mask predictors complete texts of {canvas} tokens, and were trained on rows of {recipe['width']}.",
            "- The bound is above the negative log-likelihood, so the lines of the autoregressive models are favored.",
            "- Text is held out from this training. The pre-training of the original may well have seen some of it.",
            "- The original judges text that a model with its weights wrote, and prefers its own. Weights of four bits are no "
            "basis for figures of the published model.",
            "- How much a long training gains was not measured.",
        ]
    )


def commands(results: dict) -> list[Command]:
    found = results["measured"]
    seconds = sum(model["seconds"] for model in found["models"].values())
    return [Command(RUN, "all models, in pieces of some minutes", seconds, device_of(found["original"]["machine"]))]


def points(found: dict, name: str) -> list[dict]:
    return found["models"][name]["points"]


def last(found: dict, name: str) -> dict:
    return points(found, name)[-1]


def tokens(point: dict) -> str:
    return f"{significant(point['tokens'] / 1e6)} M"


def draw_curves(figure, results, theme) -> None:
    """The held-out text on the left, the model's own text on the right, both by tokens."""
    found = results["measured"]
    places = ((0.07, 0.30, 0.41, 0.52), (0.57, 0.30, 0.41, 0.52))
    left = panel(figure, places[0], "Held-out text", "tokens (millions)", "nats per token")
    right = panel(figure, places[1], "Text of its own", "tokens (millions)", "nats per token under the original")
    for index, name in enumerate(name for name in NAMES if name in found["models"]):
        curve = [point for point in points(found, name) if point["tokens"]]
        read = [point["tokens"] / 1e6 for point in curve]
        values = [[point["nats"][end] for point in curve] for end in ("mean", "low", "high")]
        series(left, theme, index, NAMES[name], read, *values)
        samples = [next(iter(point["samples"].values()))["nats"] for point in curve]
        series(
            right, theme, index, NAMES[name], read, *([one[end] for one in samples] for end in ("mean", "low", "high"))
        )
    ticks = [point["tokens"] / 1e6 for point in points(found, "converted") if point["tokens"]]
    label = "original (left), held-out text (right)"
    for axes, value in ((left, found["original"]["nats"]), (right, found["original"]["held_out_text"]["nats"])):
        axes.axhline(value["mean"], color=theme.ink, linestyle="--", linewidth=1.0, label=label)
        logarithmic(axes, "x", ticks, significant)
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=3, fontsize=9)


PLOTS = [
    Plot(
        "conversion",
        "Held-out nats per token, and nats per token of the models' own completions under the autoregressive original, against "
        "tokens of training: converted, converted with an annealed causal mask, random weights, and the original trained on.",
        draw_curves,
        (9.0, 4.2),
    ),
]
