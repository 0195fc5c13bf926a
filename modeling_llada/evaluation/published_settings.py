# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The published settings and scores of the LLaDA checkpoints, read from `settings.yaml` and checked."""

from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from ..models.generation_config_llada import LLaDAGenerationConfig


SETTINGS_FILE = Path(__file__).with_name("published_settings.yaml")
TASKS_FOLDER = Path(__file__).with_name("tasks")  # tasks of published settings that the harness does not have
LIKELIHOOD_OPTIONS = {"num_samples", "antithetic", "cfg_scale", "check_greedy"}
SUBSET = "subset"  # which part of a benchmark was taken, the one thing that no source may say of a setting


@dataclass(frozen=True)
class PublishedSetting:
    """
    How a checkpoint was evaluated on a benchmark, and what came out.

    Args:
        model (`str`):
            Hub id of the checkpoint.
        benchmark (`str`):
            Name of the benchmark.
        name (`str`):
            Name of the setting, where a benchmark has several.
        task (`str`):
            Task of lm-evaluation-harness.
        metric (`str`):
            What of its results the score is compared with, such as `"acc,none"`.
        options (`dict`):
            Options of the `llada` model of the harness.
        scores (`dict[str, float]`):
            Published scores in percent, by the toolkit that gave them.
        apply_chat_template (`bool`):
            Whether prompts are chats.
        num_fewshot (`int`, *optional*):
            Examples in a prompt; `None` leaves the number to the task.
        differs (`dict[str, dict]`):
            What other sources say instead, of options or of `num_fewshot`, by source.
        not_at_hand (`tuple[str, ...]`):
            What the published setting has, but is not known here: options, or `"subset"`, the part of the benchmark.
    """

    model: str
    benchmark: str
    name: str
    task: str
    metric: str
    options: dict
    scores: dict
    apply_chat_template: bool
    num_fewshot: int | None = None
    differs: dict = field(default_factory=dict)
    not_at_hand: tuple[str, ...] = ()

    @property
    def scores_likelihood(self) -> bool:
        """Whether answers are scored by eq. 6 rather than decoded."""
        return "num_samples" in self.options


@dataclass(frozen=True)
class PublishedSettings:
    """
    All of them.

    Args:
        source (`str`):
            Where they were published.
        benchmarks (`dict[str, str]`):
            Title of each benchmark.
        paper_benchmarks (`tuple[str, ...]`):
            The benchmarks of the paper.
        settings (`tuple[PublishedSetting, ...]`):
            The settings; the first of a model and a benchmark is the headline one.
        gaps (`dict[tuple[str, str], str]`):
            Why a model has no setting for a benchmark.
    """

    source: str
    benchmarks: dict[str, str]
    paper_benchmarks: tuple[str, ...]
    settings: tuple[PublishedSetting, ...]
    gaps: dict[tuple[str, str], str]

    @property
    def models(self) -> tuple[str, ...]:
        """The checkpoints, in the order of the file."""
        return tuple(dict.fromkeys(setting.model for setting in self.settings))

    def find(self, model: str, task: str, name: str | None = None) -> PublishedSetting | None:
        """
        The setting of a checkpoint.

        Args:
            model (`str`):
                Hub id of the checkpoint, or a folder of the same name.
            task (`str`):
                Name of the benchmark, or of a task of the harness.
            name (`str`, *optional*):
                Name of the setting; by default the headline one.

        Returns:
            [`PublishedSetting`], or `None` if none was published.

        Raises:
            `ValueError`: if there are settings, but none of that name.

        Example:

        ```python
        >>> from modeling_llada.evaluation import load_settings

        >>> setting = load_settings().find("GSAI-ML/LLaDA-8B-Instruct", "gsm8k", name="blocks")
        >>> setting.options["block_length"], setting.num_fewshot, setting.scores["internal toolkit"]
        (8, 4, 78.6)
        ```
        """
        model = Path(model).name
        settings = [one for one in self.settings if Path(one.model).name == model]
        # A benchmark and a task may share a name (`mmlu`), and then the benchmark is meant.
        found = [one for one in settings if one.benchmark == task] or [one for one in settings if one.task == task]
        if name is not None and found:
            names = [one.name for one in found]
            if name not in names:
                raise ValueError(
                    f"`setting` must be one of {', '.join(names)} for {model} on {task}, but got {name!r}."
                )
            return found[names.index(name)]
        return found[0] if found else None


def load_settings(path: str | Path = SETTINGS_FILE) -> PublishedSettings:
    """
    Reads and checks published settings.

    Args:
        path (`str` or `Path`, *optional*):
            A file in the layout of `settings.yaml`, which is the default.

    Returns:
        [`PublishedSettings`].

    Raises:
        `ValueError`: if a model lacks a benchmark, or a field is missing, unknown or of the wrong kind.
    """
    document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    check_keys("the file", document, {"source", "decoding", "benchmarks", "models"})
    settings, gaps = [], {}
    for model, entry in document["models"].items():
        check_keys(model, entry, {"apply_chat_template", "benchmarks"})
        check_keys(f"`benchmarks` of {model}", entry["benchmarks"], set(document["benchmarks"]))
        for benchmark in document["benchmarks"]:
            published = entry["benchmarks"][benchmark]
            if isinstance(published, str):
                gaps[model, benchmark] = published
                continue
            new = [
                read_setting(model, benchmark, fields, document["decoding"], entry["apply_chat_template"])
                for fields in published
            ]
            if len({one.name for one in new}) < len(new):
                raise ValueError(f"The settings of {model} on {benchmark} must have different names.")
            settings += new
    return PublishedSettings(
        source=document["source"],
        benchmarks={name: entry["title"] for name, entry in document["benchmarks"].items()},
        paper_benchmarks=tuple(name for name, entry in document["benchmarks"].items() if entry["in_paper"]),
        settings=tuple(settings),
        gaps=gaps,
    )


def read_setting(
    model: str, benchmark: str, entry: dict, decoding: dict, apply_chat_template: bool
) -> PublishedSetting:
    """Makes and checks a setting; one that decodes also gets the options that all of these share."""
    where = f"a setting of {model} on {benchmark}"
    optional = {"num_fewshot", "differs", "not_at_hand"}
    check_keys(where, {**dict.fromkeys(optional), **entry}, {"name", "task", "metric", "options", "scores"} | optional)
    is_likelihood = "num_samples" in entry["options"]
    options = entry["options"] if is_likelihood else {**decoding, **entry["options"]}
    not_at_hand = tuple(entry.get("not_at_hand", ()))
    known = LIKELIHOOD_OPTIONS if is_likelihood else {*vars(LLaDAGenerationConfig())}
    unknown = sorted(({*options} | {*not_at_hand}) - known - {SUBSET})
    if unknown or {*options} & {*not_at_hand}:
        raise ValueError(
            f"`options` of {where} has unknown ones, or ones that are not at hand: {unknown or not_at_hand}."
        )
    if not is_likelihood:
        LLaDAGenerationConfig(**options)
    num_fewshot = entry.get("num_fewshot")
    check_shots(where, num_fewshot)
    differs = entry.get("differs", {})
    check_differences(where, differs, {**options, "num_fewshot": num_fewshot}, known)
    scores = entry["scores"]
    if not scores or not all(isinstance(score, float) and 0 < score <= 100 for score in scores.values()):
        raise ValueError(f"`scores` of {where} must be numbers in (0, 100] by toolkit, but got {scores}.")
    setting = PublishedSetting(
        model=model,
        benchmark=benchmark,
        options=options,
        scores=scores,
        apply_chat_template=apply_chat_template,
        num_fewshot=num_fewshot,
        differs=differs,
        not_at_hand=not_at_hand,
        **{name: entry[name] for name in ("name", "task", "metric")},
    )
    for one in fields(setting):
        if one.type is str and not isinstance(getattr(setting, one.name), str):
            raise ValueError(f"`{one.name}` of {where} must be a text, but got {getattr(setting, one.name)!r}.")
    return setting


def check_shots(where: str, num_fewshot: int | None) -> None:
    """Raises a `ValueError` unless this can be a number of examples, or is `None`."""
    is_number = isinstance(num_fewshot, int) and not isinstance(num_fewshot, bool)
    if num_fewshot is not None and not (is_number and num_fewshot >= 0):
        raise ValueError(f"`num_fewshot` of {where} must be an integer of at least 0, but got {num_fewshot!r}.")


def check_differences(where: str, differs: dict, settled: dict, known: set[str]) -> None:
    """Raises a `ValueError` unless each source says something else of what a setting has."""
    for source, values in differs.items():
        unknown = sorted({*values} - known - {"num_fewshot"})
        if unknown or not values or any(settled.get(name) == value for name, value in values.items()):
            raise ValueError(
                f"`differs` of {where} must have options with other values than the setting, but got {values} for "
                f"{source}."
            )
        check_shots(where, values.get("num_fewshot"))


def check_keys(where: str, entry: dict, expected: set[str]) -> None:
    """Raises a `ValueError` unless the mapping has these keys and no others."""
    if not isinstance(entry, dict) or {*entry} != expected:
        got = sorted(map(str, entry)) if isinstance(entry, dict) else repr(entry)
        raise ValueError(f"{where} must have the keys {', '.join(sorted(expected))}, but got {got}.")
