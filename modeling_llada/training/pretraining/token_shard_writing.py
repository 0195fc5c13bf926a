# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writes the shards of `token_shards.py`, so that an interrupted writer can go on.

A shard grows under a temporary name. `state` says how much of it belongs to the documents so far: a writer that starts from
this state cuts off what came later. The files depend on the documents and their order alone.
"""

import contextlib
import json
import os
from pathlib import Path

import numpy as np

from ...writing import errors_that_name, write_atomically
from .token_shards import FORMAT, MANIFEST, TOKENIZER, VERSION, sha256_of


class SplitWriter:
    """
    Writes the shards of one split.

    Args:
        folder (`Path`):
            The folder of the shards.
        name (`str`):
            The split.
        dtype (`np.dtype`):
            The type of the tokens.
        shard_bytes (`int`):
            A shard ends with the document that fills it to this size.
        state (`dict`, *optional*):
            The `state` of an interrupted writer, which this one continues.

    Example:

    ```python
    >>> writer = SplitWriter(folder, "train", np.dtype("uint16"), shard_bytes=100_000_000)
    >>> writer.add(tokens, lengths)
    >>> shards = writer.finish()
    ```
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype, shard_bytes: int, state: dict | None = None):
        self.folder, self.name, self.dtype = folder, name, dtype
        self.shard_length = max(1, shard_bytes // dtype.itemsize)
        self.shards: list[dict] = [] if state is None else list(state["shards"])
        self._open(*(state["open"] if state else (0, 0)))

    def add(self, tokens: np.ndarray, lengths: np.ndarray) -> None:
        """Appends documents: their tokens one after the other, and the number of tokens of each."""
        ends = np.cumsum(lengths, dtype=np.int64)
        first = begin = 0
        while first < len(lengths):
            room = self.shard_length - self.tokens.length
            last = min(int(np.searchsorted(ends, begin + room)), len(ends) - 1)
            end = int(ends[last])
            self.tokens.append(tokens[begin:end])
            self.lengths.append(lengths[first : last + 1])
            if end - begin >= room:
                self._close()
                self._open()
            first, begin = last + 1, end

    def state(self) -> dict:
        """What a later writer needs to continue after the documents so far, which are on the disk then."""
        for file in (self.tokens, self.lengths):
            file.flush()
        return {"shards": list(self.shards), "open": [self.tokens.length, self.lengths.length]}

    def finish(self) -> list[dict]:
        """Closes the last shard, and returns the manifest's entries of all."""
        if self.lengths.length:
            self._close()
        else:
            self.abandon()
            for file in (self.tokens, self.lengths):
                file.partial.unlink(missing_ok=True)
        return self.shards

    def abandon(self) -> None:
        """Closes the files without finishing them."""
        for file in (self.tokens, self.lengths):
            with contextlib.suppress(OSError):  # a full disk takes no more of what is left
                file.file.close()

    def _open(self, num_tokens: int = 0, num_documents: int = 0) -> None:
        shard = self.folder / f"{self.name}-{len(self.shards):05d}"
        self.tokens = ArrayFile(shard.with_name(f"{shard.name}.tokens.npy"), self.dtype, num_tokens)
        self.lengths = ArrayFile(shard.with_name(f"{shard.name}.lengths.npy"), np.dtype(np.uint32), num_documents)

    def _close(self) -> None:
        files = {}
        for file in (self.tokens, self.lengths):
            file.close()
            files[file.path.name] = {"bytes": file.path.stat().st_size, "sha256": sha256_of(file.path)}
        name = f"{self.name}-{len(self.shards):05d}"
        self.shards.append(
            {"name": name, "documents": self.lengths.length, "tokens": self.tokens.length, "files": files}
        )


def write_manifest(folder: Path, **values) -> dict:
    """
    Finishes a folder: writes its manifest, with the format and the hashes of the files in `tokenizer/`.

    Args:
        folder (`Path`):
            The folder.
        values:
            `dtype`, `vocab_size`, `bos_token_id`, `eos_token_id`, `mask_token_id`, the `splits` with the entries that
            `SplitWriter.finish` returned, and whatever else the reader of the manifest should know.

    Returns:
        `dict`: the manifest.
    """
    tokenizer = folder / TOKENIZER
    files = sorted(path for path in tokenizer.rglob("*") if path.is_file())
    hashes = {path.relative_to(tokenizer).as_posix(): sha256_of(path) for path in files}
    manifest = {"format": FORMAT, "version": VERSION, **values, "tokenizer": {"sha256": hashes}}
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest


class ArrayFile:
    """
    A `.npy` file of one dimension that grows. Until `close` it has a temporary name.

    Args:
        path (`Path`):
            The file.
        dtype (`np.dtype`):
            The type of its numbers.
        length (`int`, *optional*, defaults to 0):
            Numbers to keep of an interrupted writer.

    Raises:
        `ValueError`: if the file does not have as many numbers.
    """

    def __init__(self, path: Path, dtype: np.dtype, length: int = 0):
        self.path, self.dtype, self.length = path, dtype, length
        self.partial = path.with_name(f".{path.name}.part")
        if length and path.is_file():  # it was interrupted after the file had got its name
            os.replace(path, self.partial)
        found = self.partial.stat().st_size if self.partial.is_file() else 0
        with errors_that_name(path):
            self.file = self.partial.open("r+b" if found else "w+b")
            self._write_header()
            end = self.file.tell() + length * dtype.itemsize
            if length and found < end:  # truncating would fill it up with zeros
                self.file.close()
                raise ValueError(
                    f"{path} lacks tokens that were written. Remove the folder {path.parent}, and start again."
                )
            self.file.truncate(end)
            self.file.seek(0, os.SEEK_END)

    def append(self, numbers: np.ndarray) -> None:
        with errors_that_name(self.path):
            self.file.write(np.ascontiguousarray(numbers, self.dtype).data)
        self.length += len(numbers)

    def flush(self) -> None:
        """Puts what was appended on the disk, also for a machine that stops."""
        with errors_that_name(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Completes the file, and gives it its name."""
        with errors_that_name(self.path):
            self._write_header()
        self.flush()
        with errors_that_name(self.path):
            self.file.close()
            os.replace(self.partial, self.path)

    def _write_header(self) -> None:
        # numpy leaves room in the header for any number of elements, so that its size stays the same.
        self.file.seek(0)
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, header)
