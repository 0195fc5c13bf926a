# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: a free order solves Sudoku. Measured by recipes/sudoku."""

from evidence.command import Command
from reporting.markdown import joined, table
from reporting.plots import Plot, logarithmic, panel, series


TITLE = "A free order solves Sudoku"
RESULTS = {
    "models": "evidence/results/sudoku.json",
    "measured": "evidence/results/sudoku_steps.json",
    "small": "evidence/results/sudoku_cpu.json",
    "small_steps": "evidence/results/sudoku_steps_cpu.json",
}
NAMES = {"llada": "LLaDA", "twin": "twin", "llada-answer": "LLaDA, answer after the puzzle"}
SAME_FORMAT = {"llada-answer": "one token a step", "twin": "left to right"}
FLAGS = {"llada": "", "twin": " --twin", "llada-answer": " --form answer"}
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
    small = results["small"]["models"]
    size = sizes_of(small)[0]
    behind = [percent(small[name]["sizes"][size][way]) for name, way in SAME_FORMAT.items()]
    return (
        f"LLaDA, which fills the most confident cell first, against its twin, from left to right, on new puzzles: {joined(pairs)}. "
        f"The twin also has another format. In that format a small LLaDA solves {behind[0]} of {size} and its twin {behind[1]}."
    )


def paper(results: dict) -> str:
    return (
        "The paper has no Sudoku. Its remasking strategies can commit any position first. In a puzzle the order matters, and an "
        "answer can be checked without doubt."
    )


def measured(results: dict) -> str:
    models, steps = results["models"]["models"], results["measured"]
    llada, small = models["llada"], results["small"]["models"]
    parts = [
        f"One model of {llada['parameters'] / 1e6:.2f} million parameters solves {joined(sizes_of(models))}: the puzzle with "
        "`[MASK]` in its empty cells is the canvas. The twin is a Llama of the same shape that writes the solution after the "
        "puzzle, trained for as many steps of as many tokens, which are half as many boards. No symmetric image of a held-out solution was trained on. "
        f"Solved in percent, of {counts(models)} held-out puzzles of each size; forward passes of a puzzle in brackets.",
        solved_table(models),
        "The small version, which anyone can run: the same recipe with "
        f"{small['llada']['parameters'] / 1e6:.2f} million parameters, on a CPU, and a LLaDA in the format of the twin beside it.",
        solved_table(small),
        f"How LLaDA decodes, on the first {steps['settings']['limit']:,} of these puzzles.",
    ]
    for size, found in steps["results"].items():
        parts += [f"**{size}, what is committed first**, and how many at a step.", ranking_table(found)]
        parts += [f"**{size}, order of the cells.** A block is finished before the next is begun.", order_table(found)]
        parts += [f"**{size}, parallel rules.**", rule_table(found)]
    small_size, small_found = last(results["small_steps"]["results"])
    number = next(iter(small_found.values()))["puzzles"]
    parts += [
        f"**{small_size}, order of the cells, in the small version**, of {number:,} puzzles.",
        order_table(small_found),
    ]
    return "\n\n".join(parts)


def differences(results: dict) -> str:
    size, found = last(results["measured"]["results"])
    small_size, small = last(results["small"]["models"]["llada-answer"]["sizes"])
    twin = results["small"]["models"]["twin"]["sizes"][small_size]["left to right"]
    return "\n".join(
        [
            "- The twin differs from LLaDA in order and in format, and the first table does not separate the two. On "
            f"the canvas LLaDA itself solves {percent(found['low_confidence, one token a step'])} of {size} in its own order, "
            f"{percent(found['left to right, one token a step'])} when it has to go from left to right and "
            f"{percent(found['random, one token a step'])} in a random order. With the answer after the puzzle the small LLaDA "
            f"solves {percent(small['one token a step'])} of {small_size}, and its twin {percent(twin)}.",
            "- The twin reads the puzzle before it writes, but has to decide the first cell first. This need not be a limit of "
            "autoregression: no twin was trained that may write intermediate steps.",
            "- Puzzles that are harder than those of the default settings of reasoning-gym were not measured.",
        ]
    )


def commands(results: dict) -> list[Command]:
    steps = results["measured"]["results"]
    sizes, limit = " ".join(size.partition("x")[0] for size in steps), results["measured"]["settings"]["limit"]
    script = "python -m recipes.sudoku"
    return [
        Command(f"{script} prepare", "the puzzles"),
        *training(results["models"]["models"], f"{script} train --config recipes/sudoku/sudoku.yaml"),
        Command(
            f"{script} evaluate --run runs/sudoku --json sudoku.json", "the first table", *evaluated(results["models"])
        ),
        Command(
            f"{script} sweep --model checkpoints/llada-sudoku --size {sizes} --limit {limit} --json sudoku_steps.json",
            "all ways of decoding",
            *spent(steps),
        ),
        Command(f"{script} prepare --sizes 4 --output data/sudoku4.npz", "the puzzles of the small version"),
        *training(
            results["small"]["models"],
            f"{script} train --config recipes/sudoku/sudoku_cpu.yaml --device cpu",
            "small ",
        ),
        Command(
            f"{script} evaluate --run runs/sudoku4 --json runs/sudoku4/results.json",
            "its table",
            *evaluated(results["small"]),
        ),
        Command(
            f"{script} sweep --model runs/sudoku4/llada/final --puzzles data/sudoku4.npz --size 4 --json runs/sudoku4/steps.json",
            "its ways of decoding",
            *spent(results["small_steps"]["results"]),
        ),
    ]


def training(models: dict, command: str, what: str = "") -> list[Command]:
    """The commands that train the models of a run."""
    return [
        Command(command + flag, what + NAMES[name], *trained(models[name]))
        for name, flag in FLAGS.items()
        if name in models
    ]


def evaluated(results: dict) -> tuple[float, str]:
    """The seconds and the device of the table of solved puzzles."""
    ways = [way for model in results["models"].values() for size in model["sizes"].values() for way in size.values()]
    return sum(way["seconds"] for way in ways), shared(results["device"])


def spent(by_size: dict) -> tuple[float, str]:
    """The seconds and the device of a sweep."""
    found = [result for by_name in by_size.values() for result in by_name.values()]
    return sum(result["seconds"] for result in found), shared(found[0]["device"])


def shared(device: str) -> str:
    """The device, with a note for a CPU, because other work ran there during the wall-clock time."""
    return f"{device}, shared with other work" if device.endswith("CPU") else device


def trained(model: dict) -> tuple[float, str]:
    """The seconds and the device of training; on a CPU its processor time, because other work ran beside it."""
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
    families = {ranking: [f"{ranking}, {steps}" for steps in FIXED] for ranking in ("low_confidence", "random")}
    families |= {
        order: [way.format(order) for way in ORDERS[order] if way] for order in ("row by row", "left to right")
    }
    families |= {
        rule: [name for name in found if name.split()[0] == rule] for rule in ("confidence_threshold", "entropy_bound")
    }
    axes = panel(figure, (0.08, 0.15, 0.6, 0.68), size, "forward passes for an empty cell", "solved (%)")
    lowest = 100.0
    for index, (family, names) in enumerate(families.items()):
        passes = [found[name]["forward_passes"] / found[name]["empty_cells"] for name in names]
        order = sorted(range(len(names)), key=passes.__getitem__)
        solved = [100 * found[names[i]]["solved"] for i in order]
        low, high = ([100 * found[names[i]]["interval"][end] for i in order] for end in (0, 1))
        series(axes, theme, index, family, [passes[i] for i in order], solved, low, high)
        lowest = min(lowest, *low)
    logarithmic(axes, "x", [0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    axes.set_ylim(10 * (lowest // 10), 102)  # a marker at 100 is whole
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)


PLOTS = [
    Plot(
        "sudoku",
        "Solved puzzles against forward passes for an empty cell: rankings with a fixed number of tokens a step, fixed orders of "
        "the cells, and two parallel rules.",
        draw_sudoku,
        (8.0, 4.2),
    ),
]
