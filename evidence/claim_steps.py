# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: more steps buy quality. Measured by evidence/quality, whose settings are named `task | rule | cache | block`."""

from evidence.command import Command
from reporting.markdown import counted, joined, table
from reporting.plots import Plot, logarithmic, panel, series


TITLE = "More steps buy quality"
RESULTS = {
    "paper": "evidence/paper.yaml",
    "measured": "evidence/results/quality.json",
    "row": "evidence/results/quality_row.json",
}
TASKS = {"line": "one", "couplet": "one", "poem": "6"}  # and the block that most settings of it have
STEPS = {1: "one token a step", 2: "2 tokens a step", 4: "4 tokens a step", 8: "8 tokens a step"}
REMASKINGS = {"low confidence": "", "margin": ", margin", "entropy": ", entropy", "random": ", random"}
PARALLEL = {
    "threshold": [f"threshold {value}" for value in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)],
    "factor": [f"factor {value}" for value in (2.0, 1.0, 0.5, 0.25)],
    "entropy bound": [f"entropy bound {value}" for value in (0.6, 0.3, 0.1, 0.01)],
}
BLOCKS = ("3", "6", "12", "one")
FEW_RULES = ("one token a step", "2 tokens a step", "4 tokens a step", "threshold 0.9")
SCALES = (0.5, 1.0, 1.5, 2.0)
EXTRA_TOKENS = (2, 6, 14, 46)
ENDS = {
    "as it is": "",
    "`confidence_eos_eot_inf`": ", confidence_eos_eot_inf",
    "`logits_eos_inf`": ", logits_eos_inf",
}


def summary(results: dict) -> str:
    found = results["measured"]
    one, two, four = (value(found, key("poem", STEPS[number])) for number in (1, 2, 4))
    few = found["results"][key("poem", "threshold 0.9")]
    times = found["results"][key("poem", STEPS[1])]["forward_passes"] / few["forward_passes"]
    return (
        f"Yes: on poems exact match is {one:.0f}% with one token a step, {two:.0f}% with two and {four:.0f}% with four. But "
        f"steps can be saved where the model is sure: a threshold of confidence keeps {value(found, key('poem', 'threshold 0.9')):.0f}% "
        f"with {times:.1f} times fewer passes."
    )


def paper(results: dict) -> str:
    said = results["paper"]["steps"]
    blocks, length, guidance, end = (said[name] for name in ("blocks", "length", "guidance", "end"))
    return "\n\n".join(
        [
            f"The paper calls the number of steps a trade-off between quality and speed ({said['trade_off']}, so there is no "
            "number to compare). Its tables compare strategies, on other tasks than ours:",
            table(
                ["", *said["remasking"]["benchmarks"]],
                [
                    ["random remasking", *map(str, said["remasking"]["random"])],
                    ["low-confidence remasking", *map(str, said["remasking"]["low_confidence"])],
                    *(
                        [f"blocks of {size}", *map(str, scores)]
                        for size, scores in blocks["scores"].items()
                        if size != "one"
                    ),
                    ["one block", *map(str, blocks["scores"]["one"])],
                    *([f"{size} tokens long", *map(str, scores)] for size, scores in length["scores"].items()),
                ],
            ),
            f'({said["remasking"]["place"]}; {blocks["place"]}; {length["place"]}: "not sensitive to the length".)',
            table(
                ["guidance", *guidance["benchmarks"]],
                [["without", *map(str, guidance["without"])], ["with", *map(str, guidance["with"])]],
            ),
            f"({guidance['place']}.) After fine-tuning with EOS as padding, blocks score "
            + joined([f"{score} on {name}" for name, score in zip(end["benchmarks"], end["blocks"], strict=True)])
            + " and one block "
            + joined([f"{score} on {name}" for name, score in zip(end["benchmarks"], end["one_block"], strict=True)])
            + f" ({end['place']}).",
        ]
    )


def measured(results: dict) -> str:
    found = results["measured"]
    settings = found["settings"]
    numbers = joined([f"{len(found['results'][key(task, STEPS[1])]['hits'])} of {task}" for task in TASKS])
    parts = [
        f"{settings['model']}, a model of our own, is asked for famous poems of its training data, so each question has one "
        f"right answer: the next line, the rest of a couplet from two or three characters, the rest of a 五言绝句 from its header "
        f"and first line (questions: {numbers}). Greedy, float32. Cells are exact match in percent; the differences from one "
        "token a step, paired over the questions, with caches, drafts and quantized weights, are in "
        "[quality.md](quality.md).",
        "**Steps.** A fixed number of tokens a step, by remasking; forward passes of an answer in brackets.",
        steps_table(found),
        "**Blocks**, on poems.",
        block_table(found),
    ]
    if has(found, further_key()):
        parts += [
            "**The length of the answer**, on poems: the canvas is longer than the answer, which has to end with an EOS in "
            "the right place. One token a step.",
            length_table(found),
            "**Guidance**, one token a step.",
            guidance_table(found),
        ]
    return "\n\n".join(parts)


def differences(results: dict) -> str:
    found = results["measured"]
    lines = [
        "- The questions are from the model's own training data, because a small model has no other questions with one right "
        "answer. The paper's benchmarks were not run, because they need the official checkpoints.",
        "- On single lines more steps gain nothing, because the model has memorized them: "
        f"{value(found, key('line', STEPS[8])):.1f}% with eight tokens a step.",
    ]
    margin, low = (value(found, key("poem", f"2 tokens a step{name}")) for name in (", margin", ""))
    random = value(found, key("poem", "2 tokens a step, random"))
    lines.append(
        f"- Low-confidence remasking beats random remasking, as in the paper ({low:.0f}% against {random:.0f}% on poems, two "
        f"tokens a step); margin, which the paper does not have, is at {margin:.0f}%."
    )
    blocks = {size: interval(found, key("poem", STEPS[1], size)) for size in BLOCKS}
    lines.append(
        "- The paper finds one block at least as good as smaller ones. On poems: "
        + joined([f"{block_name(size)} {cell}" for size, cell in blocks.items()])
        + "."
    )
    if not has(found, further_key()):
        lines.append("- The length of the answer, guidance and the EOS options have not been measured yet.")
        return "\n".join(lines)
    few, many = EXTRA_TOKENS[0], EXTRA_TOKENS[-1]
    changes = [
        f"{block_name(size)} {difference(change(found, few, size))} points with {few} more tokens and "
        f"{difference(change(found, many, size))} with {many} more"
        for size in ("one", TASKS["poem"])
    ]
    lines.append(f"- The paper says that the length does not matter. On poems: {joined(changes)}.")
    plain, inf = (further_key(many, "one", ENDS[name]) for name in ("as it is", "`confidence_eos_eot_inf`"))
    lines.append(
        "- `confidence_eos_eot_inf` is for models that end too early. This model, which was pre-trained on poems with EOS after "
        f"them, does not: in one block with {many} more tokens it has {interval(found, inf)} with it and {interval(found, plain)} "
        "without."
    )
    best = max(SCALES, key=lambda scale: value(found, key("poem", f"one token a step, cfg {scale}")))
    gain = found["statistics"][key("poem", f"one token a step, cfg {best}")]["difference"]
    lines.append(
        f"- The paper says that guidance helps consistently. On poems the best scale, {best:g}, makes a difference of "
        f"{difference(gain)} points."
    )
    return "\n".join(lines)


def commands(results: dict) -> list[Command]:
    whole, row = results["measured"], results["row"]
    same = all(result["hits"] == whole["results"][name]["hits"] for name, result in row["results"].items())
    number, names = (
        len(row["results"]),
        "the same answers as in the whole" if same else "other answers than in the whole",
    )
    return [
        Command(
            "python -m evidence.quality", "all settings", whole["seconds"], "one CPU thread, shared with other work"
        ),
        Command(
            'python -m evidence.quality --tasks poem --only "2 tokens a step | no cache | block 6" --json quality_row.json',
            f"{counted(number, 'setting')} of it, two tokens a step on poems: {names}",
            row["seconds"],
            "one CPU thread, shared with other work",
        ),
    ]


def key(task: str, rule: str, block: str | None = None, cache: str = "no cache") -> str:
    return f"{task} | {rule} | {cache} | block {block or TASKS[task]}"


def further_key(extra: int = EXTRA_TOKENS[0], block: str = "one", end: str = "") -> str:
    """The key of a poem on a longer canvas."""
    return f"{key('poem', STEPS[1] + end, block)} | {extra} extra tokens"


def change(found: dict, extra: int, size: str) -> list[float]:
    """The difference of a longer canvas in points, with its interval."""
    return found["statistics"][further_key(extra, size)]["difference"]


def has(found: dict, name: str) -> bool:
    return name in found["statistics"]


def value(found: dict, name: str) -> float:
    """Exact match in percent."""
    return found["statistics"][name]["exact_match"][0]


def interval(found: dict, name: str) -> str:
    if not has(found, name):
        return ""
    mean, low, high = found["statistics"][name]["exact_match"]
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def difference(row: list[float]) -> str:
    mean, low, high = row
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def block_name(size: str) -> str:
    return "one block" if size == "one" else f"blocks of {size}"


def steps_table(found: dict) -> str:
    rows = []
    for name, suffix in REMASKINGS.items():
        for rule in STEPS.values():
            cells = [steps_cell(found, key(task, rule + suffix)) for task in TASKS]
            if any(cells):
                rows.append([f"{rule}, {name}", *cells])
    return table(["", *TASKS], rows)


def steps_cell(found: dict, name: str) -> str:
    if not has(found, name):
        return ""
    return f"{interval(found, name)} ({found['results'][name]['forward_passes']:.1f})"


def block_table(found: dict) -> str:
    rows = [[rule, *(steps_cell(found, key("poem", rule, size)) for size in BLOCKS)] for rule in FEW_RULES]
    return table(["", *map(block_name, BLOCKS)], rows)


def length_table(found: dict) -> str:
    rows = []
    for size in ("one", TASKS["poem"]):
        for name, end in ENDS.items():
            cells = [interval(found, further_key(extra, size, end)) for extra in EXTRA_TOKENS]
            first = "" if end else interval(found, key("poem", STEPS[1], size))
            rows.append([f"{block_name(size)}, EOS {name}", first, *cells])
    return table(["", "as long as the answer", *(f"{extra} more tokens" for extra in EXTRA_TOKENS)], rows)


def guidance_table(found: dict) -> str:
    rows = []
    for task in TASKS:
        cells = [interval(found, key(task, f"{STEPS[1]}, cfg {scale}")) for scale in SCALES]
        rows.append([task, interval(found, key(task, STEPS[1])), *cells])
    return table(["", "without", *(f"scale {scale:g}" for scale in SCALES)], rows)


def draw_steps(figure, results, theme) -> None:
    """A panel for the couplets and one for the poems: exact match against passes, a series for each kind of rule."""
    found = results["measured"]
    families = {"fixed number": list(STEPS.values()), "fixed, random": [f"{rule}, random" for rule in STEPS.values()]}
    families |= PARALLEL
    for place, task in (((0.06, 0.15, 0.42, 0.66), "couplet"), ((0.56, 0.15, 0.42, 0.66), "poem")):
        axes = panel(figure, place, task, "forward passes for a token", "exact match (%)")
        for index, (family, rules) in enumerate(families.items()):
            names = [name for name in (key(task, rule) for rule in rules) if has(found, name)]
            passes = [found["results"][name]["forward_passes"] / found["results"][name]["tokens"] for name in names]
            order = sorted(range(len(names)), key=passes.__getitem__)
            columns = [[found["statistics"][names[i]]["exact_match"][part] for i in order] for part in range(3)]
            series(axes, theme, index, family, [passes[i] for i in order], *columns)
        logarithmic(axes, "x", [0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
        axes.set_ylim(bottom=0)
        if task == "couplet":
            axes.legend(loc="lower right", fontsize=9)


PLOTS = [
    Plot(
        "steps",
        "Exact match against forward passes for a token, on couplets and on poems, for a fixed number of tokens a step, random "
        "remasking and three parallel rules: more passes, more exact match; the parallel rules reach the top with fewer.",
        draw_steps,
        (9.0, 4.2),
    ),
]
