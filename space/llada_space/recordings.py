# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Recordings of runs: what the page gets while a run goes on, and what can be exported after it."""

import json
import secrets
import threading
import zlib
from collections import OrderedDict

import torch

from modeling_llada.drawing import picture_of, recording_to_dict
from modeling_llada.streaming import CanvasFrame, TokenReader
from modeling_llada.streaming.records import VERSION, apply_changes

from .running import Task, start_of


class Recording:
    """
    One run, as it arrives.

    Args:
        task ([`Task`]):
            What runs.
        model ([`LLaDAForMaskedLM`]):
            Its model.
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of its model.
        about (`dict`):
            What the page shows around it: `title`, `link`, `columns`.
    """

    def __init__(self, task: Task, model, tokenizer, about: dict) -> None:
        self.name = secrets.token_urlsafe(12)
        self.task = task
        self.about = about
        self.status = "running"
        self.cost: dict | None = None
        self._head = start_of(task, model)
        self._changes: list[dict] = []
        tokens = torch.tensor(self._head["tokens"])
        reader = TokenReader(tokenizer, self._head["mask_token_id"])
        self._frame = CanvasFrame.start(tokens, torch.zeros_like(tokens).bool(), self._head["prompt_length"], reader)
        self.pictures = [picture_of(self._frame)]

    def add(self, event: dict | None) -> None:
        """Takes what the run yields; `None` when it has ended before."""
        if event is None:
            return
        if "cost" in event:
            self.cost, self.status = event["cost"], "done"
            return
        self._changes.append(event)
        self._frame = apply_changes(self._frame, event)
        self.pictures.append(picture_of(self._frame, self.pictures[-1]))

    def text(self, mask: str = "") -> str:
        """The whole text so far."""
        return self._frame.text(mask=mask)

    def answer(self, mask: str = "") -> str:
        """What stands behind the prompt."""
        cells = self.pictures[-1].cells[self._frame.prompt_length :]
        return "".join(mask if cell.state == "mask" else "" if cell.is_special else cell.text for cell in cells)

    def value(self) -> dict:
        """What the player of the page gets: the newest picture, or all of them when the run is over."""
        value = {
            "run": self.name,
            "status": self.status,
            "cost": describe_cost(self.cost, self.settings),
            **self.about,
        }
        if self.status == "running":
            return value | {"picture": self.pictures[-1].to_dict()}
        return value | {"recording": recording_to_dict(self.pictures)}

    @property
    def settings(self) -> dict:
        """Model, seed and the options that are on."""
        options = {name: value for name, value in self.task.options.items() if value is not None}
        return {"model": self.task.model, "seed": self.task.seed, **options}

    def record(self) -> dict:
        """The run as `DenoisingRecord.from_dict` takes it, and how it came about."""
        record = {"version": VERSION, **self._head, "frames": self._changes}
        return record | {"status": self.status, "settings": self.settings, "cost": self.cost, "text": self.text()}


def describe_cost(cost: dict | None, settings: dict) -> list[list[str]]:
    """The cost in words: pairs of a number and its name."""
    if cost is None:
        return []
    is_random = settings.get("temperature", 0) > 0 or settings.get("remasking") == "random"
    pairs = [
        [str(cost["passes"]), "forward pass" if cost["passes"] == 1 else "forward passes"],
        [str(cost["tokens"]), "tokens"],
        [f"{cost['tokens_per_pass']:.2f}", "tokens per pass"],
        [f"{cost['seconds']:.2f}", "seconds"],
    ]
    return [*pairs, [str(settings["seed"]), "seed"]] if is_random else pairs


class Archive:
    """
    The last runs, each under a name that cannot be guessed, in as little memory as they need.

    Args:
        size (`int`, *optional*, defaults to 64):
            How many are kept.
    """

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self._kept: OrderedDict[str, tuple[bytes, str, dict]] = OrderedDict()
        self._open: dict[str, Recording] = {}
        self._lock = threading.Lock()

    def open(self, recording: Recording) -> None:
        """Makes a run known that has begun."""
        with self._lock:
            self._open[recording.name] = recording

    def close(self, recording: Recording) -> None:
        """Keeps a run that is over. One that was left in the middle counts as stopped."""
        with self._lock:
            if self._open.pop(recording.name, None) is None:
                return
            if recording.status == "running":
                recording.status = "stopped"
            packed = zlib.compress(json.dumps(recording.record(), ensure_ascii=False).encode())
            self._kept[recording.name] = (packed, recording.task.model, recording.about)
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)

    def find_open(self, name: str) -> Recording | None:
        """A run that goes on."""
        with self._lock:
            return self._open.get(name)

    def read(self, name: str) -> tuple[dict, str, dict]:
        """
        A run that is over: its record, the name of its model, and what the page shows around it.

        Raises:
            `ValueError`: if it is not kept any more.
        """
        with self._lock:
            if name not in self._kept:
                raise ValueError("this run is no longer kept here: run it again.")
            packed, model, about = self._kept[name]
        return json.loads(zlib.decompress(packed)), model, about
