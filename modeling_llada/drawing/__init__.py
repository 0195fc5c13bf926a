# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures of the denoising: live in a terminal, and as an SVG file."""

from ..files import write_atomically
from .svg import denoising_svg
from .terminal import LiveDenoising


__all__ = ["LiveDenoising", "denoising_svg", "write_atomically"]
