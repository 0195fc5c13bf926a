# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Converts LoRA adapters between the official module names and the names of this package.

An adapter names modules in the keys of its tensors, which are renamed like those of a checkpoint, and in some fields of
adapter_config.json. The rules of PEFT decide which modules such a field names.
"""

from .conversion import convert_adapter
from .report import AdapterReport


__all__ = ["AdapterReport", "convert_adapter"]
