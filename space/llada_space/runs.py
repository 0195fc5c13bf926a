# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The runs of the Space: the values for the page during a run, and the kept runs for exports."""

import json
import secrets
import threading
import zlib
from collections import OrderedDict

import torch

from modeling_llada.drawing import picture_of, recording_to_dict
from modeling_llada.streaming import CanvasFrame, TokenReader
from modeling_llada.streaming.records import VERSION, apply_changes

from .stepping import Task, start_of


class Run:
    """One run and its steps so far. `about` has the `title`, `link`, `label` and `columns` for the page."""

    def __init__(self, task: Task, model, tokenizer, about: dict) -> None:
        self.name = secrets.token_urlsafe(12)
        self.task = task
        self.about = about
        self.status = "running"
        self.cost: dict | None = None
        self._head = start_of(task, model)
        self.steps: list[dict] = []
        self.num_tokens = model.config.vocab_size
        tokens = torch.tensor(self._head["tokens"])
        reader = TokenReader(tokenizer, self._head["mask_token_id"])
        self._frame = CanvasFrame.start(tokens, torch.zeros_like(tokens).bool(), self._head["prompt_length"], reader)
        self.pictures = [picture_of(self._frame)]

    def add(self, event: dict | None) -> None:
        """Adds an event of the run. `None` means that the run has ended already."""
        if event is None:
            return
        if "cost" in event:
            self.cost, self.status = event["cost"], "done"
            return
        self.steps.append(event)
        self._frame = apply_changes("event", self._frame, event)
        self.pictures.append(picture_of(self._frame, self.pictures[-1]))

    @property
    def num_masks(self) -> int:
        """The masks of the canvas at the start."""
        return sum(cell.state == "mask" for cell in self.pictures[0].cells)

    def is_mask(self, position) -> bool:
        """Whether a position of the canvas was a mask at the start."""
        cells = self.pictures[0].cells
        return type(position) is int and 0 <= position < len(cells) and cells[position].state == "mask"

    def text(self, mask: str = "") -> str:
        """The whole text so far, with a string for each mask."""
        return self._frame.text(mask=mask)

    def answer(self, mask: str = "") -> str:
        """The text after the prompt, with a string for each mask."""
        cells = self.pictures[-1].cells[self._frame.prompt_length :]
        return "".join(mask if cell.state == "mask" else "" if cell.is_special else cell.text for cell in cells)

    def value(self) -> dict:
        """The value for the player: the newest picture during the run, and all pictures after it."""
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
        """The model, the seed, and the options that are set."""
        options = {name: value for name, value in self.task.options.items() if value is not None}
        pattern = {"pattern": self.task.pattern} if self.task.pattern else {}
        return {"model": self.task.model, "seed": self.task.seed, **pattern, **options}

    def record(self) -> dict:
        """The run for `DenoisingRecord.from_dict`, with its settings and its cost."""
        record = {"version": VERSION, **self._head, "frames": self.steps}
        return record | {"status": self.status, "settings": self.settings, "cost": self.cost, "text": self.text()}


def describe_cost(cost: dict | None, settings: dict) -> list[list[str]]:
    """The cost as pairs of a number and its name."""
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


class RunArchive:
    """Keeps the last runs, compressed, each under a name that cannot be guessed."""

    def __init__(self, size: int = 64) -> None:
        self.size = size
        self._pinned: dict[str, tuple[bytes, str, dict]] = {}
        self._kept: OrderedDict[str, tuple[bytes, str, dict]] = OrderedDict()
        self._open: dict[str, Run] = {}
        self._lock = threading.Lock()

    def open(self, run: Run) -> None:
        """Adds a run that begins."""
        with self._lock:
            self._open[run.name] = run

    def close(self, run: Run) -> None:
        """Keeps a run that is over. A run without a result counts as stopped."""
        with self._lock:
            if self._open.pop(run.name, None) is None:
                return
            if run.status == "running":
                run.status = "stopped"
            packed = zlib.compress(json.dumps(run.record(), ensure_ascii=False).encode())
            self._kept[run.name] = (packed, run.task.model, run.about)
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)

    def pin(self, run: Run) -> None:
        """Keeps a run that is over for as long as the Space runs."""
        self.open(run)
        self.close(run)
        with self._lock:
            self._pinned[run.name] = self._kept.pop(run.name)

    def find_open(self, name: str) -> Run | None:
        """A run that is not over."""
        with self._lock:
            return self._open.get(name)

    def read(self, name: str) -> tuple[dict, str, dict]:
        """
        The record of a run that is over, the name of its model, and its texts for the page. Raises a `ValueError` if
        the run is no longer kept.
        """
        with self._lock:
            kept = self._kept.get(name) or self._pinned.get(name)
        if kept is None:
            raise ValueError("this run is no longer kept here: run it again.")
        packed, model, about = kept
        return json.loads(zlib.decompress(packed)), model, about
