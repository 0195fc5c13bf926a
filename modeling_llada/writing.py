# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Files and folders that are complete or absent: each is written under a temporary name beside its path, then renamed."""

import errno
import glob
import os
import platform
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


try:
    import fcntl
except ImportError:  # Windows: leftovers stay
    fcntl = None

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
TRIAL_BYTES = 2**16


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
        with errors_that_name(path):
            path.write_bytes(data)
        return
    path = path.resolve()
    with temporary_sibling(path, Path.touch) as partial:
        partial.write_bytes(data)
        os.replace(partial, path)


def check_writable(path: Path) -> None:
    """
    Raises the `OSError` that a writer of this file or folder would raise after the work: no folder for it, no permission,
    or no space. Writes a small file beside it, and removes it.
    """
    if path.is_file() or path.is_dir() or not path.exists():
        with temporary_sibling(path.resolve(), Path.touch) as partial:
            partial.write_bytes(bytes(TRIAL_BYTES))


def check_destination(destination: Path, source: Path, overwrite: bool, config_file: str) -> None:
    """
    Raises a `ValueError` if writing a folder could destroy files, and an `OSError` if it cannot be written. With
    `overwrite` the destination may have files, but only if it has `config_file`, which marks a folder of the same kind,
    and no subfolders. Both paths are resolved.
    """
    if source.is_dir() and (source == destination or destination in source.parents):
        raise ValueError(
            f"`destination` must not contain the source, but got {str(destination)!r}. Give another folder."
        )
    there = next(path for path in (destination, *destination.parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"`destination` must be a folder, but {str(there)!r} is a file. Give another folder.")
    if os.path.ismount(destination):
        raise ValueError(
            f"`destination` must not be a mount point, but {str(destination)!r} is one. Give a folder in it."
        )
    files = list(destination.iterdir()) if there == destination else []
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
    new_parts = destination.relative_to(there).parts
    check_writable(there / new_parts[0] if new_parts else destination)


@contextmanager
def complete_or_absent(destination: Path) -> Iterator[Path]:
    """
    Yields a new folder, which replaces the destination when the block ends without an error. Call `check_destination`
    first.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    with temporary_sibling(destination, Path.mkdir) as partial:
        yield partial
        move_into_place(partial, destination)


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
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def temporary_sibling(path: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """
    Yields a new hidden file or folder beside a path, and removes it unless it was moved. What killed writers of the path
    left is removed first. Errors name the path.
    """
    remove_leftovers(path)
    with errors_that_name(path):
        partial, lock = create_locked(path, create)
        try:
            yield partial
        finally:
            remove(partial)
            if lock is not None:
                os.close(lock)


@contextmanager
def errors_that_name(path: Path) -> Iterator[None]:
    """Puts the path into errors of the disk, and of files with temporary names."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(f"cannot write {str(path)!r}: {error}") from error
    except OSError as error:
        prefix = str(path.with_name(f".{path.name}."))
        if error.errno not in DISK_ERRORS and not str(error.filename).startswith(prefix):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def create_locked(path: Path, create: Callable[[Path], None]) -> tuple[Path, int | None]:
    """Creates a hidden sibling, and locks it as long as this process lives."""
    while True:
        partial = hidden_sibling(path, "part")
        create(partial)
        lock = take_lock(partial, wait=True)
        if partial.exists():  # or another writer has removed it before it was locked
            return partial, lock


def remove_leftovers(path: Path) -> None:
    """Removes what killed writers of a path left on this machine: hidden siblings that no living one has locked."""
    for partial in leftovers(path, "part"):
        lock = take_lock(partial, wait=False)
        if lock is not None:
            remove(partial)
            os.close(lock)
    # Without the path itself, an old folder is all that a killed writer left of it.
    for old in leftovers(path, "old") if path.exists() else ():
        remove(old)


def leftovers(path: Path, suffix: str) -> list[Path]:
    """The hidden siblings of a path that writers of this machine made."""
    return list(path.parent.glob(f".{glob.escape(path.name)}.{machine()}{'?' * 8}.{suffix}"))


def take_lock(path: Path, wait: bool) -> int | None:
    """Locks a file or folder. Returns an open descriptor, or `None` if another has the lock, or where there are no locks."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove(path: Path) -> None:
    """Removes a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def hidden_sibling(path: Path, suffix: str) -> Path:
    """A unique name beside the path, since other threads, processes and machines may write into the same folder."""
    return path.with_name(f".{path.name}.{machine()}{secrets.token_hex(4)}.{suffix}")


def machine() -> str:
    """Eight characters that stand for this machine. The locks of another one may be invisible here."""
    return f"{zlib.crc32(platform.node().encode()):08x}"
