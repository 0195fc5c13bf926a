# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A folder that is complete or absent: it is written beside its place, and then moved there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_destination(destination: Path, source: Path, overwrite: bool) -> None:
    """
    Refuses a destination whose content would be lost unasked.

    Args:
        destination (`Path`):
            The folder to write, resolved.
        source (`Path`):
            What is exported, resolved. Need not be a folder: it can be a Hub id.
        overwrite (`bool`):
            Whether an exported folder may be replaced.

    Raises:
        `ValueError`: if the destination is a file, holds the source, has files and `overwrite` is not set, or has
            files and is no folder that an export could have written.
    """
    if source.is_dir() and (source == destination or destination in source.parents):
        raise ValueError(f"`destination` must not hold the source, but got {str(destination)!r}. Give another folder.")
    if not destination.exists():
        return
    if not destination.is_dir():
        raise ValueError(f"`destination` must be a folder, but {str(destination)!r} is a file.")
    files = list(destination.iterdir())
    if files and not overwrite:
        raise ValueError(
            f"`destination` must be new or empty, but {str(destination)!r} has files. Give another folder, or "
            "replace this one with `overwrite=True` (`--overwrite`)."
        )
    # A mistyped path must not cost a home folder, nor a training run its checkpoints.
    if files and (any(path.is_dir() for path in files) or not (destination / "config.json").is_file()):
        raise ValueError(
            f"`overwrite` replaces a folder with config.json and without subfolders, as an export writes it, but "
            f"{str(destination)!r} is none. Give another folder, or remove this one yourself."
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
    partial = destination.with_name(f".{destination.name}.{os.getpid()}.part")
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
    old = destination.with_name(f".{destination.name}.{os.getpid()}.old")
    os.replace(destination, old)
    try:
        os.replace(partial, destination)
    except BaseException:
        os.replace(old, destination)
        raise
    shutil.rmtree(old)
