# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures of the denoising: live in a terminal, as SVG files, and as a web page that plays it.

GIF and WebP need Pillow and are in `modeling_llada.drawing.animation`.
"""

from .animated_svg import animated_svg
from .cells import END_LABEL, Cell, Picture, picture_of, pictures_of, recording_to_dict
from .colors import confidence_color
from .page import denoising_page
from .svg import CELL_HEIGHT, MARGIN, denoising_svg, draw_cell, draw_legend, wrap_svg
from .terminal import LiveDenoising
from .timing import Timing


__all__ = [
    "CELL_HEIGHT",
    "END_LABEL",
    "MARGIN",
    "Cell",
    "LiveDenoising",
    "Picture",
    "Timing",
    "animated_svg",
    "confidence_color",
    "denoising_page",
    "denoising_svg",
    "draw_cell",
    "draw_legend",
    "picture_of",
    "pictures_of",
    "recording_to_dict",
    "wrap_svg",
]
