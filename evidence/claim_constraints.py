# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: a constraint keeps the form of a poem. Measured by recipes/poems/constraint_study.py."""

from evidence.command import Command, device_of
from recipes.poems.check_form import RHYMING_FORMS, SHAPES
from reporting.markdown import counted, joined, table, with_interval


TITLE = "A constraint keeps the form of a poem"
RESULTS = {"measured": "evidence/results/constraint_poems.json"}
FORMS = [form for form in SHAPES if form in RHYMING_FORMS]
STUDY = "python -m recipes.poems.constraint_study"
SMALL = "--form 五言绝句 --prompts 4 --json data/constraint_poems.json"
WAYS = {
    "free": "free",
    "rejection": "rejection sampling for the form",
    "fewer steps": "rejection sampling, fewer steps",
    "constraint": "constraint on the form",
    "rejection with rhyme": "rejection sampling for form and rhyme",
    "constraint with rhyme": "constraint on form and rhyme",
}
DIFFERENCES = {
    "constraint, free": "the constraint on the form against free poems",
    "constraint, rejection": "the constraint on the form against rejection sampling",
    "constraint with rhyme, rejection with rhyme": "the constraint on form and rhyme against rejection sampling",
    "fewer steps, free": "rejection sampling with fewer steps against free poems",
}


def summary(results: dict) -> str:
    ways = results["measured"]["summary"]["all"]["ways"]
    difference = results["measured"]["summary"]["all"]["log_likelihood_difference"]["constraint, rejection"]
    return (
        f"With random remasking llada-poet keeps the form of {percent(ways['free']['shape'])}% of its poems, with a constraint of "
        f"{percent(ways['constraint']['shape'])}%. The model's own log-likelihood of a token is that of rejection sampling, which "
        f"takes {ratio(ways, 'rejection', 'constraint')} times as many forward passes; the difference is "
        f"{with_interval(difference, 2)} nats."
    )


def paper(results: dict) -> str:
    return "The paper has no constraints. A canvas can keep one in any order of commits: see [constraints](constraints.md)."


def measured(results: dict) -> str:
    found = results["measured"]
    settings, forms, whole = found["settings"], found["poems"], found["summary"]["all"]
    ways = whole["ways"]
    number = len(forms) * settings["prompts"]
    return "\n\n".join(
        [
            f"{counted(number, 'prompt')}, {settings['prompts']} of each of {joined(list(forms))}: a header with a form, and a "
            "title that no famous poem in this form has. Random remasking, one token a step, "
            f"temperature {settings['temperature']}. Rejection sampling takes the first poem that keeps the form (and rhymes), of "
            f"at most {settings['tries']}; with fewer steps, all {settings['tries']} together have as many forward passes as one "
            "poem. Rates are in percent. A line is the poet's own if it occurs once and in no famous poem. The "
            "log-likelihood of a token is that of eq. 6 after the header, in nats.",
            table(
                ["", "form kept", "rhymes", "both", "own lines", "log-likelihood", "forward passes"],
                [row(label, ways[name]) for name, label in WAYS.items()],
            ),
            "Poems to the same prompt compared, nats for each token:",
            table(
                ["", "pairs", "difference"],
                [
                    [label, str(pair["pairs"]), with_interval(pair, 3)]
                    for name, label in DIFFERENCES.items()
                    if (pair := whole["log_likelihood_difference"].get(name))
                ],
            ),
            "The form kept, and the passes of rejection sampling for each pass with a constraint:",
            table(
                ["form", "free", "constraint", "passes for the form", "passes for form and rhyme"],
                [form_row(form, found["summary"][form]["ways"]) for form in forms],
            ),
            f"In all ways at most {percent(most_repeats(ways))}% of the poems repeat a line.",
        ]
    )


def row(label: str, way: dict) -> list[str]:
    rates = [with_interval(way[name], 0, 100) for name in ("shape", "rhymes", "passed", "own_lines")]
    return [label, *rates, with_interval(way["log_likelihood"], 2), f"{way['passes']['mean']:.1f}"]


def form_row(form: str, ways: dict) -> list[str]:
    kept = [with_interval(ways[name]["shape"], 0, 100) for name in ("free", "constraint")]
    return [
        form,
        *kept,
        ratio(ways, "rejection", "constraint"),
        ratio(ways, "rejection with rhyme", "constraint with rhyme"),
    ]


def ratio(ways: dict, one: str, other: str) -> str:
    return f"{ways[one]['passes']['mean'] / ways[other]['passes']['mean']:.2f}"


def percent(rate: dict) -> str:
    return f"{100 * rate['mean']:.0f}"


def most_repeats(ways: dict) -> dict:
    return max((way["repeats_a_line"] for way in ways.values()), key=lambda rate: rate["mean"])


def differences(results: dict) -> str:
    found = results["measured"]
    return "\n".join(
        [
            f"- {counted(found['settings']['prompts'], 'prompt')} of a form are few: its own intervals are wide.",
            "- The constraint with a rhyme takes only characters of which every pronunciation rhymes, and rejection sampling takes "
            "all that the check of the form takes.",
            "- The check of the rhyme uses today's pronunciation, and no check reads a poem for its sense.",
            "- A rejected poem costs all of its forward passes here, though a check could stop it earlier.",
            *(
                f"- {form} was not measured: the command goes on with it."
                for form in FORMS
                if form not in found["poems"]
            ),
        ]
    )


def commands(results: dict) -> list[Command]:
    found = results["measured"]
    does = "all of it, on a machine that did other work too"
    return [
        Command(f"{STUDY} --json {RESULTS['measured']}", does, found["seconds"], device_of(found["machine"])),
        Command(f"{STUDY} {SMALL}", "a few quatrains"),
    ]


PLOTS = []
