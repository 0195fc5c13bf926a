# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: the same run for LLaDA and for an autoregressive twin. Measured by recipes/poems/twin.py."""

from evidence.command import Command
from reporting.markdown import significant, table, with_interval
from reporting.plots import Plot, panel, series


TITLE = "The same run, left to right"
RESULTS = {"measured": "evidence/results/twin.json", "small": "evidence/results/twin_small.json"}
NAMES = {"llada": "LLaDA, bound", "twin": "twin, exact"}
TRAIN = "python examples/pretrain.py --config examples/configs/poet.yaml --corpus data/poems.safetensors.xz"
COMPARE = "python -m recipes.poems.twin --corpus data/poems.safetensors.xz"
SMALL = (
    "--max-steps 400 --tokens-per-step 6144 --set model.hidden_size=64 model.num_hidden_layers=2 model.num_attention_heads=2 "
    "model.num_key_value_heads=2 model.intermediate_size=176 training.learning_rate=5e-3 training.warmup_steps=40 "
    "training.eval_steps=200 training.eval_num_samples=1"
)
COMPARE_SMALL = "--tokens-per-step 6144 --limit 200 --json evidence/results/twin_small.json"
SPLITS = {"test": "held-out poems", "famous": "famous poems, which were trained on"}


def summary(results: dict) -> str:
    found = results["measured"]
    return (
        f"After the same {passes(found)} LLaDA is at {with_interval(found['held_out']['llada'], 2)} nats per token of held-out "
        f"poems and the twin at {with_interval(found['held_out']['twin'], 2)}: the twin learns faster, then it overfits; "
        "LLaDA does not."
    )


def paper(results: dict) -> str:
    return (
        "The paper compares LLaDA with autoregressive models that its authors trained on the same data. It does not say which of "
        "the two gains more from reading few data repeatedly."
    )


def measured(results: dict) -> str:
    found = results["measured"]
    rows = []
    for name, label in NAMES.items():
        curve, seconds = found["curves"][name], found["train_seconds"][name]
        best = min(curve, key=lambda row: row["test"])
        rows.append(
            [
                label,
                with_interval(found["held_out"][name], 3),
                f"{best['test']:.3f} (after {billions(best['step'], found)})",
                f"{curve[-1]['famous']:.3f}",
                f"{seconds / 60:.0f} min",
            ]
        )
    settings = found["settings"]
    return "\n\n".join(
        [
            "llada-poet and a Llama of the same shape, with as many parameters: the same rows in the same order, the same "
            "optimiser and schedule. Only the causal mask and the target differ. Nats per token on "
            f"{settings['windows']:,} windows of {settings['width']} tokens: for LLaDA the bound of eq. 6, so the comparison "
            "favors the twin.",
            table(
                ["", "held out, at the end", "held out, at its best", "famous, at the end", "training, one H100"], rows
            ),
            f"At the end the twin is {with_interval(found['difference'], 3)} nats above LLaDA's bound. It knows the famous poems "
            "better: it needs fewer readings to memorize a text, but continues to read it.",
            f"In small, on a CPU, nothing is read twice: after {small_tokens(results['small'])} LLaDA is at "
            f"{with_interval(results['small']['held_out']['llada'], 2)} and the twin at "
            f"{with_interval(results['small']['held_out']['twin'], 2)} on {results['small']['settings']['windows']} windows.",
        ]
    )


def differences(results: dict) -> str:
    found = results["measured"]
    best = min(found["curves"]["twin"], key=lambda row: row["test"])
    return (
        f"- A twin that is stopped after {billions(best['step'], found)} is nearly as good as LLaDA at the end, "
        f"{best['test']:.2f}, and that is before its learning rate falls. So the result does not show which kind of model is "
        "better. It shows which one can read the same poems more often.\n"
        "- There is one seed, and the hyperparameters were chosen for LLaDA. Dropout or a larger weight decay for the twin were not "
        "tried."
    )


def commands(results: dict) -> list[Command]:
    seconds, small = results["measured"]["train_seconds"], results["small"]["train_seconds"]
    return [
        Command(TRAIN, "LLaDA", seconds["llada"], "one H100"),
        Command(f"{TRAIN} --twin --output-dir runs/twin", "the twin", seconds["twin"], "one H100"),
        Command(f"{COMPARE} --twin runs/twin", "the comparison", *spent(results["measured"])),
        Command(f"{TRAIN} --output-dir runs/small {SMALL}", "LLaDA in small", small["llada"], "one CPU thread"),
        Command(
            f"{TRAIN} --twin --output-dir runs/small-twin {SMALL}",
            "the twin in small",
            small["twin"],
            "one CPU thread",
        ),
        Command(
            f"{COMPARE} --llada runs/small --twin runs/small-twin {COMPARE_SMALL}",
            "their comparison",
            *spent(results["small"]),
        ),
    ]


def spent(found: dict) -> tuple[float, str]:
    return found["seconds"], f"{found['device']}, shared with other work"


def billions(step: int, found: dict) -> str:
    return f"{significant(step * found['settings']['tokens_per_step'] / 1e9)} B tokens"


def small_tokens(found: dict) -> str:
    step = found["curves"]["llada"][-1]["step"]
    return f"{significant(step * found['settings']['tokens_per_step'] / 1e6)} M tokens"


def passes(found: dict) -> str:
    return billions(found["curves"]["llada"][-1]["step"], found)


def draw_curves(figure, results, theme) -> None:
    """Held-out and famous poems, each by tokens read."""
    found = results["measured"]
    for place, (split, label) in zip(
        ((0.07, 0.15, 0.40, 0.66), (0.57, 0.15, 0.40, 0.66)), SPLITS.items(), strict=True
    ):
        axes = panel(figure, place, label, "tokens read (billions)", "nats per token")
        for index, (name, text) in enumerate(NAMES.items()):
            curve = found["curves"][name]
            tokens = [row["step"] * found["settings"]["tokens_per_step"] / 1e9 for row in curve]
            values = [row[split] for row in curve]
            series(axes, theme, index, text, tokens, values, values, values)
        if split == "test":
            axes.legend(loc="upper right", fontsize=9)


PLOTS = [
    Plot(
        "twin",
        "Loss on held-out and on famous poems by tokens read: the twin's held-out loss falls at once and rises from then on, "
        "LLaDA's falls to the end; on famous poems the twin is far lower from the beginning.",
        draw_curves,
        (9.0, 3.8),
    ),
]
