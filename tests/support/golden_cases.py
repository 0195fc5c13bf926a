# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The generation cases of the golden checkpoint, with their options under our names."""

import json
from pathlib import Path


FOLDER = Path(__file__).parents[1] / "golden" / "llada-mha"
CASES = json.loads((FOLDER / "golden.json").read_text())["cases"]
CACHED_CASES = json.loads((FOLDER / "golden_cached.json").read_text())
SAME_OPTIONS = ("steps", "block_length", "cfg_scale", "logits_eos_inf", "confidence_eos_eot_inf")


def options_of(case):
    """The options of a reference case, under our names."""
    options = {name: case[name] for name in SAME_OPTIONS if name in case}
    return options | {"max_new_tokens": case["gen_length"], "stop_at_eos": False, "eot_token_id": 302}


def case_name(case):
    return (
        "-".join(str(case[name]) for name in ("case", "cache", "threshold") if case.get(name) is not None)
        + "-"
        + ("-".join(f"{name}{case[name]}" for name in SAME_OPTIONS if name in case))
    )
