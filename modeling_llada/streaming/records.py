# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Records: all frames of a call, to draw, save and replay them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from ..models.options_llada import check_bool, check_class, check_integer
from ..reading import read_json
from ..writing import write_atomically
from .frames import CanvasFrame, TokenReader, TokenState, no_top_probabilities, no_top_tokens


VERSION = 1
check_token = partial(check_integer, minimum=0, maximum=2**31 - 1)


@dataclass(eq=False)
class DenoisingRecord:
    """
    The frames of one call of `generate`: the start, each denoising step, and the result.

    Args:
        frames (`list[CanvasFrame]`):
            The frames, in order.

    Example:

    ```python
    >>> from modeling_llada.streaming import RecordingStreamer

    >>> streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
    >>> output = model.generate(**inputs, streamer=streamer)
    >>> streamer.record.save("record.json")
    ```
    """

    frames: list[CanvasFrame]

    @classmethod
    def from_output(
        cls,
        output: ModelOutput,
        input_ids: torch.LongTensor,
        tokenizer: PreTrainedTokenizerBase,
        mask_token_id: int,
        attention_mask: torch.Tensor | None = None,
    ) -> "DenoisingRecord":
        """
        Makes a record from the trajectory of a call, without a streamer.

        Such a record has no `top_tokens`. Tokens that were committed behind the end of the completion are masks in it
        until the last frame, and so are tokens that an edit changed later. Each row counts its own steps, and rows of a batch
        may reach a step at different times.

        Args:
            output ([`LLaDAGenerationOutput`]):
                The output of `generate` with `return_dict_in_generate=True, output_trajectory=True`.
            input_ids (`torch.LongTensor` of shape `(batch, prompt_length)`):
                The prompts of the call.
            tokenizer (`PreTrainedTokenizerBase`):
                The tokenizer of the model.
            mask_token_id (`int`):
                The mask token of the model.
            attention_mask (`torch.Tensor` of shape `(batch, prompt_length)`, *optional*):
                0 for the padding of the prompts. By default there is no padding.

        Returns:
            [`DenoisingRecord`]: The record of all rows.

        Raises:
            `ValueError`: if the output has no trajectory.
        """
        if getattr(output, "trajectory", None) is None:
            raise ValueError(
                "`output` must have a trajectory: call `generate` with `return_dict_in_generate=True, "
                "output_trajectory=True`."
            )
        steps, confidence = (tensor.cpu() for tensor in output.trajectory)
        sequences = output.sequences.cpu()
        repeats = len(sequences) // len(input_ids)
        prompt = input_ids.cpu().repeat_interleave(repeats, dim=0)
        prompt_length = prompt.shape[1]
        is_padding = torch.zeros(sequences.shape, dtype=torch.bool)
        if attention_mask is not None:
            is_padding[:, :prompt_length] = attention_mask.cpu().repeat_interleave(repeats, dim=0) == 0

        start = torch.full_like(sequences, mask_token_id)
        start[:, :prompt_length] = prompt
        frames = [CanvasFrame.start(start, is_padding, prompt_length, TokenReader(tokenizer, mask_token_id))]
        for step in range(int(steps.max()) + 1):
            is_known = (steps >= 0) & (steps <= step)
            tokens = torch.where(is_known, sequences, start)
            frames.append(frames[-1].advance(step, tokens, confidence.masked_fill(~is_known, torch.nan)))
        frames.append(frames[-1].advance(frames[-1].step, sequences, confidence, is_final=True))
        return cls(frames)

    def to_dict(self) -> dict:
        """
        The record for `json.dumps`: the first frame, and the changes of each other one.

        Raises:
            `ValueError`: if the record is empty.
        """
        if not self.frames:
            raise ValueError("the record is empty. Call `generate` with the `RecordingStreamer` first.")
        first = self.frames[0]
        return {
            "version": VERSION,
            "mask_token_id": first.reader.mask_token_id,
            "prompt_length": first.prompt_length,
            "tokens": first.tokens.tolist(),
            "is_padding": (first.states == TokenState.PAD).int().tolist(),
            "frames": [frame_changes(*pair) for pair in zip(self.frames, self.frames[1:], strict=False)],
        }

    @classmethod
    def from_dict(cls, values: dict, tokenizer: PreTrainedTokenizerBase) -> "DenoisingRecord":
        """
        The record that `to_dict` described.

        Raises:
            `ValueError`: if `values` is not a record, or one of another version, or if a field cannot be. It names the
                field, as in `frames[2]['changes'][0]`.
        """
        if not isinstance(values, dict) or values.get("version") != VERSION:
            raise ValueError(
                f"`values` must be a denoising record of version {VERSION}, as `DenoisingRecord.save` writes it. Record it again."
            )
        tokens = read_rows("tokens", values.get("tokens"), check_token)
        is_padding = read_rows("is_padding", values.get("is_padding"), partial(check_integer, minimum=0, maximum=1))
        if is_padding.shape != tokens.shape:
            raise ValueError(
                f"`is_padding` must have the shape of `tokens`, {tuple(tokens.shape)}, as `save` writes it."
            )
        prompt_length, mask_token_id = values.get("prompt_length"), values.get("mask_token_id")
        check_integer("prompt_length", prompt_length, minimum=0, maximum=tokens.shape[1])
        check_token("mask_token_id", mask_token_id)
        frames = [CanvasFrame.start(tokens, is_padding.bool(), prompt_length, TokenReader(tokenizer, mask_token_id))]
        for number, changes in enumerate(check_class("frames", values.get("frames"), list)):
            frames.append(apply_changes(f"frames[{number}]", frames[-1], changes))
        return cls(frames)

    def save(self, path: str | Path) -> None:
        """Writes the record as a JSON file."""
        write_atomically(path, json.dumps(self.to_dict(), separators=(",", ":")) + "\n")

    @classmethod
    def load(cls, path: str | Path, tokenizer: PreTrainedTokenizerBase) -> "DenoisingRecord":
        """
        Reads a record that `save` wrote.

        Args:
            path (`str` or `Path`):
                The file.
            tokenizer (`PreTrainedTokenizerBase`):
                The tokenizer of the recorded model. The file holds token ids.

        Raises:
            `ValueError`: if the file is not a record.
        """
        values = read_json(path, dict)
        try:
            return cls.from_dict(values, tokenizer)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error


def frame_changes(before: CanvasFrame, after: CanvasFrame) -> dict:
    """The differences of two frames for `json.dumps`, as lists of `[row, position, ...]`. The states follow from them."""
    both_nan = before.confidence.isnan() & after.confidence.isnan()
    has_changed = (before.tokens != after.tokens) | ((before.confidence != after.confidence) & ~both_nan)
    changes = []
    for row, position in has_changed.nonzero().tolist():
        confidence = after.confidence[row, position].item()
        token = after.tokens[row, position].item()
        changes.append([row, position, token, None if confidence != confidence else confidence])
    predicted = (after.top_tokens[..., 0] >= 0).nonzero().tolist()
    top_tokens = [[row, position, *after.top_tokens[row, position].tolist()] for row, position in predicted]
    known = (~after.top_probabilities[..., 0].isnan()).nonzero().tolist()
    probabilities = [[row, position, *after.top_probabilities[row, position].tolist()] for row, position in known]
    return {
        "step": after.step,
        "is_final": after.is_final,
        "changes": changes,
        "top_tokens": top_tokens,
        "top_probabilities": probabilities,
    }


def apply_changes(name: str, frame: CanvasFrame, values: dict) -> CanvasFrame:
    """The inverse of `frame_changes`. The field `name` has the changes."""
    check_class(name, values, dict)
    step, is_final = values.get("step"), values.get("is_final")
    check_integer(f"{name}['step']", step, minimum=-1, maximum=2**31 - 1)
    check_bool(f"{name}['is_final']", is_final)
    read = partial(read_entries, name, values, frame.tokens.shape)
    tokens, confidence = frame.tokens.clone(), frame.confidence.clone()
    for row, position, token, value in read("changes", check_token, check_confidence):
        tokens[row, position] = token
        confidence[row, position] = torch.nan if value is None else float(value)
    top_tokens = no_top_tokens(tokens)
    for row, position, *best in read("top_tokens", *[partial(check_integer, minimum=-1, maximum=2**31 - 1)] * 3):
        top_tokens[row, position] = torch.tensor(best)
    probabilities = no_top_probabilities(tokens)
    values.setdefault("top_probabilities", [])  # older records have none
    for row, position, *best in read("top_probabilities", *[check_probability] * 3):
        probabilities[row, position] = torch.tensor(best)
    return frame.advance(step, tokens, confidence, top_tokens, is_final, probabilities)


def read_rows(name: str, values: Any, check: Callable[[str, Any], None]) -> torch.LongTensor:
    """A tensor from a list of rows of one length."""
    rows = [check_class(f"{name}[{number}]", row, list) for number, row in enumerate(check_class(name, values, list))]
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError(
            f"`{name}` must be a list of rows of one length, but got lengths {[len(row) for row in rows]}."
        )
    for number, row in enumerate(rows):
        for value in row:
            check(f"{name}[{number}]", value)
    return torch.tensor(rows)


def read_entries(name: str, values: dict, shape: torch.Size, field: str, *checks: Callable[[str, Any], None]) -> list:
    """The entries `[row, position, ...]` of a field, with a check for each further value."""
    name = f"{name}['{field}']"
    checks = [partial(check_integer, minimum=0, maximum=size - 1) for size in shape] + list(checks)
    for number, entry in enumerate(check_class(name, values.get(field), list)):
        if len(check_class(f"{name}[{number}]", entry, list)) != len(checks):
            raise ValueError(f"`{name}[{number}]` must have {len(checks)} values, but got {entry!r}.")
        for check, value in zip(checks, entry, strict=True):
            check(f"{name}[{number}]", value)
    return values[field]


def check_confidence(name: str, value: Any) -> None:
    """`None` stands for a position without a confidence. A strategy may give any number."""
    if value is not None:
        check_float(name, value)


def check_float(name: str, value: Any) -> None:
    """A number in float32, also an infinite one or NaN."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or 3.5e38 < abs(value) < float("inf"):
        raise ValueError(f"`{name}` must hold numbers, but got {value!r}.")


def check_probability(name: str, value: Any) -> None:
    """NaN stands for a token that was excluded."""
    check_float(name, value)
    if not (value != value or 0 <= value <= 1.001):
        raise ValueError(f"`{name}` must hold probabilities, but got {value!r}.")
