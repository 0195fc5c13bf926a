# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Imports Gradio without the type stubs that it would write for each of its components, which takes half of its import."""

import contextlib
import importlib
import inspect


def import_gradio() -> None:
    """Imports Gradio. It skips the stub of a class without a file, and so it is told that its classes have none."""
    original = inspect.getfile

    def find_file(thing) -> str:
        if getattr(thing, "__module__", "").startswith("gradio."):
            raise OSError("no stub is wanted")
        return original(thing)

    inspect.getfile = find_file
    try:
        importlib.import_module("gradio")
    finally:
        inspect.getfile = original
    with contextlib.suppress(ImportError):  # where matplotlib is installed, Gradio asks for this at the first click
        importlib.import_module("matplotlib").get_backend()
