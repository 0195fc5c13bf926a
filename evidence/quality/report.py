# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The section of benchmarks/README.md that quality.py writes: every number in it comes from the file of the results."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch

from evidence.quality.markdown import difference, markdown_table
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
from evidence.quality.statistics import Comparison, bootstrap_interval, compare, exact_match
from evidence.quality.tasks import TASKS
from evidence.quality.weights import weights_section


BEGIN, END = "<!-- quality.py: begin -->", "<!-- quality.py: end -->"
CACHE_NAMES = {None: "no cache", "prefix": "prefix", "dual": "dual", "vicinity": "vicinity"}
# Written before the first run, see the docstring of quality.py; beside each the settings that decide it.
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
SECTION = """## Quality against forward passes: quality.py

What is expected, and how it is measured, is in the docstring of [quality.py](quality.py);
[decoding.md](../docs/decoding.md) explains the settings. The checkpoint is {model}, the questions are famous poems of its
training data, decoded greedily in float32.

{tasks}

Each setting is compared with {one_token} without a cache, over the same prompts, task and block length. A cell holds the
difference of exact match in points, its paired 95% interval (percentile bootstrap over the prompts), and how many times
fewer forward passes it took. Bold: the interval contains 0. Where no prompt changed sides the interval is [0, 0]; a true
difference of up to 300/n points can hide behind that, with n prompts.

![Difference of exact match against forward passes for a token](results/quality.svg)

The expectations, from before the first run, and what came out:

{expectations}

{answer}{drafts}

{tables}

Other block lengths on the poems, each compared with {one_token} in the same blocks:

{blocks}

{number} settings, {minutes} minutes of one CPU thread on a machine with other work. `python -m evidence.quality` runs
what is missing in [results/quality.json](results/quality.json), `--render` writes this section.
{weights}"""


def render_section(values: dict) -> str:
    """The section.

    Args:
        values (`dict`): The file of the results.

    Returns:
        `str`: Markdown.
    """
    results = values["results"]
    tasks = [task for task in TASKS if settings_of(task)[0].key in results]
    return SECTION.format(
        model=values["settings"]["model"],
        one_token=ONE_TOKEN,
        tasks=task_table(tasks, results),
        expectations=expectation_table(results),
        answer=answer(tasks, results),
        drafts=drafts_answer(results),
        weights=weights_section(values),
        tables="\n\n".join(rule_table(task, results) for task in tasks),
        blocks=block_table(results),
        number=len(results),
        minutes=round(values["seconds"] / 60),
    )


def replace_section(page: str, section: str) -> str:
    """The page with its section between the two marks replaced, or appended where the page has none."""
    section = f"{BEGIN}\n{section}{END}\n"
    if BEGIN not in page:
        return f"{page.rstrip()}\n\n{section}"
    before, rest = page.split(BEGIN, 1)
    return before + section + rest.split(END + "\n", 1)[1]


def task_table(tasks: list[str], results: dict) -> str:
    """What each task asks, and how the baseline does."""
    rows = []
    for task in tasks:
        baseline = results[settings_of(task)[0].key]
        hits = torch.tensor([100.0 * int(hit) for hit in baseline["hits"]], dtype=torch.double)
        low, high = bootstrap_interval(hits)
        rows.append(
            [
                task,
                TASKS[task][1],
                str(len(baseline["hits"])),
                f"{baseline['tokens']:.1f}",
                f"{exact_match(baseline):.1f} [{low:.1f}, {high:.1f}]",
                f"{100 * baseline['characters']:.1f}",
            ]
        )
    head = ["task", "what is asked", "prompts", "tokens", f"exact match, {ONE_TOKEN}", "characters"]
    return markdown_table(head, rows)


def expectation_table(results: dict) -> str:
    """What was expected of some settings, beside what they did."""
    rows = []
    for expectation, places in EXPECTATIONS:
        measured = []
        for task, label, cache in places:
            comparison = find(task, label, cache, results)
            if comparison is not None:
                measured.append(f"{task}, {label}, {CACHE_NAMES[cache]}: {cell(comparison)}")
        if measured:
            rows.append([expectation, "<br>".join(measured)])
    return markdown_table(["expected", "measured"], rows)


def answer(tasks: list[str], results: dict) -> str:
    """On which tasks threshold 0.9 with a dual cache did what was asked of it."""
    found = {task: find(task, "threshold 0.9", "dual", results) for task in tasks}
    kept = {task: found[task].is_equal and found[task].speedup >= 3 for task in tasks if found[task] is not None}
    yes, no = (", ".join(task for task in kept if kept[task] is value) or "none" for value in (True, False))
    return (
        f"Threshold 0.9 with a dual cache kept exact match with at least 3 times fewer passes on: {yes}. Not on: {no}."
    )


def drafts_answer(results: dict) -> str:
    """Whether drafts changed what they must not; empty where there are none."""
    pairs = list(draft_pairs(results))
    if not pairs:
        return ""
    changed = [key for key, result, base in pairs if result["hits"] != base["hits"]]
    return (
        f" With drafts, {len(pairs) - len(changed)} of {len(pairs)} settings have the hits of their rule without drafts"
        + ("." if not changed else f"; not: {', '.join(changed)}.")
    )


def draft_pairs(results: dict) -> Iterator[tuple[str, dict, dict]]:
    """The key of each setting with drafts, its result, and that of the rule without drafts."""
    bases = {rule.label: rule for rule in RULES}
    for task, cache, rule in product(TASKS, CACHES, DRAFT_RULES):
        setting = Setting(task, rule, cache, usual_block_length(task))
        base = replace(setting, rule=bases[rule.base])
        if setting.key in results and base.key in results:
            yield setting.key, results[setting.key], results[base.key]


def rule_table(task: str, results: dict) -> str:
    """The rules of a task, with a column for each cache."""
    block_length = usual_block_length(task)
    caches = [
        cache
        for cache in CACHES
        if any(setting.cache == cache for setting in settings_of(task) if setting.key in results)
    ]
    rows = [
        [rule.label, *(cell(find(task, rule.label, cache, results)) for cache in caches)]
        for rule in [*RULES, *DRAFT_RULES]
        if any(find(task, rule.label, cache, results) for cache in caches)
    ]
    blocks = f"blocks of {block_length}" if block_length else "one block"
    return markdown_table([f"{task}, {blocks}", *(CACHE_NAMES[cache] for cache in caches)], rows)


def block_table(results: dict) -> str:
    """A few rules on the poems, with a column for each block length."""
    lengths = (LINE // 2, LINE, 2 * LINE, None)
    names = {length: f"blocks of {length}" if length else "one block" for length in lengths}
    rows = []
    for cache in (None, "dual"):
        for rule in FEW_RULES:
            cells = [cell(find("poem", rule.label, cache, results, length)) for length in lengths]
            rows.append([f"{rule.label}, {CACHE_NAMES[cache]}", *cells])
    baselines = [results.get(Setting("poem", RULES[0], None, length).key) for length in lengths]
    rows[0] = [
        f"{ONE_TOKEN}, no cache: exact match",
        *("" if baseline is None else f"{exact_match(baseline):.1f}" for baseline in baselines),
    ]
    return markdown_table(["poem", *(names[length] for length in lengths)], rows)


def find(task: str, label: str, cache: str | None, results: dict, block_length: int | None = -1) -> Comparison | None:
    """A setting against one token a step without a cache in the same blocks; -1: the usual blocks of the task."""
    if block_length == -1:
        block_length = usual_block_length(task)
    rule = next(rule for rule in [*RULES, *DRAFT_RULES] if rule.label == label)
    result = results.get(Setting(task, rule, cache, block_length).key)
    baseline = results.get(Setting(task, RULES[0], None, block_length).key)
    return None if result is None or baseline is None else compare(result, baseline)


def cell(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return f"{difference(comparison)}, {comparison.speedup:.1f}x"
