# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A tokenised corpus of any size: a folder of numpy files that are mapped into memory, not read, and its reader.

    manifest.json               splits, shards with their hashes, special tokens, sources, and what was left out
    tokenizer/                  the files of the tokenizer
    train-00000.tokens.npy      the tokens of whole documents, one after the other, without special tokens
    train-00000.lengths.npy     the tokens of each document
    train-00001.tokens.npy      ...

`llada tokenize` writes it, by `token_shard_writing.py`.
"""

import hashlib
from functools import cached_property
from pathlib import Path

import numpy as np

from ...reading import read_json


FORMAT, VERSION = "llada-tokens", 1
MANIFEST = "manifest.json"
PROGRESS = "progress.json"  # of a folder that is not finished
TOKENIZER = "tokenizer"


class TokenShards:
    """
    The tokens of a folder that `llada tokenize` wrote. Opening it takes milliseconds for any size: what is used of the
    files is mapped into memory, and shared by all processes of a machine.

    Args:
        folder (`str` or `Path`):
            The folder.

    Attributes:
        splits (`dict[str, TokenSplit]`):
            `"train"`, and `"validation"` if documents were held out.
        vocab_size (`int`), bos_token_id (`int`), eos_token_id (`int`), mask_token_id (`int`):
            From the tokenizer. No special token is among the tokens.
        tokenizer (`Path`):
            The folder of the tokenizer, for `AutoTokenizer.from_pretrained`.
        manifest (`dict`):
            The content of `manifest.json`.

    Raises:
        `ValueError`: if the folder holds no tokens, is not finished, has another version, or lacks a file.

    Example:

    ```python
    >>> from modeling_llada.training import TokenShards

    >>> train = TokenShards("data/tokens").splits["train"]
    >>> train.num_documents, train.num_tokens
    (1000, 250000)
    >>> window = train.tokens(0, 128)
    ```
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).expanduser()
        self.manifest = read_manifest(self.folder)
        self.tokenizer = self.folder / TOKENIZER
        try:
            for name in ("vocab_size", "bos_token_id", "eos_token_id", "mask_token_id"):
                setattr(self, name, int(self.manifest[name]))
            self.splits = {
                name: TokenSplit(self.folder, shards, self.manifest["dtype"])
                for name, shards in self.manifest["splits"].items()
            }
            tokenizer_files = self.manifest["tokenizer"]["sha256"]
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(
                f"`folder` must be complete, but {self.folder / MANIFEST} is damaged: {error!r}. Copy it again, or write the "
                "folder again."
            ) from error
        for name in tokenizer_files:
            check_size(self.tokenizer / name)

    def check_hashes(self) -> None:
        """Reads all files, and raises a `ValueError` if one is not as it was written."""
        hashes = {name: file["sha256"] for split in self.splits.values() for name, file in split.files.items()}
        hashes |= {f"{TOKENIZER}/{name}": sha256 for name, sha256 in self.manifest["tokenizer"]["sha256"].items()}
        for name, sha256 in hashes.items():
            if not (self.folder / name).is_file() or sha256_of(self.folder / name) != sha256:
                raise ValueError(
                    f"{self.folder / name} is damaged: its hash is not that of {MANIFEST}. Copy it again."
                )


class TokenSplit:
    """
    The documents of one split, as arrays over all of its shards.

    Args:
        folder (`Path`):
            The folder of the shards.
        shards (`list[dict]`):
            Their entries in the manifest.
        dtype (`str`):
            The type of the tokens, `"uint16"` or `"uint32"`.
    """

    def __init__(self, folder: Path, shards: list[dict], dtype: str):
        self.folder, self.dtype = folder, np.dtype(dtype)
        self.files = {name: file for shard in shards for name, file in shard["files"].items()}
        for name, file in self.files.items():
            check_size(folder / name, file["bytes"])
        names = [shard["name"] for shard in shards]
        counts = {key: [shard[key] for shard in shards] for key in ("tokens", "documents")}
        self._tokens = ShardedArray([folder / f"{name}.tokens.npy" for name in names], counts["tokens"], self.dtype)
        self._lengths = ShardedArray(
            [folder / f"{name}.lengths.npy" for name in names], counts["documents"], np.dtype(np.uint32)
        )

    @property
    def num_tokens(self) -> int:
        return len(self._tokens)

    @property
    def num_documents(self) -> int:
        return len(self._lengths)

    def tokens(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The tokens `start .. stop - 1` of the documents one after the other, also across shards."""
        return self._tokens.read(start, stop)

    def lengths(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The number of tokens of the documents `start .. stop - 1`."""
        return self._lengths.read(start, stop)

    def token_rows(self, starts: np.ndarray, width: int) -> np.ndarray:
        """`width` tokens from each of some places, `(len(starts), width)`; 0 behind the last token."""
        return self._tokens.read_rows(starts, width)

    def length_rows(self, starts: np.ndarray, width: int) -> np.ndarray:
        """The lengths of `width` documents from each of some, `(len(starts), width)`; 0 behind the last document."""
        return self._lengths.read_rows(starts, width)

    @cached_property
    def document_starts(self) -> np.ndarray:
        """The first token of each document, `(num_documents,)`. The only array that is in memory: 8 bytes a document."""
        ends = np.cumsum(self.lengths(), dtype=np.int64)
        return np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]


class ShardedArray:
    """Arrays of several files as one. A file is mapped when it is first used."""

    def __init__(self, paths: list[Path], lengths: list[int], dtype: np.dtype):
        self.paths, self.lengths, self.dtype = paths, lengths, dtype
        self.ends = np.cumsum(lengths, dtype=np.int64)
        self.mapped: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def read(self, start: int, stop: int | None) -> np.ndarray:
        """The part from `start` to `stop`: a view of the file, or a copy if it lies in several files."""
        stop = len(self) if stop is None else stop
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"0 <= start <= stop <= {len(self)} is needed, but got start {start} and stop {stop}")
        pieces = []
        shard = int(np.searchsorted(self.ends, start, side="right"))
        while start < stop:
            end = int(self.ends[shard])
            array = self._map(shard)
            offset = end - len(array)
            pieces.append(array[start - offset : stop - offset])
            start, shard = end, shard + 1
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, self.dtype), *pieces])

    def read_rows(self, starts: np.ndarray, width: int) -> np.ndarray:
        """The parts of `width` from some starts on, `(len(starts), width)`, read together; 0 behind the end."""
        if (starts < 0).any():
            raise IndexError(f"0 <= starts is needed, but got {starts.min()}")
        rows = np.zeros((len(starts), width), self.dtype)
        shards = np.searchsorted(self.ends, starts, side="right")
        for shard in np.unique(shards[starts < len(self)]).tolist():
            array = np.asarray(self._map(shard))
            local = starts - (int(self.ends[shard]) - len(array))
            inside = (shards == shard) & (local + width <= len(array))
            rows[inside] = array[local[inside, None] + np.arange(width)]
            for row in np.flatnonzero((shards == shard) & ~inside).tolist():
                found = self.read(int(starts[row]), min(int(starts[row]) + width, len(self)))
                rows[row, : len(found)] = found
        return rows

    def _map(self, shard: int) -> np.ndarray:
        if shard not in self.mapped:
            path, length = self.paths[shard], self.lengths[shard]
            try:
                array = np.lib.format.open_memmap(path, mode="r")
            except ValueError as error:
                raise ValueError(f"{path} is damaged: {error}. Copy it again.") from error
            if array.dtype != self.dtype or array.shape != (length,):
                raise ValueError(
                    f"{path} must have {length:,} numbers of {self.dtype}, as {MANIFEST} says, but has {array.size:,} of "
                    f"{array.dtype}. Copy the folder again."
                )
            self.mapped[shard] = array
        return self.mapped[shard]

    def __getstate__(self) -> dict:
        return vars(self) | {"mapped": {}}  # another process maps the files itself


def read_manifest(folder: Path) -> dict:
    """Reads the manifest of a finished folder of this version. Raises a `ValueError` for any other folder."""
    if not (folder / MANIFEST).is_file():
        if (folder / PROGRESS).is_file():
            raise ValueError(
                f"`folder` must be finished, but {folder} is not. Run its `llada tokenize` command again, which goes on."
            )
        raise ValueError(
            f"`folder` must hold a tokenised corpus, but {folder} has no {MANIFEST}. Write one with `llada tokenize`."
        )
    manifest = read_json(folder / MANIFEST, dict)
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"`folder` must hold a tokenised corpus, but {folder / MANIFEST} is that of something else. Write one with "
            "`llada tokenize`."
        )
    if manifest.get("version") != VERSION:
        raise ValueError(
            f"`folder` must be of version {VERSION}, but {folder} is of version {manifest.get('version')}. Write it again "
            "with `llada tokenize`, or install the release of modeling_llada that wrote it."
        )
    return manifest


def check_size(path: Path, num_bytes: int | None = None) -> None:
    """Raises a `ValueError` if a file is missing or has another size, if it is known."""
    if not path.is_file():
        raise ValueError(f"`folder` must be complete, but {path} is missing. Copy it, or write the folder again.")
    if num_bytes not in (None, path.stat().st_size):
        raise ValueError(
            f"`folder` must be complete, but {path} has {path.stat().st_size:,} bytes instead of {num_bytes:,}. Copy it "
            "again, or write the folder again."
        )


def sha256_of(path: Path) -> str:
    """The hash of a file, which is read piece by piece."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
