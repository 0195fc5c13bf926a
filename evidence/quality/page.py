# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The page docs/quality.md. Every number in it comes from the file of results."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from evidence.quality.settings import (
    CACHES,
    DRAFT_RULES,
    FEW_RULES,
    LINE,
    ONE_TOKEN,
    RULES,
    Setting,
    settings_of,
    usual_block_length,
)
from evidence.quality.statistics import Comparison, exact_match
from evidence.quality.tasks import TASKS
from evidence.quality.weights import weights_section
from reporting.markdown import table


CACHE_NAMES = {None: "no cache", "prefix": "prefix", "dual": "dual", "vicinity": "vicinity"}
# The expectations from before the first run, each with the settings that decide it.
EXPECTATIONS = [
    (
        "threshold 0.9 with a dual cache: the interval contains 0, with at least 3 times fewer passes (7, 4.5 and 3.5 times)",
        [(task, "threshold 0.9", "dual") for task in TASKS],
    ),
    (
        "2 tokens a step: up to 3 points lost on couplets, 5 to 15 on poems",
        [(task, "2 tokens a step", None) for task in ("couplet", "poem")],
    ),
    (
        "4 tokens a step: about 10 points lost on couplets, nearly everything on poems",
        [(task, "4 tokens a step", None) for task in ("couplet", "poem")],
    ),
    ("threshold 0.5: 5 to 10 points lost on couplets", [("couplet", "threshold 0.5", None)]),
    (
        "margin and entropy as good as low confidence, which is 2 tokens a step",
        [("poem", f"2 tokens a step{name}", None) for name in ("", ", margin", ", entropy")],
    ),
    ("random remasking: 20 points or more lost on poems", [("poem", "2 tokens a step, random", None)]),
    (
        "prefix and vicinity caches: nothing that the intervals show",
        [("poem", rule, cache) for cache in ("prefix", "vicinity") for rule in (ONE_TOKEN, "threshold 0.9")],
    ),
    (
        "dual cache: at most 5 points lost on poems",
        [("poem", rule, "dual") for rule in (ONE_TOKEN, "threshold 0.9")],
    ),
    (
        "4 drafts: the hits of the rule without drafts, with 2 to 4 times fewer passes than one token a step on lines and "
        "couplets, 1.3 to 2 times on poems",
        [(task, "1 token, 4 drafts", None) for task in TASKS],
    ),
    (
        "4 drafts beside threshold 0.9, with a dual cache: its hits, with at most 1.5 times fewer passes than without drafts",
        [(task, "threshold 0.9, 4 drafts", "dual") for task in TASKS],
    ),
]
PAGE = """# Quality against forward passes

How much quality does faster decoding cost? [decoding.md](decoding.md) explains the settings. The checkpoint is {model}, and the
questions are famous poems of its training data, decoded greedily in float32.

{tasks}

Each setting is compared with {one_token} without a cache, over the same prompts, task and block length. A cell has the
difference of exact match in points, its paired 95% interval (percentile bootstrap over the prompts), and how many times
fewer forward passes it took. Bold: the interval contains 0. If no prompt changed sides, the interval is [0, 0]; with n prompts
a true difference of up to 300/n points can still hide there.

{picture}

The expectations from before the first run, and what was measured:

{expectations}

{answer}{drafts}

{tables}

Other block lengths on the poems, each compared with {one_token} in the same blocks:

{blocks}
{weights}
## Repeat it

`python -m evidence.quality` runs the settings that are missing in [quality.json](../evidence/results/quality.json), and
`make evidence` writes this page from that file. There are {number} settings, which took {minutes} minutes of one CPU thread on a
machine with other work. `python -m evidence.quality --help` tells more about the measurement.
"""


def render(values: dict, picture: str) -> str:
    """Renders the page from the file of results and the plot in Markdown."""
    results = values["results"]
    tasks = [task for task in TASKS if settings_of(task)[0].key in results]
    return PAGE.format(
        model=values["settings"]["model"],
        one_token=ONE_TOKEN,
        tasks=task_table(tasks, values),
        picture=picture,
        expectations=expectation_table(values),
        answer=answer(tasks, values),
        drafts=drafts_answer(results),
        weights=weights_section(values),
        tables="\n\n".join(rule_table(task, values) for task in tasks),
        blocks=block_table(values),
        number=len(results),
        minutes=round(values["seconds"] / 60),
    )


def task_table(tasks: list[str], values: dict) -> str:
    """The tasks, and the exact match of the baseline."""
    rows = []
    for task in tasks:
        key = settings_of(task)[0].key
        baseline, (mean, low, high) = values["results"][key], values["statistics"][key]["exact_match"]
        prompts, tokens = str(len(baseline["hits"])), f"{baseline['tokens']:.1f}"
        exact, characters = f"{mean:.1f} [{low:.1f}, {high:.1f}]", f"{100 * baseline['characters']:.1f}"
        rows.append([task, TASKS[task][1], prompts, tokens, exact, characters])
    head = ["task", "what is asked", "prompts", "tokens", f"exact match, {ONE_TOKEN}", "characters"]
    return table(head, rows)


def expectation_table(values: dict) -> str:
    """The expectations for some settings, beside the measured values."""
    rows = []
    for expectation, places in EXPECTATIONS:
        found = [(place, find(*place, values)) for place in places]
        measured = [
            f"{task}, {label}, {CACHE_NAMES[cache]}: {cell(comparison)}"
            for (task, label, cache), comparison in found
            if comparison is not None
        ]
        if measured:
            rows.append([expectation, "<br>".join(measured)])
    return table(["expected", "measured"], rows)


def answer(tasks: list[str], values: dict) -> str:
    """The tasks on which threshold 0.9 with a dual cache met the expectation."""
    found = {task: find(task, "threshold 0.9", "dual", values) for task in tasks}
    kept = {task: found[task].is_equal and found[task].speedup >= 3 for task in tasks if found[task] is not None}
    yes, no = (", ".join(task for task in kept if kept[task] is value) or "none" for value in (True, False))
    return (
        f"Threshold 0.9 with a dual cache kept exact match with at least 3 times fewer passes on: {yes}. Not on: {no}."
    )


def drafts_answer(results: dict) -> str:
    """Whether drafts changed any hit, which they must not; empty if no setting has drafts."""
    pairs = list(draft_pairs(results))
    if not pairs:
        return ""
    changed = [key for key, result, base in pairs if result["hits"] != base["hits"]]
    return (
        f" With drafts, {len(pairs) - len(changed)} of {len(pairs)} settings have the hits of their rule without drafts"
        + ("." if not changed else f"; not: {', '.join(changed)}.")
    )


def draft_pairs(results: dict) -> Iterator[tuple[str, dict, dict]]:
    """The key of each setting with drafts, its result, and the result of its rule without drafts."""
    bases = {rule.label: rule for rule in RULES}
    for task, cache, rule in product(TASKS, CACHES, DRAFT_RULES):
        setting = Setting(task, rule, cache, usual_block_length(task))
        base = replace(setting, rule=bases[rule.base])
        if setting.key in results and base.key in results:
            yield setting.key, results[setting.key], results[base.key]


def rule_table(task: str, values: dict) -> str:
    """The rules of a task, with a column for each cache."""
    caches = [
        cache
        for cache in CACHES
        if any(one.cache == cache and one.key in values["results"] for one in settings_of(task))
    ]
    rows = []
    for rule in [*RULES, *DRAFT_RULES]:
        cells = [cell(find(task, rule.label, cache, values)) for cache in caches]
        if any(cells):
            rows.append([rule.label, *cells])
    block_length = usual_block_length(task)
    blocks = f"blocks of {block_length}" if block_length else "one block"
    return table([f"{task}, {blocks}", *(CACHE_NAMES[cache] for cache in caches)], rows)


def block_table(values: dict) -> str:
    """A few rules on the poems, with a column for each block length."""
    lengths = (LINE // 2, LINE, 2 * LINE, None)
    rows = []
    for cache in (None, "dual"):
        for rule in FEW_RULES:
            cells = [cell(find("poem", rule.label, cache, values, length)) for length in lengths]
            rows.append([f"{rule.label}, {CACHE_NAMES[cache]}", *cells])
    baselines = [values["results"].get(Setting("poem", RULES[0], None, length).key) for length in lengths]
    rows[0] = [
        f"{ONE_TOKEN}, no cache: exact match",
        *("" if baseline is None else f"{exact_match(baseline):.1f}" for baseline in baselines),
    ]
    return table(["poem", *(f"blocks of {length}" if length else "one block" for length in lengths)], rows)


def find(task: str, label: str, cache: str | None, values: dict, block_length: int | None = -1) -> Comparison | None:
    """A setting against its baseline; a block length of -1 is the usual one of the task."""
    block_length = usual_block_length(task) if block_length == -1 else block_length
    rule = next(rule for rule in [*RULES, *DRAFT_RULES] if rule.label == label)
    return Comparison.of(Setting(task, rule, cache, block_length), values)


def cell(comparison: Comparison | None) -> str:
    return "" if comparison is None else f"{comparison}, {comparison.speedup:.1f}x"
