# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The part of quality.py's section about quantized weights."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from evidence.quality.markdown import difference, markdown_table, points
from evidence.quality.settings import Setting, quantized_settings_of
from evidence.quality.statistics import Comparison, compare, exact_match
from evidence.quality.tasks import TASKS


# Written before the first run, see the docstring of quality.py.
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
### Quantized weights

The projections are quantized by torchao, embedding and head are not (`python -m evidence.quality --weights int8 int4 fp8`).
Each setting is compared with the same one on plain weights, over the same prompts: difference of exact match in points with
its paired 95% interval (bold: it contains 0), forward passes of a prompt, and the part of the answers, and of their
characters, that are the same. Where torchao has no kernel for the processor, the weights are rounded in the same way and
multiplied as floats, and the activations are left as they are: that shows what the rounding costs in accuracy, and not its
speed, for which there is `decode.py --quantize`.

{configs}

{expectations}

{tables}
"""


@dataclass(frozen=True)
class Pair:
    """A setting with quantized weights beside the same one with plain weights."""

    setting: Setting
    result: dict
    plain: dict

    @property
    def comparison(self) -> Comparison:
        return compare(self.result, self.plain)


def weights_section(values: dict) -> str:
    """The section, empty where no weights were quantized.

    Args:
        values (`dict`): The file of the results.

    Returns:
        `str`: Markdown.
    """
    kinds = values.get("weights", {})
    if not kinds:
        return ""
    pairs = {kind: pairs_of(kind, values["results"]) for kind in kinds}
    return SECTION.format(
        configs="\n".join(describe(kind, kinds[kind]) for kind in kinds),
        expectations=expectation_table(pairs),
        tables="\n\n".join(pair_table(kind, pairs[kind]) for kind in kinds if pairs[kind]),
    )


def pairs_of(kind: str, results: dict) -> list[Pair]:
    """The pairs that were run, by task."""
    settings = [setting for task in TASKS for setting in quantized_settings_of(task, kind)]
    return [
        Pair(setting, results[setting.key], results[replace(setting, weights=None).key])
        for setting in settings
        if setting.key in results
    ]


def describe(kind: str, how: dict[str, str | None]) -> str:
    """How torchao quantized to a kind, and what it refused."""
    if how["config"] is None:
        return f"- {kind}: not run. {how['refused']}"
    if how["refused"] is None:
        return f"- {kind}: `{how['config']}`"
    return f"- {kind}: `{how['config']}`, multiplied as floats, because {how['refused']}"


def expectation_table(pairs: dict[str, list[Pair]]) -> str:
    """What was expected of a kind on a task, beside the range of what its settings did."""
    rows = []
    for (kind, task), expectation in EXPECTATIONS.items():
        chosen = [pair for pair in pairs.get(kind, []) if pair.setting.task == task]
        if chosen:
            rows.append([f"{kind}, {task}", expectation, summarize(chosen)])
    return markdown_table(["weights, task", "expected", "measured, smallest to largest of the settings"], rows)


def summarize(pairs: list[Pair]) -> str:
    """The ranges of some pairs."""
    comparisons = [pair.comparison for pair in pairs]
    differences = (points(one.difference) for one in sorted(comparisons, key=lambda one: one.difference))
    passes = (f"{points(value)}%" for value in sorted(100 / one.speedup - 100 for one in comparisons))
    same = (f"{100 * value:.1f}%" for value in sorted(pair.result["same_characters"] for pair in pairs))
    return (
        f"{in_range(differences)} points, {sum(one.is_equal for one in comparisons)} of {len(pairs)} intervals contain 0, "
        f"passes {in_range(passes)}, {in_range(same)} of the characters the same"
    )


def in_range(texts: Iterable[str]) -> str:
    """The first and the last of some sorted texts."""
    texts = list(texts)
    first, last = texts[0], texts[-1]
    return first if first == last else f"{first} to {last}"


def pair_table(kind: str, pairs: list[Pair]) -> str:
    head = [
        f"{kind} against plain weights",
        "exact match, plain",
        f"exact match, {kind}",
        "difference",
        "passes, plain",
        f"passes, {kind}",
        "same answers",
        "same characters",
    ]
    return markdown_table(head, [pair_row(pair) for pair in pairs])


def pair_row(pair: Pair) -> list[str]:
    setting, result, plain = pair.setting, pair.result, pair.plain
    return [
        f"{setting.task}, {setting.rule.label}, {setting.cache or 'no cache'}",
        f"{exact_match(plain):.1f}",
        f"{exact_match(result):.1f}",
        difference(pair.comparison),
        f"{plain['forward_passes']:.2f}",
        f"{result['forward_passes']:.2f}",
        f"{100 * result['same_answers']:.1f}%",
        f"{100 * result['same_characters']:.1f}%",
    ]
