# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Asking a model many questions in a run that can be continued: a file of the results so far."""

import json
import sys
from pathlib import Path

from modeling_llada.writing import write_atomically


def load(path: Path, run_settings: dict) -> dict:
    """The results so far. A file of other questions cannot be continued."""
    if not path.exists():
        return {"settings": run_settings, "seconds": 0.0, "results": {}}
    values = json.loads(path.read_text(encoding="utf-8"))
    if values["settings"] != run_settings:
        sys.exit(
            f"`--json` must name a file of the same run: {path} has {values['settings']}, but got {run_settings}. "
            "Name another file, or delete it."
        )
    return values


def save(path: Path, values: dict) -> None:
    """Writes the results so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(values, ensure_ascii=False, indent=1) + "\n")
