# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Claim: the published benchmarks are one command away. The table of modeling_llada/evaluation/published_settings.yaml."""

from evidence.command import Command
from reporting.markdown import counted, joined, table


TITLE = "The published benchmarks are one command away"
RESULTS = {"paper": "evidence/paper.yaml", "settings": "modeling_llada/evaluation/published_settings.yaml"}
PLOTS = []


def summary(results: dict) -> str:
    found = results["settings"]
    number = sum(len(settings) for settings in published(found).values())
    return (
        f"{counted(number, 'published setting')} of {counted(len(found['models']), 'checkpoint')} run by name. "
        "Their scores were not measured here, because that takes the official weights."
    )


def paper(results: dict) -> str:
    found = results["settings"]
    titles = [entry["title"] for entry in found["benchmarks"].values() if entry["in_paper"]]
    return (
        f"The paper evaluates {counted(len(titles), 'benchmark')}: {joined(titles)} ({results['paper']['benchmarks']['place']}). "
        f"The published scores and the settings below are from {found['source']}, beside the scores of the paper "
        f"({results['paper']['benchmarks']['tables']})."
    )


def measured(results: dict) -> str:
    found = results["settings"]
    parts = [
        "`llada eval lm` looks up a setting by checkpoint and benchmark, runs it in lm-evaluation-harness, and prints the "
        "published score beside the measured one. **No score of this table was measured here.** The command is tested on "
        "small local tasks with the models of this repository. The commands run the headline setting; `--setting NAME` "
        "chooses another one."
    ]
    parts += [f"{model}:\n\n{model_table(results, model)}" for model in found["models"]]
    return "\n\n".join(parts)


def differences(results: dict) -> str:
    found = results["settings"]
    gaps = [(model, name) for model, name in all_pairs(found) if (model, name) not in published(found)]
    gaps = [(model, name) for model, name in gaps if found["benchmarks"][name]["in_paper"]]
    unknown = [key for key, settings in published(found).items() if any(one.get("not_at_hand") for one in settings)]
    return "\n".join(
        [
            "- Nothing was measured on the official checkpoints.",
            f"- No setting was at hand for {listed(found, gaps)}.",
            f"- A part of a setting was not at hand for {listed(found, unknown)}.",
            "- Values of another source are in brackets. If the paper has another number of examples, the task of the harness does "
            "not have that many.",
            "- The scores of the instruct checkpoint come from other toolkits, with other prompts than those of the harness.",
        ]
    )


def commands(results: dict) -> list[Command]:
    found = results["settings"]
    (model, name), settings = next(iter(published(found, decoded=True).items()))
    return [
        Command(
            command(model, name), f"{settings[0]['name']}: one published setting, on a GPU with the official weights"
        ),
        Command("pytest tests/evaluation/test_harness.py", "the model class on small local tasks, on a CPU"),
    ]


def all_pairs(found: dict) -> list[tuple[str, str]]:
    return [(model, name) for model in found["models"] for name in found["benchmarks"]]


def listed(found: dict, pairs: list[tuple[str, str]]) -> str:
    """Benchmarks by checkpoint."""
    models = dict.fromkeys(model for model, _ in pairs)
    titles = {
        model: [found["benchmarks"][name]["title"] for other, name in pairs if other == model] for model in models
    }
    return "; ".join(f"{model.split('/')[-1]}: {', '.join(titles[model])}" for model in models)


def published(found: dict, decoded: bool = False) -> dict[tuple[str, str], list[dict]]:
    """The settings by checkpoint and benchmark; with `decoded` only those that decode an answer."""
    return {
        (model, name): settings
        for model, entry in found["models"].items()
        for name, settings in entry["benchmarks"].items()
        if not isinstance(settings, str) and not (decoded and "num_samples" in settings[0]["options"])
    }


def model_table(results: dict, wanted: str) -> str:
    found, rows = results["settings"], []
    for (model, name), settings in published(found).items():
        for index, setting in enumerate(settings if model == wanted else []):
            scores = ", ".join(
                f"{score} ({toolkit})" if len(setting["scores"]) > 1 else str(score)
                for toolkit, score in setting["scores"].items()
            )
            first = (
                ["", ""] if index else [found["benchmarks"][name]["title"], paper_score(results["paper"], model, name)]
            )
            name_of_setting = setting["name"] if index else None
            rows.append(
                [*first, scores, shots_of(setting), options_of(setting), f"`{command(model, name, name_of_setting)}`"]
            )
    return table(["benchmark", "paper", "published", "examples", "setting", "command"], rows)


def paper_score(paper: dict, model: str, name: str) -> str:
    score = paper["benchmarks"]["scores"].get(model, {}).get(name)
    return "" if score is None else f"{score[0]}, {counted(score[1], 'example')}"


def shots_of(setting: dict) -> str:
    """The number of examples in a prompt, empty where the task has its own."""
    return str(setting.get("num_fewshot", ""))


def options_of(setting: dict) -> str:
    options = [f"{name} {value}" for name, value in setting["options"].items() if name != "check_greedy"]
    unknown = [f"{name} not at hand" for name in setting.get("not_at_hand", [])]
    others = [
        f"({source}: {', '.join(f'{name} {value}' for name, value in values.items())})"
        for source, values in setting.get("differs", {}).items()
    ]
    return " ".join([f"{setting['name']}: {', '.join([*options, *unknown])}", *others])


def command(model: str, benchmark: str, setting: str | None = None) -> str:
    return f"llada eval lm --model {model} --task {benchmark}" + (f" --setting {setting}" if setting else "")
