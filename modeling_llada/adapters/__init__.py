# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""LoRA adapters that were trained on the official modules, under the names of our modules, and back.

An adapter names modules twice: in the keys of its tensors, which are renamed like those of a checkpoint, and in the
fields of adapter_config.json that say what is adapted. Needs PEFT, whose rules decide which module a field names.
"""

from .conversion import convert_adapter
from .report import AdapterReport


__all__ = ["AdapterReport", "convert_adapter"]
