# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The published settings and scores of the LLaDA checkpoints, from `published_settings.yaml`."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml


SETTINGS_FILE = Path(__file__).with_name("published_settings.yaml")
TASKS_FOLDER = Path(__file__).with_name("tasks")  # tasks of published settings that the harness does not have


@dataclass(frozen=True)
class PublishedSetting:
    """
    How a checkpoint was evaluated on a benchmark, and its scores.

    Args:
        model (`str`):
            The Hub id of the checkpoint.
        benchmark (`str`):
            The name of the benchmark.
        name (`str`):
            The name of the setting. A model can have several for one benchmark.
        task (`str`):
            The task of lm-evaluation-harness.
        metric (`str`):
            The result of the task that the scores are compared with, such as `"acc,none"`.
        options (`dict`):
            The options of the `llada` model of the harness.
        scores (`dict[str, float]`):
            The published scores in percent, by the toolkit that gave them.
        apply_chat_template (`bool`):
            Whether prompts are chats.
        num_fewshot (`int`, *optional*):
            The number of examples in a prompt. By default the number of the task.
        differs (`dict[str, dict]`):
            By source, the options or `num_fewshot` for which that source gives other values.
        not_at_hand (`tuple[str, ...]`):
            What no source says of the setting: options, or `"subset"`, the part of the benchmark.
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


@dataclass(frozen=True)
class PublishedSettings:
    """
    The published settings of all checkpoints.

    Args:
        source (`str`):
            Where they were published.
        benchmarks (`dict[str, str]`):
            The title of each benchmark.
        settings (`tuple[PublishedSetting, ...]`):
            The settings. The first one of a model and a benchmark is the headline setting.
        gaps (`dict[tuple[str, str], str]`):
            By model and benchmark, why there is no setting.
    """

    source: str
    benchmarks: dict[str, str]
    settings: tuple[PublishedSetting, ...]
    gaps: dict[tuple[str, str], str]

    @property
    def models(self) -> tuple[str, ...]:
        """The Hub ids of the checkpoints."""
        return tuple(dict.fromkeys(setting.model for setting in self.settings))

    def find(self, model: str, task: str, name: str | None = None) -> PublishedSetting | None:
        """
        Finds the setting of a checkpoint.

        Args:
            model (`str`):
                The Hub id of the checkpoint, or a folder of the same name.
            task (`str`):
                The name of a benchmark, or of a task of the harness.
            name (`str`, *optional*):
                The name of the setting. By default the headline setting.

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
        # `mmlu` is the name of a benchmark and of a task. Then the benchmark is meant.
        found = [one for one in settings if one.benchmark == task] or [one for one in settings if one.task == task]
        names = [one.name for one in found]
        if name is None or not found:
            return found[0] if found else None
        if name not in names:
            raise ValueError(f"`setting` must be one of {', '.join(names)} for {model} on {task}, but got {name!r}.")
        return found[names.index(name)]


def load_settings() -> PublishedSettings:
    """Reads the published settings."""
    document = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))
    settings, gaps = [], {}
    for model, entry in document["models"].items():
        for benchmark in document["benchmarks"]:
            published = entry["benchmarks"][benchmark]
            if isinstance(published, str):
                gaps[model, benchmark] = published
                continue
            for fields in published:
                shared = {} if "num_samples" in fields["options"] else document["decoding"]
                fields = {
                    **fields,
                    "options": {**shared, **fields["options"]},
                    "not_at_hand": tuple(fields.get("not_at_hand", ())),
                }
                settings.append(
                    PublishedSetting(model, benchmark, apply_chat_template=entry["apply_chat_template"], **fields)
                )
    return PublishedSettings(
        source=document["source"],
        benchmarks={name: entry["title"] for name, entry in document["benchmarks"].items()},
        settings=tuple(settings),
        gaps=gaps,
    )
