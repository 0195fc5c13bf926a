# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Published settings and scores, and LLaDA as a model of lm-evaluation-harness (extra `eval`)."""

from .published_settings import PublishedSetting, PublishedSettings, load_settings


__all__ = ["LLaDAHarnessLM", "PublishedSetting", "PublishedSettings", "load_settings"]


def __getattr__(name: str):
    # The harness is an optional dependency and takes seconds to import.
    if name != "LLaDAHarnessLM":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .harness import LLaDAHarnessLM
    except ModuleNotFoundError as error:
        raise ImportError(
            f"`{name}` needs the package {error.name!r}, which is not installed: pip install -e '.[eval]'"
        ) from error
    return LLaDAHarnessLM
