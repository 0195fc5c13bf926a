# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The golden checkpoint of LLaDA-V, and what the reference code returned on it (tests/golden/llada-v/README.md)."""

import json
from functools import cache
from pathlib import Path

from PIL import Image
from safetensors.torch import load_file


FOLDER = Path(__file__).parents[1] / "golden" / "llada-v"
GOLDEN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
CASES = {case["name"]: case for case in GOLDEN["cases"]}
LOSSES = {case["name"]: case for case in GOLDEN["losses"]}
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
# The placeholder of an image in the golden `input_ids`.
IMAGE = -200


@cache
def golden_tensors():
    """All tensors by name. `pixel_values.*` are saved as bytes."""
    tensors = load_file(FOLDER / "golden.safetensors")
    pixels = {name: (value.float() / 255 - 0.5) / 0.5 for name, value in tensors.items() if "pixel_values" in name}
    return tensors | pixels


def golden_image(name):
    """The image `A` (100 x 60), `B` (45 x 140), `C` (64 x 64) or `D` (200 x 130)."""
    return Image.fromarray(golden_tensors()[f"image.{name}"].numpy())
