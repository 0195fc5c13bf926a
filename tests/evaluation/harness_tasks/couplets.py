# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The data of the tasks in this folder, wherever they are run from."""

import json
from pathlib import Path

from datasets import Dataset


def load_couplets(**kwargs) -> dict[str, Dataset]:
    """Famous couplets: a line, the one that follows, and three that do not."""
    lines = Path(__file__).with_name("couplets.jsonl").read_text(encoding="utf-8").splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}
