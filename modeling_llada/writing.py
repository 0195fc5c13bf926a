# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Files and folders that are complete or absent: each is written beside its place and then renamed."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: str | Path, text: str) -> None:
    """
    Writes a file beside its place and then moves it there, so that it is whole or as it was. A link stays a link, and
    what is no file, such as `/dev/stdout`, is written into.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()
    partial = hidden_sibling(path, "part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_destination(destination: Path, source: Path, overwrite: bool, config_file: str) -> None:
    """
    Refuses a destination whose content would be lost unasked.

    Args:
        destination (`Path`):
            The folder to write, resolved.
        source (`Path`):
            What is read, resolved. Need not be a folder: it can be a Hub id.
        overwrite (`bool`):
            Whether a folder of the same kind may be replaced.
        config_file (`str`):
            The file that makes it one of the same kind.

    Raises:
        `ValueError`: if the destination is a file or lies in one, holds the source, has files and `overwrite` is not
            set, or has files and is no folder that could have been written here.
    """
    if source.is_dir() and (source == destination or destination in source.parents):
        raise ValueError(f"`destination` must not hold the source, but got {str(destination)!r}. Give another folder.")
    there = next(path for path in (destination, *destination.parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"`destination` must be a folder, but {str(there)!r} is a file. Give another folder.")
    if there != destination:
        return
    files = list(destination.iterdir())
    if files and not overwrite:
        raise ValueError(
            f"`destination` must be new or empty, but {str(destination)!r} has files. Give another folder, or "
            "replace this one with `overwrite=True` (`--overwrite`)."
        )
    # A mistyped path must not cost a home folder, nor a training run its checkpoints.
    if files and (any(path.is_dir() for path in files) or not (destination / config_file).is_file()):
        raise ValueError(
            f"`overwrite` replaces a folder with {config_file} and without subfolders, but {str(destination)!r} is "
            "none. Give another folder, or remove this one yourself."
        )


@contextmanager
def complete_or_absent(destination: Path) -> Iterator[Path]:
    """
    Gives a new folder beside the destination, and moves it there when the block ends without an error.

    Args:
        destination (`Path`):
            The folder to write; see [`check_destination`]. What it held before stays until the new one is complete.

    Yields:
        `Path`: The folder to write into.
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
    """Renames `partial` to `destination`. The folder that was there goes last, and comes back after a failure."""
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
    """A name beside it that nobody else has: other threads, processes and machines may write into the same folder."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{suffix}")
