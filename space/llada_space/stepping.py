# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Calls of `generate` that make a step only when the page asks for one, so that a closed tab ends the computation."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

import torch

from modeling_llada.streaming import CanvasFrame, CanvasIteratorStreamer, GenerationStopped
from modeling_llada.streaming.records import frame_changes

from .patterns import compile_pattern


IDLE_SECONDS = 60.0  # a run ends if nobody asks for its next step for so long


@dataclass(frozen=True)
class Task:
    """A call of `generate`. Its values can be sent to another process."""

    model: str
    input_ids: tuple[int, ...]
    options: dict
    seed: int
    pictures: dict[str, torch.Tensor] = field(default_factory=dict)  # what stands at the image tokens
    pattern: str = ""  # a regular expression for the answer


class SteppedStreamer(CanvasIteratorStreamer):
    """A streamer that makes `generate` wait for `ask` before each step, and counts the `seconds` of its work."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.seconds = 0.0
        self._asked = threading.Semaphore(0)
        self._resumed_at = 0.0

    def start(self, generate: Callable, **kwargs) -> "SteppedStreamer":
        self._resumed_at = time.perf_counter()
        return super().start(generate, **kwargs)

    def on_frame(self, frame: CanvasFrame) -> None:
        self.seconds += time.perf_counter() - self._resumed_at
        super().on_frame(frame)
        if not frame.is_final and not self._asked.acquire(timeout=IDLE_SECONDS):
            raise GenerationStopped
        self._resumed_at = time.perf_counter()

    def ask(self) -> None:
        """Asks for the next step."""
        self._asked.release()

    def close(self) -> None:
        """Ends the call at its next step."""
        super().close()
        self.ask()


def denoise(task: Task, load: Callable[[str], tuple]) -> Iterator[dict]:
    """
    Runs a task step by step. Yields the changes of each step, as in a [`DenoisingRecord`] that begins with
    `start_of`, and then the `cost`.
    """
    model, tokenizer = load(task.model)
    eos_token_id = model.generation_config.eos_token_id if task.options.get("stop_at_eos", True) else []
    streamer = SteppedStreamer(tokenizer, model.config.mask_token_id, eos_token_id=eos_token_id)
    input_ids = torch.tensor([task.input_ids], device=model.device)
    frames = iter(
        streamer.start(
            model.generate,
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            **{name: value.to(model.device) for name, value in task.pictures.items()},
            constraint=compile_pattern(task.pattern, tokenizer),
            generator=torch.Generator(model.device).manual_seed(task.seed),
            return_dict_in_generate=True,
            output_trajectory=True,
            **task.options,
        )
    )
    before = None
    try:
        for frame in frames:
            if before is not None:
                yield frame_changes(before, frame)
            before = frame
            streamer.ask()
    finally:
        streamer.close()
    if streamer.output is not None:
        yield {"cost": cost_of(streamer.output, streamer.seconds)}


def start_of(task: Task, model) -> dict:
    """The beginning of the [`DenoisingRecord`] of a task: the prompt, and the masks after it."""
    count = task.options.get("max_new_tokens", model.generation_config.max_new_tokens)
    tokens = [*task.input_ids, *[model.config.mask_token_id] * count]
    return {
        "mask_token_id": model.config.mask_token_id,
        "prompt_length": len(task.input_ids),
        "tokens": [tokens],
        "is_padding": [[0] * len(tokens)],
    }


def cost_of(output, seconds: float) -> dict:
    """The cost of a run."""
    return {
        "tokens": int((output.trajectory[0] >= 0).sum()),
        "passes": int(output.num_forward_passes[0]),
        "tokens_per_pass": round(float(output.tokens_per_forward[0]), 2),
        "seconds": round(seconds, 3),
    }


def run_together(tasks: list[Task], load: Callable[[str], tuple]) -> Iterator[tuple[dict | None, ...]]:
    """
    Runs tasks in lockstep. They take turns, so that each step has the machine for itself. Yields the next event of
    each task, `None` for tasks that have ended.
    """
    runs = [denoise(task, load) for task in tasks]
    try:
        yield from zip_longest(*runs)
    finally:
        for run in runs:
            run.close()
