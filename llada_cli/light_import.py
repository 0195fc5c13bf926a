# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Imports modules of `modeling_llada` that need no torch."""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def light_import(name: str) -> ModuleType:
    """Imports a module such as `"modeling_llada.prompt_fields"` without its package, whose import takes seconds."""
    package = name.partition(".")[0]
    if name in sys.modules or package in sys.modules:
        return import_module(name)
    # An empty package stands in for the whole one, which a later import runs.
    whole = find_spec(package)
    sys.modules[package] = ModuleType(package)
    sys.modules[package].__path__ = whole.submodule_search_locations
    try:
        return import_module(name)
    finally:
        for folder in [one for one in sys.modules if f"{one}.".startswith(f"{package}.")]:
            if hasattr(sys.modules[folder], "__path__"):
                del sys.modules[folder]
