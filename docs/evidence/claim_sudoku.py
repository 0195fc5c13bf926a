# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Any order solves Sudoku. Measured by examples/sudoku.py."""

from markdown import Command, joined, table
from plots import Plot, logarithmic, panel, series


TITLE = "Any order solves Sudoku"
RESULTS = {
    "models": "docs/evidence/results/sudoku_cpu.json",
    "measured": "docs/evidence/results/sudoku_steps_cpu.json",
}
NAMES = {"llada": "LLaDA", "twin": "twin", "llada-answer": "LLaDA, answer behind the puzzle"}
RANKINGS = ("low_confidence", "margin", "entropy", "random")
FIXED = ("one token a step", "2 tokens a step", "4 tokens a step", "8 tokens a step", "one step")
ORDERS = {
    "whole board": ("low_confidence, one token a step", "confidence_threshold 0.9", "low_confidence, one step"),
    "band by band": ("{}, one token a step", "{}, confidence_threshold 0.9", "{}, one step each"),
    "row by row": ("{}, one token a step", "{}, confidence_threshold 0.9", "{}, one step each"),
    "left to right": ("{}, one token a step", "", ""),
}
RULES = ("confidence_threshold", "confidence_factor", "entropy_bound")


def summary(results: dict) -> str:
    models = results["models"]["models"]
    pairs = [
        f"{percent(models['llada']['sizes'][size]['one token a step'])} of {size} against "
        f"{percent(models['twin']['sizes'][size]['left to right'])}"
        for size in sizes_of(models)
    ]
    return f"LLaDA, which fills the surest cell first, against its twin, from left to right, on new puzzles: {joined(pairs)}."


def paper(results: dict) -> str:
    return (
        "No Sudoku in the paper. Its remasking strategies let any position be decided first, and a puzzle is "
        "where the order matters and where an answer can be checked without doubt."
    )


def measured(results: dict) -> str:
    models, steps = results["models"]["models"], results["measured"]["results"]
    llada = models["llada"]
    parts = [
        f"One model of {llada['parameters'] / 1e6:.2f} million parameters solves {joined(sizes_of(models))}: the puzzle with "
        "`[MASK]` in its empty cells is the canvas. The twin is a Llama of the same shape that writes the solution behind the "
        "puzzle, trained for as many steps of as many tokens. No symmetric image of a held-out solution was trained on. "
        f"Solved in percent, of {counts(models)} held-out puzzles; forward passes of a puzzle in brackets.",
        solved_table(models),
    ]
    for size in steps:
        parts += [f"**{size}, what is committed first**, and how many at a step.", ranking_table(steps[size])]
        parts += [
            f"**{size}, order of the cells.** A block is finished before the next is begun.",
            order_table(steps[size]),
        ]
        parts += [f"**{size}, parallel rules.**", rule_table(steps[size])]
    return "\n\n".join(parts)


def differences(results: dict) -> str:
    size, found = last(results["measured"]["results"])
    ranked = sorted(RANKINGS, key=lambda name: -found[f"{name}, one token a step"]["solved"])
    cells = [f"`{name}` {percent(found[f'{name}, one token a step'])}" for name in ranked]
    return "\n".join(
        [
            "- The twin reads the puzzle before it writes, but has to decide the first cell first. That is the format, not a "
            "limit of autoregression: a twin that may write its steps of thought was not trained.",
            f"- Rankings of one token a step on {size}: {joined(cells)}.",
            f"- Boards larger than {size}, and harder puzzles than those of the default settings of reasoning-gym, were not "
            "measured.",
        ]
    )


def commands(results: dict) -> list[Command]:
    models = results["models"]["models"]
    train = "python examples/sudoku.py train --config examples/configs/sudoku_cpu.yaml --device cpu"
    seconds = sum(
        result["seconds"] for by_name in results["measured"]["results"].values() for result in by_name.values()
    )
    device = next(iter(last(results["measured"]["results"])[1].values()))["device"]
    flags = {"llada": "", "twin": " --twin", "llada-answer": " --form answer"}
    return [
        Command("python examples/sudoku.py prepare --sizes 4 --output data/sudoku4.npz", "the puzzles"),
        *(
            Command(train + flag, NAMES[name], *trained(models[name]))
            for name, flag in flags.items()
            if name in models
        ),
        Command(
            "python examples/sudoku.py evaluate --run runs/sudoku4 --json runs/sudoku4/results.json", "the first table"
        ),
        Command(
            "python examples/sudoku.py sweep --model runs/sudoku4/llada/final --puzzles data/sudoku4.npz --size 4 "
            "--json runs/sudoku4/steps.json",
            "all ways of decoding",
            seconds,
            device,
        ),
        Command(
            "python examples/sudoku.py train --config examples/configs/sudoku.yaml", "larger boards too, on a GPU"
        ),
    ]


def trained(model: dict) -> tuple[float, str]:
    """What training took; on a CPU the time of its own, whatever else ran beside it."""
    calls = model["calls"]
    on_cpu = calls[0]["threads"] is not None
    seconds = sum(call["cpu_seconds" if on_cpu else "seconds"] for call in calls)
    return seconds, f"{calls[0]['device']}{', processor time' if on_cpu else ''}"


def sizes_of(models: dict) -> list[str]:
    return sorted(models["llada"]["sizes"])


def counts(models: dict) -> str:
    numbers = {way["puzzles"] for ways in models["llada"]["sizes"].values() for way in ways.values()}
    return joined([f"{number:,}" for number in sorted(numbers)])


def last(by_size: dict) -> tuple[str, dict]:
    """The largest size, and what was found there."""
    size = max(by_size)
    return size, by_size[size]


def percent(result: dict) -> str:
    return f"{100 * result['solved']:.1f}%"


def cell(found: dict, name: str) -> str:
    if name not in found:
        return ""
    result = found[name]
    low, high = result["interval"]
    return f"{100 * result['solved']:.1f} [{100 * low:.1f}, {100 * high:.1f}] ({result['forward_passes']:.1f})"


def solved_table(models: dict) -> str:
    sizes, rows = sizes_of(models), []
    for name, model in models.items():
        for way in model["sizes"][sizes[0]]:
            rows.append([f"{NAMES[name]}, {way}", *(cell(model["sizes"][size], way) for size in sizes)])
    return table(["", *sizes], rows)


def ranking_table(found: dict) -> str:
    rows = [[f"`{ranking}`", *(cell(found, f"{ranking}, {steps}") for steps in FIXED)] for ranking in RANKINGS]
    return table(["", *FIXED], rows)


def order_table(found: dict) -> str:
    rows = [[order, *(cell(found, name.format(order)) for name in names)] for order, names in ORDERS.items()]
    return table(["", "one token a step", "threshold of confidence", "all of a block at once"], rows)


def rule_table(found: dict) -> str:
    rows = [[f"`{name.replace(' ', '=')}`", cell(found, name)] for name in found if name.split()[0] in RULES]
    return table(["", "solved"], rows)


def draw_sudoku(figure, results, theme) -> None:
    """Solved puzzles against forward passes on the largest size, a series for each kind of decoder."""
    size, found = last(results["measured"]["results"])
    families = {
        ranking: [f"{ranking}, {steps}" for steps in FIXED] for ranking in ("low_confidence", "margin", "random")
    }
    families |= {rule: [name for name in found if name.split()[0] == rule] for rule in RULES}
    axes = panel(figure, (0.08, 0.15, 0.6, 0.68), size, "forward passes for an empty cell", "solved (%)")
    for index, (family, names) in enumerate(families.items()):
        passes = [found[name]["forward_passes"] / found[name]["empty_cells"] for name in names]
        order = sorted(range(len(names)), key=passes.__getitem__)
        solved = [100 * found[names[i]]["solved"] for i in order]
        low, high = ([100 * found[names[i]]["interval"][end] for i in order] for end in (0, 1))
        series(axes, theme, index, family, [passes[i] for i in order], solved, low, high)
    logarithmic(axes, "x", [0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    axes.set_ylim(0, 100)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)


PLOTS = [
    Plot(
        "sudoku",
        "Solved puzzles against forward passes for an empty cell, for rankings with a fixed number of tokens a step and for "
        "three parallel rules.",
        draw_sudoku,
        (8.0, 4.2),
    ),
]
