# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The part that all tabs with linked runs share."""

import contextlib
import secrets
from collections.abc import Iterator, Mapping

import gradio as gr

from ..fields import can_hold
from ..links import read_value
from ..runner import Runner
from ..runs import Run
from ..stepping import Task


class RunTab:
    """
    A tab whose runs have links. A subclass makes its `players` and its fields, calls `connect`, and says in `prepare` what
    its fields ask for, and in `linked` which fields a link sets.
    """

    name = ""
    own_model: str | None = None  # of a tab that has one, whatever the page has chosen

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.players: list[gr.HTML] = []
        self.inputs: dict[str, gr.components.Component] = {}

    @property
    def linked(self) -> dict[str, tuple[gr.components.Component, str]]:
        """The fields that a link sets, each with the kind of its value."""
        raise NotImplementedError

    def prepare(self, *inputs) -> tuple[list[Task], list[dict]]:
        """The tasks that the inputs ask for, and their texts for the page."""
        raise NotImplementedError

    def summarize(self, runs: list[Run]) -> list:
        """The values of the outputs besides the players."""
        return []

    def connect(self, triggers: list, inputs: dict[str, gr.components.Component], stop: gr.Button, summary=()):
        """Connects the buttons. `inputs` has the components by their names in the API. Returns the event of a run."""
        self.inputs, self.summary = inputs, list(summary)
        self.asked = gr.Textbox(visible="hidden")  # its change starts a run
        run_names = [gr.State() for _ in self.players]
        outputs = [*self.players, *self.summary, *run_names]
        triggers = [*triggers, self.asked.change]
        return self.runner.connect(self.name, triggers, self.run, inputs, outputs, self.players, run_names, stop)

    def run(self, *inputs) -> Iterator[tuple]:
        """Answers the button."""
        for runs in self.runner.play(*self.prepare(*inputs)):
            yield *(run.value() for run in runs), *self.summarize(runs), *(run.name for run in runs)

    def record_first_run(self) -> None:
        """
        Runs what the fields hold at first, for the player to show when the page opens. The player stays empty if the first
        values do not suit the model, such as a length beyond its context.
        """
        with contextlib.suppress(ValueError):
            tasks, abouts = self.prepare(*(field.value for field in self.inputs.values()))
            *_, runs = self.runner.play(tasks, [about | {"recorded": "opening"} for about in abouts])
            for player, run in zip(self.players, runs, strict=True):
                self.runner.archive.pin(run)
                player.value = run.value()

    def read_fields(self, query: Mapping[str, str]) -> dict:
        """
        The values that a link gives the fields. A value that a field cannot hold changes nothing. The players become empty,
        because they show a run of other values.
        """
        values = {}
        if "model" in self.inputs and query.get("model") in self.runner.models.names:
            values[self.inputs["model"]] = query["model"]
        for name, (field, kind) in self.linked.items():
            value = read_value(query[name], kind) if name in query else None
            if value is not None and can_hold(field, value):
                values[field] = value
        return values | dict.fromkeys(self.players if values else [])

    def open_run(self, query: Mapping[str, str], values: dict) -> dict:
        """
        The run of a link whose fields have these values, or the request to make it again. Raises a `ValueError` if the run is
        damaged, or if its model is not offered.
        """
        if "run" not in query and query.get("play") != "1":
            return {}
        if "model" in self.inputs and "model" in query and query["model"] not in self.runner.models.names:
            raise ValueError(f"this page does not offer the model of the link, {query['model'][:80]!r}.")
        if "run" in query and self.card(values.get(self.inputs.get("model"))).is_small:
            tasks, abouts = self.prepare(*(values.get(field, field.value) for field in self.inputs.values()))
            runs = self.runner.replay(query["run"], tasks, abouts)
            shown = [*(run.value() for run in runs), *self.summarize(runs)]
            return dict(zip([*self.players, *self.summary], shown, strict=True))
        return {self.asked: secrets.token_hex(4)}

    @property
    def linkable(self) -> list[gr.components.Component]:
        """The components that a link may set."""
        return [*(field for field, _ in self.linked.values()), *self.players, *self.summary, self.asked]

    def card(self, name: str | None = None):
        """The card of the model of the tab, or of the one that a link names; by default the first one."""
        return self.runner.models.card(self.own_model or name or self.runner.models.names[0])
