# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Tokenises a corpus of any size into shards (`pretraining/token_shards.py`), and goes on after an interruption."""

import hashlib
import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from ...export.tokenizer import save_tokenizer
from ...reading import read_json
from ...writing import complete_or_absent, fcntl, remove_leftovers, take_lock, write_atomically
from ..pretraining.corpus import special_token_ids
from ..pretraining.token_shard_writing import SplitWriter, write_manifest
from ..pretraining.token_shards import MANIFEST, PROGRESS, TOKENIZER, TokenShards
from .encoding import EMPTY, EncodedBatch, Problem
from .sources import Position, Source, SourceOptions, find_sources, other_files, read_batches
from .tokenizer import SMALLEST, fingerprint_of, load_tokenizer, sample_texts, train_tokenizer
from .workers import Encoders, start_workers


SPLITS = ("train", "validation")
SECONDS_BETWEEN_SAVES = 5
# A process takes seconds to start: fewer of them for little text.
BYTES_A_PROCESS = 4_000_000
NAMED_PLACES = 10  # of the documents that are left out for a reason


class Progress(NamedTuple):
    """How far a run is: what it does, the share of the sources (`None` if their size is unknown), and its tokens."""

    stage: str
    share: float | None = None
    tokens: int = 0


@dataclass
class State:
    """What an interrupted run has done, as its folder remembers it."""

    settings: dict
    position: Position = Position()
    threshold: int | None = None  # of the hashes that are held out
    writers: dict = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)
    left_out: dict = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "State":
        values = read_json(path, dict)
        try:
            values["position"] = Position(*values["position"])
            values["counts"] = Counter(values["counts"])
            return cls(**values)
        except (LookupError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged: {error!r}. Remove the folder {path.parent}, and start again."
            ) from error


def tokenize_corpus(
    sources: list[str | Path],
    output: str | Path,
    tokenizer: str | Path | None = None,
    train_tokenizer: int | None = None,
    text_field: str = "text",
    separator: str | None = None,
    split: str = "train",
    config_name: str | None = None,
    validation: float = 0.01,
    shard_size: int = 100_000_000,
    num_processes: int | None = None,
    skip_bad: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> TokenShards:
    """
    Tokenises documents into a folder of shards. The same call goes on after an interruption, and does nothing if the folder
    is finished. The files depend on the documents and the options alone, not on the number of processes or interruptions.

    With several processes a script needs `if __name__ == "__main__":`, as for all of `multiprocessing`.

    Args:
        sources (`list[str]` or `list[Path]`):
            `.txt`, `.jsonl` and `.parquet` files, folders with such files, folders of `save_to_disk`, and datasets of the Hub.
        output (`str` or `Path`):
            The folder to write.
        tokenizer (`str` or `Path`, *optional*):
            The folder or Hub id of a tokenizer with a mask token, BOS and EOS.
        train_tokenizer (`int`, *optional*):
            The size of a byte-level BPE tokenizer, which is trained on the sources in its place.
        text_field (`str`, *optional*, defaults to `"text"`), separator (`str`, *optional*),
        split (`str`, *optional*, defaults to `"train"`), config_name (`str`, *optional*):
            See [`SourceOptions`].
        validation (`float`, *optional*, defaults to 0.01):
            The share of the documents that are held out, or the number of different ones if it is at least 1, for which the
            sources are read twice. The hash of a text decides, so that equal texts are in the same split.
        shard_size (`int`, *optional*, defaults to 100000000):
            Bytes at which a shard is closed.
        num_processes (`int`, *optional*):
            Processes that encode. By default that of the processors, or fewer for little text.
        skip_bad (`bool`, *optional*, defaults to `False`):
            Whether to leave out documents that cannot be read, and count them, instead of raising an error.
        on_progress (`Callable`, *optional*):
            Is called with a [`Progress`] after each batch.

    Returns:
        [`TokenShards`]: the finished folder. `manifest` counts what was left out.

    Raises:
        `ValueError`: for wrong arguments, a document that cannot be read, or a folder of something else.
        `OSError`: if the folder cannot be written, or a process was killed.

    Example:

    ```python
    >>> from modeling_llada.training import tokenize_corpus

    >>> shards = tokenize_corpus(["books"], "data/tokens", train_tokenizer=16_000)
    >>> shards.splits["train"].num_tokens
    ```
    """
    check_options(sources, tokenizer, train_tokenizer, separator, validation, shard_size, num_processes)
    if separator is not None:
        separator = separator.replace("\r\n", "\n").replace("\r", "\n")  # as the line ends of files
    sources = [str(name) for name in sources]
    options = SourceOptions(text_field, separator, split, config_name)
    output = Path(output).expanduser()
    check_folder(output)
    found = [find_sources(name, options, output) for name in sources]
    files = [file for files in found for file in files]
    check_once([file.name for file in files])
    loaded = None if tokenizer is None else load_tokenizer(tokenizer)
    settings = {
        "sources": [describe(name, files) for name, files in zip(sources, found, strict=True)],
        "tokenizer": None if tokenizer is None else f"{tokenizer} (sha256 {fingerprint_of(loaded)})",
        **{"train_tokenizer": train_tokenizer, **asdict(options)},
        **{"validation": validation if validation < 1 else int(validation), "shard_size": shard_size},
    }
    if not is_finished(output):
        with only_writer(output):
            if not is_finished(output):  # by another process meanwhile
                state = read_state(output, settings) or begin(output, sources, settings)
                run = Run(output, files, state, num_processes, skip_bad, on_progress)
                run.prepare_tokenizer(loaded)
                run.write()
    shards = TokenShards(output)
    check_settings(output, shards.manifest.get("settings"), settings)
    remove_progress(output)
    return shards


def is_finished(output: str | Path) -> bool:
    """Whether a folder is complete, so that `tokenize_corpus` has nothing to do."""
    return (Path(output).expanduser() / MANIFEST).is_file()


def remove_progress(output: Path) -> None:
    """Removes what a finished folder needs no more, also after a run that was killed before it did so."""
    remove_leftovers(output / PROGRESS)
    if (output / PROGRESS).is_file():
        (output / PROGRESS).unlink(missing_ok=True)


def check_options(sources, tokenizer, train_tokenizer, separator, validation, shard_size, num_processes) -> None:
    """Raises a `ValueError` for values that cannot work."""
    if not isinstance(sources, list | tuple) or not sources:
        raise ValueError(f"`sources` must be a list of at least one file, folder or dataset, but got {sources!r}.")
    if (tokenizer is None) == (train_tokenizer is None):
        raise ValueError(
            "give either `tokenizer`, the folder or Hub id of one, or `train_tokenizer`, the size of a new one."
        )
    if train_tokenizer is not None and train_tokenizer < SMALLEST:
        raise ValueError(
            f"`train_tokenizer` must be at least {SMALLEST}, for the bytes and the special tokens, but got {train_tokenizer}."
        )
    if separator == "":
        raise ValueError("`separator` must not be empty. Leave it out if a file is one document.")
    if not 0 <= validation < math.inf or (validation >= 1 and validation != int(validation)):
        raise ValueError(
            f"`validation` must be a share in [0, 1), or a whole number of documents, but got {validation}."
        )
    for name, value in (("shard_size", shard_size), ("num_processes", num_processes)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, but got {value}.")


def check_once(names: list[str]) -> None:
    """Raises a `ValueError` if a file or dataset would be read twice."""
    for name, count in Counter(map(os.path.realpath, names)).items():
        if count > 1:
            raise ValueError(f"`sources` must name a file once, but {name} is in several of them.")


def describe(name: str, files: list[Source]) -> dict:
    """What a source was: the number of its files, their bytes, and a hash of their names, sizes and ends."""
    sizes = [file.num_bytes for file in files]
    listed = json.dumps([[file.name, size, file.fingerprint()] for file, size in zip(files, sizes, strict=True)])
    return {
        "source": str(Path(name)),
        "files": len(files),
        "bytes": None if None in sizes else sum(sizes),
        "sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }


def check_folder(output: Path) -> None:
    """Raises a `ValueError` for a folder of something else."""
    if (output / PROGRESS).is_file() or is_finished(output):
        return
    # A run that was killed while it wrote its first file has left this one under a temporary name.
    is_new = output.is_dir() and all(path.match(f".{PROGRESS}.*.part") for path in output.iterdir())
    if output.exists() and not is_new:
        raise ValueError(
            f"`output` must be new or empty, or a folder that this command began, but {output} is something else. Give another."
        )


def read_state(output: Path, settings: dict) -> State | None:
    """
    What was done in a folder with these settings, if anything was. Raises a `ValueError` for other settings, unless the folder
    has no tokens yet.
    """
    if not (output / PROGRESS).is_file():
        return None
    state = State.read(output / PROGRESS)
    if state.settings != settings and not state.counts["documents"]:
        return None
    check_settings(output, state.settings, settings)
    return state


def begin(output: Path, sources: list[str], settings: dict) -> State:
    """The state of a new run. What a run with other settings has left is removed."""
    shutil.rmtree(output / TOKENIZER, ignore_errors=True)
    for path in output.glob("*.npy*"):
        path.unlink()
    others = [file for name in sources for file in other_files(name, output)]
    left_out = {"another kind of file": {"documents": len(others), "first": others[:NAMED_PLACES]}} if others else {}
    return State(settings, left_out=left_out)


def check_settings(output: Path, before: dict | None, now: dict) -> None:
    """Raises a `ValueError` that names what differs from the settings of a folder."""
    before = before or {}
    names = [name for name in now if before.get(name) != now[name]]
    if names:
        changes = [f"`{name}` was {shown(before.get(name))} and is {shown(now[name])}" for name in names]
        raise ValueError(
            f"{output} was begun with other options: {'; '.join(changes)}. Give the same, or another `output`."
        )


def shown(value) -> str:
    if not isinstance(value, list):
        return repr(value)
    return ", ".join(
        f"{one['source']} ({one['files']} files"
        + (f", {one['bytes']:,} bytes" if one["bytes"] else "")
        + f", sha256 {one['sha256'][:8]})"
        for one in value
    )


@contextmanager
def only_writer(output: Path) -> Iterator[None]:
    """Creates the folder, and keeps other processes of this machine from writing into it."""
    output.mkdir(parents=True, exist_ok=True)
    lock = take_lock(output, wait=False)
    if lock is None and fcntl is not None:
        raise ValueError(f"`output` must not be in use, but another process writes into {output}. Wait for its end.")
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


class Run:
    """One call of `tokenize_corpus`, on a folder whose state is known."""

    def __init__(
        self,
        output: Path,
        sources: list[Source],
        state: State,
        num_processes: int | None,
        skip_bad: bool,
        on_progress: Callable[[Progress], None],
    ):
        self.output, self.sources, self.state = output, sources, state
        self.skip_bad, self.on_progress = skip_bad, on_progress
        sizes = [source.num_bytes for source in sources]
        self.num_bytes = None if None in sizes else sum(sizes)
        self.bytes_before = None if None in sizes else np.cumsum([0, *sizes])
        self.num_processes = num_processes or default_processes(self.num_bytes)
        self.writers: dict[str, SplitWriter] = {}
        self.saved = time.monotonic()

    def prepare_tokenizer(self, tokenizer: PreTrainedTokenizerBase | None) -> None:
        """Puts the tokenizer into the folder, unless it is there: the loaded one, or a new one."""
        if not (self.output / TOKENIZER).is_dir():
            if self.state.counts["documents"]:
                raise ValueError(
                    f"{self.output} has tokens, but its tokenizer is gone. Remove the folder and start again."
                )
            self._save()
            if tokenizer is None:
                self.on_progress(Progress("training the tokenizer"))
                tokenizer = train_tokenizer(sample_texts(self.sources), self.state.settings["train_tokenizer"])
            with complete_or_absent(self.output / TOKENIZER) as partial:
                save_tokenizer(tokenizer, partial, layout="transformers")
        self.tokenizer = load_tokenizer(str(self.output / TOKENIZER))

    def write(self) -> None:
        """Encodes what is left of the sources, and finishes the folder."""
        vocab_size = max(self.tokenizer.get_vocab().values()) + 1
        self.dtype = np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)
        self.writers = {
            name: SplitWriter(
                self.output, name, self.dtype, self.state.settings["shard_size"], self.state.writers.get(name)
            )
            for name in SPLITS
        }
        ids, unk_token_id = special_token_ids(self.tokenizer), self.tokenizer.unk_token_id
        encoder = {
            "tokenizer_file": str(self.output / TOKENIZER / "tokenizer.json"),
            "dtype": self.dtype.name,
            "vocab_size": vocab_size,
            "special_tokens": dict(
                zip(self.tokenizer.all_special_tokens, self.tokenizer.all_special_ids, strict=True)
            ),
            "unk_token_id": None if unk_token_id in ids.values() else unk_token_id,
        }
        try:
            with start_workers(self.num_processes, **encoder) as encoders:
                if self.state.threshold is None:
                    self.state.threshold = self._find_threshold(encoders)
                for end, encoded in encoders(
                    "encode", read_batches(self.sources, self.state.position), self.state.threshold
                ):
                    self._take(end, encoded)
            self._finish(vocab_size)
        finally:
            for writer in self.writers.values():
                writer.abandon()

    def _find_threshold(self, encoders: Encoders) -> int:
        """The hash below which documents are held out."""
        validation = self.state.settings["validation"]
        if validation < 1:
            return int(validation * 2**64)
        smallest = np.empty(0, np.uint64)
        for end, hashes in encoders("hashes", read_batches(self.sources)):
            smallest = np.unique(np.concatenate([smallest, hashes]))[: validation + 1]
            self.on_progress(Progress("choosing what to hold out", self._share(end)))
        if validation >= len(smallest):
            raise ValueError(
                f"`validation` must leave documents to train on, but got {validation}, and the sources have {len(smallest)} "
                "different ones."
            )
        return int(smallest[validation])

    def _take(self, end: Position, encoded: EncodedBatch) -> None:
        """Writes the documents of a batch. Raises a `ValueError` for the first one that cannot be read."""
        for problem in encoded.problems:
            self._leave_out(problem)
        for name, (tokens, lengths) in encoded.splits.items():
            self.writers[name].add(tokens, lengths)
            self.state.counts[f"{name}_documents"] += len(lengths)
        self.state.counts += encoded.counts
        self.state.position = end
        if time.monotonic() - self.saved > SECONDS_BETWEEN_SAVES:
            self._check_space()
            self._save()
        self.on_progress(Progress("tokenizing", self._share(end), self.state.counts["tokens"]))

    def _leave_out(self, problem: Problem) -> None:
        if problem.reason != EMPTY and not self.skip_bad:
            raise ValueError(f"{problem.message} Or leave out what cannot be read with `skip_bad` (`--skip-bad`).")
        entry = self.state.left_out.setdefault(problem.reason, {"documents": 0, "first": []})
        entry["documents"] += 1
        if len(entry["first"]) < NAMED_PLACES:
            entry["first"].append(problem.place)

    def _save(self) -> None:
        self.state.writers = {name: writer.state() for name, writer in self.writers.items()}
        write_atomically(self.output / PROGRESS, json.dumps(vars(self.state)))
        self.saved = time.monotonic()

    def _share(self, position: Position) -> float | None:
        """The part of the sources before a position, by the size of files."""
        if not self.num_bytes:
            return None
        before = self.bytes_before[position.source]
        end = self.bytes_before[min(position.source + 1, len(self.sources))]
        return float(min(before + position.bytes, end) / self.num_bytes)

    def _check_space(self) -> None:
        """Raises a `ValueError` if the rest will not fit the disk, by what was written so far."""
        share = self._share(self.state.position)
        if not share:
            return
        needed = self.state.counts["tokens"] * self.dtype.itemsize * (1 / share - 1)
        free = shutil.disk_usage(self.output).free
        if needed > free:
            raise ValueError(
                f"`output` needs about {needed / 1e9:.1f} GB more, but its disk has {free / 1e9:.1f} GB. Make space and run the "
                "same command again: it goes on."
            )

    def _finish(self, vocab_size: int) -> None:
        counts = self.state.counts
        if not counts["train_documents"]:
            reasons = [f"{found['documents']:,} left out ({reason})" for reason, found in self.state.left_out.items()]
            reasons += [f"{counts['documents']:,} held out"] if counts["documents"] else []
            raise ValueError(
                f"`sources` must have documents to train on, but have none: {', '.join(reasons) or 'they are empty'}."
            )
        shards = {name: self.writers[name].finish() for name in SPLITS}
        write_manifest(
            self.output,
            dtype=self.dtype.name,
            vocab_size=vocab_size,
            **special_token_ids(self.tokenizer),
            **dict(counts),
            left_out=self.state.left_out,
            settings=self.state.settings,
            splits={name: found for name, found in shards.items() if found},
        )


def default_processes(num_bytes: int | None) -> int:
    """A process for each processor that this one may use, and fewer for little text."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return processors if num_bytes is None else max(1, min(processors, num_bytes // BYTES_A_PROCESS))
