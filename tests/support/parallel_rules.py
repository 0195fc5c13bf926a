# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The parallel rules, each at values with which a tiny random model commits several tokens in some steps, but not all."""

PARALLEL_RULES = {
    "confidence_threshold": {"confidence_threshold": 0.2},
    "leap_threshold": {"confidence_threshold": 0.3, "leap_threshold": 0.1},
    "confidence_factor": {"confidence_factor": 1.5},
    "entropy_bound": {"entropy_bound": 3.0},
}
