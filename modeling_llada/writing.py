# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Files and folders that are complete or absent: each is written under a temporary name beside its path, then renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """
    Writes a file so that it is complete or unchanged. A link stays a link, and special files such as `/dev/stdout`
    are written directly.

    Args:
        path (`str` or `Path`):
            The file.
        content (`str` or `bytes`):
            The whole content. Text is written in UTF-8.

    Example:

    ```python
    >>> from modeling_llada.writing import write_atomically

    >>> write_atomically("poem.txt", "床前明月光")
    ```
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = path.resolve()
    partial = hidden_sibling(path, "part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_destination(destination: Path, source: Path, overwrite: bool, config_file: str) -> None:
    """
    Raises a `ValueError` if writing a folder could destroy files. With `overwrite` the destination may have files, but
    only if it has `config_file`, which marks a folder of the same kind, and no subfolders. Both paths are resolved.
    """
    if source.is_dir() and (source == destination or destination in source.parents):
        raise ValueError(
            f"`destination` must not contain the source, but got {str(destination)!r}. Give another folder."
        )
    there = next(path for path in (destination, *destination.parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"`destination` must be a folder, but {str(there)!r} is a file. Give another folder.")
    if there != destination:
        return
    files = list(destination.iterdir())
    if files and not overwrite:
        raise ValueError(
            f"`destination` must be new or empty, but {str(destination)!r} has files. Give another folder, or replace "
            "this one with `overwrite=True` (`--overwrite`)."
        )
    # A typing error must not delete a home folder or the checkpoints of a training run.
    if files and (any(path.is_dir() for path in files) or not (destination / config_file).is_file()):
        raise ValueError(
            f"`overwrite` only replaces a folder with {config_file} and without subfolders, which {str(destination)!r} "
            "is not. Give another folder, or remove this one yourself."
        )


@contextmanager
def complete_or_absent(destination: Path) -> Iterator[Path]:
    """
    Yields a new folder, which replaces the destination when the block ends without an error. Call `check_destination`
    first.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = hidden_sibling(destination, "part")
    partial.mkdir()
    try:
        yield partial
        move_into_place(partial, destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def move_into_place(partial: Path, destination: Path) -> None:
    """Renames `partial` to `destination`. An old folder is deleted last, and is restored after a failure."""
    if not destination.exists():
        os.replace(partial, destination)
        return
    old = hidden_sibling(destination, "old")
    os.replace(destination, old)
    try:
        os.replace(partial, destination)
    except BaseException:
        os.replace(old, destination)
        raise
    shutil.rmtree(old)


def hidden_sibling(path: Path, suffix: str) -> Path:
    """A unique name beside the path, since other threads, processes and machines may write into the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{suffix}")
