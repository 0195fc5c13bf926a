# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The published settings and scores of the LLaDA checkpoints, from `published_settings.yaml` and that for LLaDA-V."""

from dataclasses import dataclass, field
from pathlib import Path

import yaml


SETTINGS_FILES = tuple(
    Path(__file__).with_name(name) for name in ("published_settings.yaml", "published_settings_vision.yaml")
)
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
            The task of lm-evaluation-harness, or of the other toolkit that has it.
        options (`dict`):
            The options of the `llada` model of the harness.
        apply_chat_template (`bool`):
            Whether prompts are chats.
        source (`str`):
            Where the setting was published.
        metric (`str`, *optional*):
            The result of the task that the scores are compared with, such as `"acc,none"`.
        scores (`dict[str, float]`, *optional*):
            The published scores in percent, by the toolkit or the listing that gave them. By default no source was read.
        toolkit (`str`, *optional*, defaults to `"lm-eval"`):
            What has the task: `"lm-eval"`, or `"lmms-eval"` for one that lm-evaluation-harness does not have.
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
    options: dict
    apply_chat_template: bool
    source: str
    metric: str | None = None
    scores: dict = field(default_factory=dict)
    toolkit: str = "lm-eval"
    num_fewshot: int | None = None
    differs: dict = field(default_factory=dict)
    not_at_hand: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedSettings:
    """
    The published settings of all checkpoints.

    Args:
        benchmarks (`dict[str, str]`):
            The title of each benchmark.
        settings (`tuple[PublishedSetting, ...]`):
            The settings. The first one of a model and a benchmark is the headline setting.
        gaps (`dict[tuple[str, str], str]`):
            By model and benchmark, why there is no setting.
    """

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
    settings, gaps, benchmarks = [], {}, {}
    for file in SETTINGS_FILES:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
        benchmarks |= {name: entry["title"] for name, entry in document["benchmarks"].items()}
        of_file, gaps_of_file = read_settings(document)
        settings += of_file
        gaps |= gaps_of_file
    return PublishedSettings(benchmarks=benchmarks, settings=tuple(settings), gaps=gaps)


def read_settings(document: dict) -> tuple[list[PublishedSetting], dict[tuple[str, str], str]]:
    """The settings and the gaps of one file."""
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
                fields |= {"apply_chat_template": entry["apply_chat_template"], "source": document["source"]}
                settings.append(PublishedSetting(model, benchmark, **fields))
    return settings, gaps
