# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""JSON files that people bring. It must not import torch, because `llada --help` reads the fields of a checkpoint."""

import json
from pathlib import Path


KINDS = {dict: "object", list: "list"}


def read_json(path: str | Path, kind: type) -> dict | list:
    """
    The content of a JSON file, UTF-8 with or without a byte order mark.

    Raises:
        `ValueError`: if the file cannot be read, or does not hold a `kind`, `dict` or `list`. It names the file.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a JSON file, but it cannot be read: {error}.") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} must hold a JSON {KINDS[kind]}, but got {str(content)[:100]}.")
    return content
