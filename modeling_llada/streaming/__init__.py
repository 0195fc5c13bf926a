# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The canvas step by step: frames, records of a whole call, and the streamers that make both."""

from .frames import CanvasFrame, TokenReader, TokenState
from .records import DenoisingRecord
from .streamers import CanvasIteratorStreamer, CanvasStreamer, GenerationStopped, RecordingStreamer


__all__ = [
    "CanvasFrame",
    "CanvasIteratorStreamer",
    "CanvasStreamer",
    "DenoisingRecord",
    "GenerationStopped",
    "RecordingStreamer",
    "TokenReader",
    "TokenState",
]
