# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures of the denoising: live in a terminal, as files (SVG, GIF, WebP), and as a web page that plays it."""

from ..writing import write_atomically
from .animated_svg import animated_svg
from .cells import Cell, Picture, picture_of, pictures_of, recording_to_dict
from .page import denoising_page
from .svg import denoising_svg
from .terminal import LiveDenoising
from .timing import Timing


__all__ = [
    "Cell",
    "LiveDenoising",
    "Picture",
    "Timing",
    "animated_svg",
    "denoising_page",
    "denoising_svg",
    "picture_of",
    "pictures_of",
    "recording_to_dict",
    "write_atomically",
]
