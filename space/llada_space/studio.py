# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""What all tabs share: the models, the runs, and how a run becomes updates of the page."""

import base64
import html
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr

from modeling_llada.drawing import pictures_of, recording_to_dict
from modeling_llada.streaming import DenoisingRecord

from .exports import export
from .models import ModelCard, Models
from .options import choose_seed, name_settings, read_options
from .prompts import encode
from .recordings import Archive, Recording, describe_cost
from .running import Task, run_together


MODEL_QUEUE = {"concurrency_limit": 1, "concurrency_id": "model"}  # one run at a time, whatever the tab


@dataclass(frozen=True)
class Wish:
    """
    What the fields of a tab ask for: a model, and how it decodes.

    Args:
        card ([`ModelCard`]):
            The card of the model.
        network ([`LLaDAForMaskedLM`]):
            The model.
        tokenizer (`PreTrainedTokenizerBase`):
            Its tokenizer.
        values (`dict`):
            What the fields of the options hold.
        options (`dict`):
            The same as options of `generate`.
        seed (`int`):
            The seed, chosen where the field leaves it open.
    """

    card: ModelCard
    network: object
    tokenizer: object
    values: dict
    options: dict
    seed: int

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of a text, see `prompts.encode`."""
        return encode(text, self.network, self.tokenizer, self.card)

    def task(self, input_ids: tuple[int, ...], **changes) -> Task:
        """The task to do so with a prompt; `changes` are options that the tab decides."""
        return Task(self.card.name, input_ids, self.options | changes, self.seed)

    def label(self, task: Task) -> str:
        """What the settings of its task are called."""
        length = task.options.get("max_new_tokens", 0)
        return name_settings(self.values | ({"max_new_tokens": length} if length else {}), self.card)


class Studio:
    """
    Runs tasks for the tabs.

    Args:
        models ([`Models`]):
            The models of the allow-list.
        on_gpu (`Callable`, *optional*):
            Decorates the generator that does the work: `spaces.GPU` on ZeroGPU.
    """

    def __init__(self, models: Models, on_gpu=lambda function: function) -> None:
        self.models = models
        self.archive = Archive()
        self._stream = on_gpu(self._work)
        self._exporting = threading.Semaphore(1)

    def read(self, card: ModelCard, values: dict, seed) -> Wish:
        """
        Reads the fields of a tab, and loads the model.

        Raises:
            `ValueError`: with the reason, if they hold what is not allowed, or the model cannot be had.
        """
        options, seed = read_options(values, card.max_new_tokens), choose_seed(seed)
        return Wish(card, *self.models.load(card.name), values, options, seed)

    def _work(self, tasks: list[Task]) -> Iterator[tuple]:
        yield from run_together(tasks, self.models.load)

    def play(self, tasks: list[Task], abouts: list[dict]) -> Iterator[list[Recording]]:
        """
        Runs tasks in step.

        Args:
            tasks (`list[Task]`):
                The tasks.
            abouts (`list[dict]`):
                What the page shows around each.

        Yields:
            `list[Recording]`: the recordings at the start and after each step. Their last state has all of each.

        Raises:
            `ValueError`: with the reason, if the model refuses a task.
        """
        recordings = [
            Recording(task, *self.models.load(task.model), about) for task, about in zip(tasks, abouts, strict=True)
        ]
        for recording in recordings:
            self.archive.open(recording)
        try:
            yield recordings  # all masks, before a device is there and the first step is made
            for events in self._stream(tasks):
                for recording, event in zip(recordings, events, strict=True):
                    recording.add(event)
                yield recordings
        except Exception:  # out of memory among them: the page must not wait for ever
            for recording in recordings:
                recording.status = "stopped"
            yield recordings
            raise
        finally:
            for recording in recordings:
                self.archive.close(recording)

    def play_one(self, task: Task, about: dict) -> Iterator[tuple[dict, str]]:
        """Runs one task. Yields what its player gets, and the name of the run, which stops it."""
        for [recording] in self.play([task], [about]):
            yield recording.value(), recording.name

    def stop(self, name: str | None) -> dict:
        """
        Ends the books of a run whose event was cancelled.

        Args:
            name (`str`, *optional*):
                The run.

        Returns:
            `dict`: What its player gets, or an update that changes nothing where there is no such run. A run that was
            over gives its result once more: the page may have missed it, and ignores it otherwise.
        """
        recording = self.archive.find_open(name) if name else None
        if recording is not None:
            self.archive.close(recording)
        try:
            record, model, about = self.archive.read(name)
        except ValueError:
            return gr.skip()
        frames = DenoisingRecord.from_dict(record, self.models.tokenizer(model)).frames
        cost = describe_cost(record["cost"], record["settings"])
        value = {"run": name, "status": record["status"], "cost": cost}
        return value | {"recording": recording_to_dict(pictures_of(frames))} | about

    def stop_all(self, *names: str | None) -> list[dict]:
        """`stop` for the runs of several players."""
        return [self.stop(name) for name in names]

    def save_run(self, request: dict) -> dict:
        """Answers the export buttons of a player: a file in base64, or an `error`."""
        try:
            if not isinstance(request, dict):
                raise ValueError("a run and a format are needed.")
            record, model, about = self.archive.read(str(request.get("run")))
            with self._exporting:
                name, media_type, content = export(record, self.models.tokenizer(model), about, request.get("format"))
        except ValueError as error:
            return {"error": f"The export failed: {error}"}
        return {"name": name, "type": media_type, "data": base64.b64encode(content).decode()}


def toast(error: Exception) -> gr.Error:
    """An error of the user as a message of the page, which would take what it quotes for HTML."""
    text = str(error)
    return gr.Error(
        html.escape(text[:1].upper() + text[1:], quote=False),
        duration=10,
        print_exception=False,
        title="That does not work",
    )
