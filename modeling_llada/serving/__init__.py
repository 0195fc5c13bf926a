# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Many requests for one model: [`BatchedDecoder`], and a server with the API of OpenAI, which needs FastAPI when it is used."""

from .batched_decoder import BatchedAnswer, BatchedDecoder


__all__ = ["BatchedAnswer", "BatchedDecoder", "Limits", "build_app"]


def __getattr__(name: str):
    if name not in ("Limits", "build_app"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .app import Limits, build_app
    except ImportError as error:
        raise ImportError(f"`{name}` needs the extra `serve` ({error}): pip install -e '.[serve]'") from error
    return {"Limits": Limits, "build_app": build_app}[name]
