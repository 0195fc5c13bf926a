# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Imports modules of `modeling_llada` that need no torch."""

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType


def light_import(name: str) -> ModuleType:
    """Imports a module such as `"modeling_llada.prompt_fields"` without its package, whose import takes seconds."""
    if name not in sys.modules:
        package, *folders, _ = name.split(".")
        folder = Path(find_spec(package).submodule_search_locations[0], *folders)
        spec = PathFinder.find_spec(name, [str(folder)])
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
