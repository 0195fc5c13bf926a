# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Exports of a run: JSON for programs, pictures, and a web page."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from modeling_llada.drawing import Picture, animated_svg, denoising_page, pictures_of
from modeling_llada.drawing.animation import denoising_animation
from modeling_llada.streaming import DenoisingRecord

from .runs import describe_cost


@dataclass(frozen=True)
class Format:
    """A file format. `write` makes the file from the record, the pictures, and the texts for the page."""

    label: str  # of its button
    help: str
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
    """An animation that uses the fonts of the reader."""
    return animated_svg(pictures, about.get("title", ""), about.get("columns")).encode()


def write_animation(format: str, record: dict, pictures: list[Picture], about: dict) -> bytes:
    """An animated GIF or WebP."""
    return denoising_animation(pictures, format, title=about.get("title", ""), columns=about.get("columns"))


FORMATS = {
    "gif": Format("GIF", "an animated GIF, which every program shows", "image/gif", partial(write_animation, "GIF")),
    "webp": Format(
        "WebP", "an animated WebP, smaller and sharper than a GIF", "image/webp", partial(write_animation, "WEBP")
    ),
    "svg": Format("SVG", "an animated SVG, sharp at any size", "image/svg+xml", write_svg),
    "json": Format("JSON", "the trajectory: each token of each step", "application/json", write_json),
    "html": Format("Web page", "a page that plays the run and needs no other file", "text/html", write_page),
}


def export(record: dict, tokenizer, about: dict, name: str) -> tuple[str, str, bytes]:
    """
    Exports the record of a run in one of the formats. `about` has the texts for the page. Returns the name, the media
    type and the content of the file.
    """
    if not isinstance(name, str) or name not in FORMATS:
        raise ValueError(f"the format must be one of {', '.join(FORMATS)}.")
    form = FORMATS[name]
    pictures = pictures_of(DenoisingRecord.from_dict(record, tokenizer).frames)
    if about.get("hidden"):
        pictures = leave_out(pictures, about["hidden"])
    return f"denoising.{name}", form.media_type, form.write(record, pictures, about)


def leave_out(pictures: list[Picture], hidden: list[tuple[int, int]]) -> list[Picture]:
    """The pictures without ranges of positions that the page does not draw."""
    number = len(pictures[0].cells)
    kept = [place for place in range(number) if not any(start <= place < end for start, end in hidden)]
    new_place = {old: new for new, old in enumerate(kept)}
    return [
        replace(
            picture,
            cells=tuple(replace(cell, word=new_place.get(cell.word)) for cell in map(picture.cells.__getitem__, kept)),
        )
        for picture in pictures
    ]
