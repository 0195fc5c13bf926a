# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Imports Gradio without the type stubs that it writes for its components, which take half of the import."""

import contextlib
import importlib
import inspect


def import_gradio() -> None:
    """Imports Gradio. It writes no stub for a class without a file, so this hides the files of its classes."""
    original = inspect.getfile

    def find_file(thing) -> str:
        if getattr(thing, "__module__", "").startswith("gradio."):
            raise OSError("no stub is needed")
        return original(thing)

    inspect.getfile = find_file
    try:
        importlib.import_module("gradio")
    finally:
        inspect.getfile = original
    with contextlib.suppress(ImportError):  # Gradio would import it at the first click
        importlib.import_module("matplotlib").get_backend()
