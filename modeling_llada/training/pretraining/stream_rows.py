# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Training rows from a `datasets.IterableDataset`, packed while it is read.

The shards of the dataset are read as a fixed number of streams, each of which fills the same rows of every step. A process
reads the streams of its rows. So a step does not depend on the number of processes; more processes than streams read some
streams several times.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from transformers.utils import logging

from ...writing import write_atomically
from .batches import STEPS_AHEAD
from .rows import RowEntry, check_ids


logger = logging.get_logger(__name__)

FOLDER = "streams"  # in a checkpoint


class StreamRows:
    """
    Rows of a dataset that can only be read from its beginning.

    Args:
        dataset ([`~datasets.IterableDataset`]):
            Documents: a column `input_ids`, without special tokens, or a column `text`.
        entry ([`RowEntry`]):
            The rows: `windows` of the run `BOS text EOS BOS text EOS ...`, or `documents`, `text EOS` cut to rows of their
            own and filled up with EOS.
        bos_token_id (`int`), eos_token_id (`int`), vocab_size (`int`):
            Of the model.
        tokenizer ([`PreTrainedTokenizerBase`], *optional*):
            Encodes the column `text`.

    Raises:
        `ValueError`: if the dataset has neither column, or has texts and there is no tokenizer.
    """

    def __init__(
        self, dataset, entry: RowEntry, *, bos_token_id: int, eos_token_id: int, vocab_size: int, tokenizer=None
    ):
        self.dataset, self.entries = tokenized(dataset, tokenizer), [entry]
        self.bos_token_id, self.eos_token_id, self.vocab_size = bos_token_id, eos_token_id, vocab_size
        self.streams: dict[int, Stream] = {}
        self.states: dict[int, dict[int, dict]] = {}  # of streams, by the step that they have reached
        self.reached = 0
        self.checkpoint: Path | None = None

    def entry_at(self, step: int, max_steps: int, seed: int) -> RowEntry:
        return self.entries[0]

    def read(self, entry: RowEntry, step: int, count: int, own: slice) -> np.ndarray:
        """The rows `own` of the `count` rows of a step. Steps are read one after the other."""
        if step != self.reached:  # as at the beginning of each training
            self.streams = {}
        num_streams = math.gcd(self.dataset.num_shards, count)
        part, rows, states = count // num_streams, [], {}
        for number in range(own.start // part, (own.stop - 1) // part + 1):
            if number not in self.streams:
                self.streams[number] = self._open(number, num_streams, step, part)
            first = number * part
            taken = self._take(self.streams[number], part, step)
            rows.append(taken[max(own.start - first, 0) : own.stop - first])
            states[number] = self.streams[number].state() | {"step": step + 1, "num_streams": num_streams}
        self.reached = step + 1
        self.states[step + 1] = states
        self.states.pop(step - 2 * STEPS_AHEAD, None)
        return np.concatenate(rows)

    def save(self, checkpoint: str | Path, step: int) -> None:
        """Writes how far the streams of this process have been read before a step."""
        for number, state in self.states.get(step, {}).items():
            path = Path(checkpoint, FOLDER, f"{number:05d}.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(state))

    def resume(self, checkpoint: str | Path) -> None:
        """Goes on where `save` left the streams."""
        self.checkpoint = Path(checkpoint, FOLDER)

    def _open(self, number: int, num_streams: int, step: int, part: int) -> "Stream":
        # A new dataset also for one stream: it keeps the state that it is given.
        stream = Stream(self.dataset.shard(num_streams, number), self._packed, self.entries[0].width)
        state = self._saved(number)
        if state is None or state["step"] != step:
            if step:
                logger.warning(
                    f"The state of stream {number} is not in the checkpoint: its first {step} steps are read again."
                )
            for skipped in range(step):
                self._take(stream, part, skipped)
        elif state["num_streams"] != num_streams:
            raise ValueError(
                "`tokens_per_step` and `train_dataset` must be those of the checkpoint, whose rows came from "
                f"{state['num_streams']} streams, but they make {num_streams}."
            )
        else:
            stream.load(state)
        return stream

    def _saved(self, number: int) -> dict | None:
        path = None if self.checkpoint is None else self.checkpoint / f"{number:05d}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else None

    def _take(self, stream: "Stream", count: int, step: int) -> np.ndarray:
        try:
            return stream.take(count)
        except StopIteration:
            if step == 0 and next(iter(stream.dataset), None) is None:
                raise ValueError(
                    f"`train_dataset` must have documents in each of its {self.dataset.num_shards:,} shards, but one has none, "
                    "perhaps after `filter`. Leave out its files."
                ) from None
            raise ValueError(
                f"`train_dataset` ended in step {step + 1:,}, before `max_steps`. Make it endless with "
                f"`train_dataset.repeat(None)`, or continue the last checkpoint with `max_steps={step}`."
            ) from None

    def _packed(self, document: dict) -> np.ndarray:
        """A document with its special tokens; of `documents`, filled up to whole rows."""
        ids, entry = np.asarray(document["input_ids"]), self.entries[0]
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(
                "`input_ids` of `train_dataset` must be the list of the ids of a document, but got "
                f"{str(document['input_ids'])[:50]}. Leave out such rows with `train_dataset.filter`."
            )
        ids = ids.astype(np.int64)
        if ids.size:
            check_ids(ids, self.vocab_size, "train_dataset")
        if entry.kind == "windows":
            return np.concatenate([[self.bos_token_id], ids, [self.eos_token_id]])
        return np.pad(ids, (0, entry.width - len(ids) % entry.width), constant_values=self.eos_token_id)


class Stream:
    """The documents of some shards, and the tokens that are left of the last one."""

    def __init__(self, dataset, packed: Callable[[dict], np.ndarray], width: int):
        self.dataset, self.packed, self.width = dataset, packed, width
        self.left = np.zeros(0, np.int64)
        self.documents = None

    def take(self, count: int) -> np.ndarray:
        """The next rows. Raises `StopIteration` if the dataset ends."""
        self.documents = self.documents or iter(self.dataset)
        pieces, missing = [self.left], count * self.width - len(self.left)
        while missing > 0:
            pieces.append(self.packed(next(self.documents)))
            missing -= len(pieces[-1])
        run = np.concatenate(pieces)
        taken, self.left = np.split(run, [count * self.width])
        return taken.reshape(count, self.width)

    def state(self) -> dict:
        return {"dataset": self.dataset.state_dict(), "left": self.left.tolist()}

    def load(self, state: dict) -> None:
        self.dataset.load_state_dict(state["dataset"])
        self.left = np.array(state["left"], np.int64)


def tokenized(dataset, tokenizer):
    """The dataset with a column `input_ids`."""
    first = next(iter(dataset), None)
    if first is None:
        raise ValueError("`train_dataset` must have documents, but it is empty.")
    if "input_ids" in first:
        return dataset
    if "text" not in first:
        raise ValueError(f"`train_dataset` must have a column `input_ids` or `text`, but has {', '.join(first)}.")
    if tokenizer is None:
        raise ValueError("`processing_class` must be the tokenizer of the model, because `train_dataset` has texts.")

    def encode(rows: dict) -> dict:
        if others := [text for text in rows["text"] if not isinstance(text, str)]:
            raise ValueError(
                f"`text` of `train_dataset` must be a text in each row, but got {others[0]!r}. Leave out such rows with "
                "`train_dataset.filter`."
            )
        # The text of a special token is text like any other.
        return {"input_ids": tokenizer(rows["text"], add_special_tokens=False, split_special_tokens=True)["input_ids"]}

    return dataset.map(encode, batched=True, remove_columns=list(first))
