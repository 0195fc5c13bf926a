# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Writing files."""

import os
from pathlib import Path

from .folders import hidden_sibling


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
