# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A run as a file: JSON for programs, pictures and a page for people."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from modeling_llada.drawing import Picture, animated_svg, denoising_page, pictures_of
from modeling_llada.drawing.animation import denoising_animation
from modeling_llada.streaming import DenoisingRecord

from .recordings import describe_cost


@dataclass(frozen=True)
class Format:
    """
    A kind of file.

    Args:
        label (`str`):
            What its button says.
        help (`str`):
            What it is good for.
        suffix (`str`):
            The end of its name.
        media_type (`str`):
            Its type.
        write (`Callable`):
            Makes it from the record, the pictures, and what the page shows around them.
    """

    label: str
    help: str
    suffix: str
    media_type: str
    write: Callable[[dict, list[Picture], dict], bytes]


def write_json(record: dict, pictures: list[Picture], about: dict) -> bytes:
    """The trajectory, which `DenoisingRecord.load` reads."""
    return (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def write_page(record: dict, pictures: list[Picture], about: dict) -> bytes:
    """A page that plays the run."""
    cost = describe_cost(record["cost"], record["settings"])
    return denoising_page(pictures, about.get("title", ""), cost, about.get("columns")).encode()


def write_svg(record: dict, pictures: list[Picture], about: dict) -> bytes:
    """A moving picture with the fonts of who looks at it."""
    return animated_svg(pictures, about.get("title", ""), about.get("columns")).encode()


def write_gif(record: dict, pictures: list[Picture], about: dict) -> bytes:
    """A moving picture for everywhere."""
    return denoising_animation(pictures, "GIF", title=about.get("title", ""), columns=about.get("columns"))


def write_webp(record: dict, pictures: list[Picture], about: dict) -> bytes:
    """The same, smaller."""
    return denoising_animation(pictures, "WEBP", title=about.get("title", ""), columns=about.get("columns"))


FORMATS = {
    "gif": Format("GIF", "an animated GIF, for everywhere", "gif", "image/gif", write_gif),
    "webp": Format("WebP", "an animated WebP: smaller and finer than a GIF", "webp", "image/webp", write_webp),
    "svg": Format("SVG", "an animated SVG: sharp at any size", "svg", "image/svg+xml", write_svg),
    "json": Format("JSON", "the trajectory: every token of every step", "json", "application/json", write_json),
    "html": Format("Web page", "a page that plays it, without anything beside it", "html", "text/html", write_page),
}


def export(record: dict, tokenizer, about: dict, name: str) -> tuple[str, str, bytes]:
    """
    Writes a run in a format.

    Args:
        record (`dict`):
            Of [`Recording.record`].
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer of its model.
        about (`dict`):
            What the page shows around it.
        name (`str`):
            The format.

    Returns:
        `tuple[str, str, bytes]`: The name of the file, its type, and its content.

    Raises:
        `ValueError`: if there is no such format.
    """
    if not isinstance(name, str) or name not in FORMATS:
        raise ValueError(f"the format must be one of {', '.join(FORMATS)}.")
    form = FORMATS[name]
    pictures = pictures_of(DenoisingRecord.from_dict(record, tokenizer).frames)
    return f"denoising.{form.suffix}", form.media_type, form.write(record, pictures, about)
