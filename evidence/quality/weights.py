# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The section of docs/quality.md about quantized weights."""

from dataclasses import replace

from evidence.quality.settings import Setting, quantized_settings_of
from evidence.quality.statistics import Comparison, exact_match, points
from evidence.quality.tasks import TASKS
from reporting.markdown import table


# From before the first run.
EXPECTATIONS = {
    (
        "int8",
        "line",
    ): "intervals contain 0, at most 1 point, passes within 3%, at least 99% of the characters the same",
    ("int8", "couplet"): "intervals contain 0, at most 1 point, passes within 3%, at least 98% the same",
    ("int8", "poem"): "intervals contain 0, at most 4 points, passes within 3%, at least 93% the same",
    ("int4", "line"): "up to 3 points lost",
    ("int4", "couplet"): "5 to 15 points lost, more passes with the threshold",
    ("int4", "poem"): "10 to 25 points lost, more passes with the threshold",
    ("fp8", "line"): "between int8 and int4",
    ("fp8", "couplet"): "at most 2 points lost",
    ("fp8", "poem"): "at most 6 points lost",
}
SECTION = """
## Quantized weights

The projections are quantized by torchao, embedding and head are not (`python -m evidence.quality --weights int8 int4 fp8`).
Each setting is compared with the same one on plain weights, over the same prompts: difference of exact match in points with
its paired 95% interval (bold: it contains 0), forward passes of a prompt, and the share of answers, and of their characters,
that are the same. If torchao has no kernel for the processor, the weights are rounded in the same way and multiplied as
floats, and the activations are left as they are. That shows what the rounding costs in accuracy. For the speed there is
`python -m benchmarks.decode --quantize`.

{configs}

{expectations}

{tables}
"""


def weights_section(values: dict) -> str:
    """Renders the section from the file of results; it is empty if no weights were quantized."""
    kinds = values.get("weights", {})
    if not kinds:
        return ""
    run = {
        kind: [one for task in TASKS for one in quantized_settings_of(task, kind) if one.key in values["results"]]
        for kind in kinds
    }
    return SECTION.format(
        configs="\n".join(describe(kind, kinds[kind]) for kind in kinds),
        expectations=expectation_table(run, values),
        tables="\n\n".join(kind_table(kind, run[kind], values) for kind in kinds if run[kind]),
    )


def describe(kind: str, how: dict[str, str | None]) -> str:
    """The config of torchao for a kind, and its error if it refused another one."""
    if how["config"] is None:
        return f"- {kind}: not run. {how['refused']}"
    if how["refused"] is None:
        return f"- {kind}: `{how['config']}`"
    return f"- {kind}: `{how['config']}`, multiplied as floats, because {how['refused']}"


def expectation_table(run: dict[str, list[Setting]], values: dict) -> str:
    """The expectation for a kind on a task, beside the range over its settings."""
    rows = []
    for (kind, task), expectation in EXPECTATIONS.items():
        chosen = [setting for setting in run.get(kind, []) if setting.task == task]
        if chosen:
            rows.append([f"{kind}, {task}", expectation, summarize(chosen, values)])
    return table(["weights, task", "expected", "measured, smallest to largest of the settings"], rows)


def summarize(settings: list[Setting], values: dict) -> str:
    """The ranges over some settings."""
    comparisons = [Comparison.of(setting, values) for setting in settings]
    differences = range_of([one.difference for one in comparisons], points)
    passes = range_of([100 / one.speedup - 100 for one in comparisons], lambda value: f"{points(value)}%")
    same = [100 * values["results"][setting.key]["same_characters"] for setting in settings]
    return (
        f"{differences} points, {sum(one.is_equal for one in comparisons)} of {len(settings)} intervals contain 0, "
        f"passes {passes}, {range_of(same, '{:.1f}%'.format)} of the characters the same"
    )


def range_of(numbers: list[float], write) -> str:
    """The smallest and the largest number, or one of them if they are written the same."""
    return " to ".join(dict.fromkeys(map(write, (min(numbers), max(numbers)))))


def kind_table(kind: str, settings: list[Setting], values: dict) -> str:
    head = [f"{kind} against plain weights", "exact match, plain", f"exact match, {kind}", "difference"]
    head += ["passes, plain", f"passes, {kind}", "same answers", "same characters"]
    return table(head, [row_of(setting, values) for setting in settings])


def row_of(setting: Setting, values: dict) -> list[str]:
    result, plain = (values["results"][one.key] for one in (setting, replace(setting, weights=None)))
    return [
        f"{setting.task}, {setting.rule.label}, {setting.cache or 'no cache'}",
        f"{exact_match(plain):.1f}",
        f"{exact_match(result):.1f}",
        str(Comparison.of(setting, values)),
        f"{plain['forward_passes']:.2f}",
        f"{result['forward_passes']:.2f}",
        f"{100 * result['same_answers']:.1f}%",
        f"{100 * result['same_characters']:.1f}%",
    ]
