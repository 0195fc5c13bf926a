# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Imports modules of `modeling_llada` that need no torch."""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def light_import(name: str) -> ModuleType:
    """Imports a module such as `"modeling_llada.prompt_fields"` without its package, whose import takes seconds."""
    if name not in sys.modules:
        package, *path = name.split(".")
        file = Path(*find_spec(package).submodule_search_locations, *path).with_suffix(".py")
        spec = spec_from_file_location(name, file)
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
