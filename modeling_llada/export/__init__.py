# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""From a checkpoint to a complete folder for the Hub.

- `checkpoint.py`: the export, in one of two layouts
- `source.py`: reads and checks the checkpoint
- `tokenizer.py`: the tokenizer with its mask token and a chat template
- `model_card.py`: README.md
- `hub.py`: the upload
"""

from .checkpoint import LAYOUTS, ExportedCheckpoint, export_checkpoint
from .hub import push_folder


__all__ = ["LAYOUTS", "ExportedCheckpoint", "export_checkpoint", "push_folder"]
