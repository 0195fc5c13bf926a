# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The tests of compilers need the packages of the extra `constraints`."""

from importlib.util import find_spec


PACKAGES = ("outlines_core", "jsonschema", "lark", "pydantic")
collect_ignore_glob = [] if all(map(find_spec, PACKAGES)) else ["test_*.py"]
