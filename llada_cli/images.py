# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The pictures that a command line names."""

import argparse
import reprlib
from contextlib import suppress
from pathlib import Path

from .errors import CommandError
from .terminal import quiet_libraries, spinner


URLS = ("http://", "https://")


def add_image_argument(group: argparse._ArgumentGroup, text: str) -> None:
    """Adds `--image`, which may be given several times."""
    group.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="FILE",
        help=f"{text}, for a model that sees images; may be given several times",
    )


def open_images(names: list[str], option: str = "--image") -> list[dict]:
    """
    Reads the pictures that an option or a command of the chat names: files or URLs. Returns them as parts of a message. They
    stay in memory, so that a file may change later. Raises a `CommandError` if one is no picture.
    """
    if not names:
        return []
    with spinner("reading the pictures"):
        quiet_libraries()
        return [{"type": "image", "image": open_image(name, option), "file": name} for name in names]


def open_image(name: str, option: str):
    """One of the pictures."""
    from modeling_llada.models.image_reading_llada_v import read_image

    source = name if name.startswith(URLS) else Path(name).expanduser()
    try:
        if isinstance(source, Path) and not source.is_file():
            reason = "it is a folder" if name and source.is_dir() else "there is no such file"
            raise CommandError(f"`{option}` must be a picture, but got {reprlib.repr(name)}: {reason}.")
        return read_image(source)
    except ValueError as error:
        raise CommandError(str(error).replace("`images`", f"`{option}`")) from error
    except OSError as error:  # a name may be too long for the system
        raise CommandError(f"`{option}` {reprlib.repr(name)} cannot be read: {error.strerror}.") from error


def check_sees_images(name: str, option: str = "--image") -> None:
    """Raises a `CommandError` if a checkpoint is for text alone. One that cannot be read is left to the loading."""
    from modeling_llada.loading import sees_images

    with suppress(OSError, ValueError):
        if not sees_images(name):
            raise CommandError(
                f"`{option}` needs a model that sees images, such as LLaDA-V, but {name} is for text alone: leave it out, or "
                "choose another `--model`."
            )
