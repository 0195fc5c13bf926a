# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The models, the runs and the queue that all tabs share."""

import base64
import html
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter, Signature

import gradio as gr

from modeling_llada.drawing import pictures_of, recording_to_dict
from modeling_llada.streaming import DenoisingRecord

from .exports import export
from .links import add_runs, unpack_runs
from .models import ModelCard, Models
from .options import choose_seed, name_settings, read_options
from .prompts import encode
from .runs import Run, RunArchive, describe_cost
from .stepping import Task, run_together


@dataclass(frozen=True)
class RunSettings:
    """A model and its decoding options, as the fields of a tab say."""

    card: ModelCard
    model: object
    tokenizer: object
    values: dict
    options: dict
    seed: int

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of a text, see `prompts.encode`."""
        return encode(text, self.model, self.tokenizer, self.card)

    def task(self, input_ids: tuple[int, ...], pictures: dict | None = None, **changes) -> Task:
        """The task for a prompt, and what stands at its image tokens. `changes` are options that the tab decides."""
        return Task(self.card.name, input_ids, self.options | changes, self.seed, pictures or {})

    def label(self, task: Task) -> str:
        """The name of the settings of a task."""
        length = task.options.get("max_new_tokens", 0)
        return name_settings(self.values | ({"max_new_tokens": length} if length else {}), self.card)


class Runner:
    """Runs tasks for the tabs. `on_gpu` decorates the generator that does the work: `spaces.GPU` on ZeroGPU."""

    def __init__(self, models: Models, on_gpu=lambda function: function) -> None:
        self.models = models
        self.archive = RunArchive()
        self._stream = on_gpu(self._work)
        self._one_at_a_time = threading.Lock()  # exports and runs of links take memory and seconds

    def read(self, card: ModelCard, values: dict, seed) -> RunSettings:
        """Reads the fields of a tab, and loads the model."""
        options, seed = read_options(values, card.max_new_tokens), choose_seed(seed)
        return RunSettings(card, *self.models.load(card.name), values, options, seed)

    def _work(self, tasks: list[Task]) -> Iterator[tuple]:
        yield from run_together(tasks, self.models.load)

    def play(self, tasks: list[Task], abouts: list[dict]) -> Iterator[list[Run]]:
        """
        Runs tasks in lockstep, each with its texts for the page. Yields the runs, at their start and after each step. Until
        they are over, their link asks to run again.
        """
        link = abouts[0].get("link", "")
        runs = [Run(task, *self.models.load(task.model), about) for task, about in zip(tasks, abouts, strict=True)]
        for run in runs:
            run.about["link"] = f"{link}&play=1" if link else ""
            self.archive.open(run)
        try:
            yield runs  # all masks, before the first step and before ZeroGPU assigns a device
            for events in self._stream(tasks):
                for run, event in zip(runs, events, strict=True):
                    run.add(event)
                if all(run.status == "done" for run in runs):
                    self._add_link(link, runs)
                yield runs
        except Exception:  # such as out of memory: the page must not wait for ever
            for run in runs:
                run.status = "stopped"
            yield runs
            raise
        finally:
            for run in runs:
                self.archive.close(run)

    def replay(self, packed: str, tasks: list[Task], abouts: list[dict]) -> list[Run]:
        """The runs of a link, with the tasks and the texts that its fields give. They are kept like other runs."""
        runs = [
            Run(task, *self.models.load(task.model), about | {"recorded": "link"})
            for task, about in zip(tasks, abouts, strict=True)
        ]
        with self._one_at_a_time:
            unpack_runs(packed, runs)
        self._add_link(abouts[0]["link"], runs)
        for run in runs:
            self.archive.open(run)
            self.archive.close(run)
        return runs

    @staticmethod
    def _add_link(link: str, runs: list[Run]) -> None:
        """Gives finished runs a link that shows them."""
        link = add_runs(link, runs)
        for run in runs:
            run.about["link"] = link

    def stop(self, name: str | None) -> dict:
        """
        Closes a run whose event was cancelled. Returns the value for its player, or an update without change if there
        is no such run. A run that was over gives its result once more, because the page may have missed it.
        """
        run = self.archive.find_open(name) if name else None
        if run is not None:
            self.archive.close(run)
        try:
            record, model, about = self.archive.read(name)
        except ValueError:
            return gr.skip()
        frames = DenoisingRecord.from_dict(record, self.models.tokenizer(model)).frames
        cost = describe_cost(record["cost"], record["settings"])
        value = {"run": name, "status": record["status"], "cost": cost}
        return value | {"recording": recording_to_dict(pictures_of(frames))} | about

    def stop_all(self, *names: str | None) -> list[dict]:
        """Closes the runs of several players."""
        return [self.stop(name) for name in names]

    def save_run(self, request: dict) -> dict:
        """Answers the export buttons of a player with a file in base64, or an `error`."""
        try:
            if not isinstance(request, dict):
                raise ValueError("the request needs a run and a format.")
            record, model, about = self.archive.read(str(request.get("run")))
            with self._one_at_a_time:
                name, media_type, content = export(record, self.models.tokenizer(model), about, request.get("format"))
        except ValueError as error:
            return {"error": f"The export failed: {error}"}
        return {"name": name, "type": media_type, "data": base64.b64encode(content).decode()}

    def connect(
        self,
        name: str,
        triggers: list,
        function: Callable[..., Iterator],
        inputs: dict[str, gr.components.Component],
        outputs: list,
        players: list[gr.HTML],
        run_names: list[gr.State],
        stop_button: gr.Button,
    ):
        """
        Connects the buttons of a tab: one run at a time in one queue for all tabs. `inputs` has the components by
        their names in the API, and `function` yields the values of the outputs. `stop_button` stops the runs that
        `run_names` hold. Returns the event, which other buttons may cancel.
        """

        def run(*values):
            try:
                yield from function(*values)
            except ValueError as error:
                raise toast(error) from error

        run.__signature__ = Signature([Parameter(each, Parameter.POSITIONAL_OR_KEYWORD) for each in inputs])
        event = gr.on(
            triggers,
            run,
            list(inputs.values()),
            outputs,
            show_progress="full",
            show_progress_on=players,
            api_name=name,
            concurrency_limit=1,
            concurrency_id="model",
        )
        stop = self.stop if len(players) == 1 else self.stop_all
        stop_button.click(stop, run_names, players, cancels=[event], queue=False, api_visibility="private")
        return event


def toast(error: Exception) -> gr.Error:
    """An error of the user as a message of the page."""
    return gr.Error(as_message(str(error)), duration=10, print_exception=False, title="This does not work")


def as_message(text: str) -> str:
    """A text for a message of the page. It is escaped, because it may quote HTML."""
    return html.escape(text[:1].upper() + text[1:], quote=False)
