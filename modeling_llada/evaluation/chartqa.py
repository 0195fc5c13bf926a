# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The score of the task `chartqa_short`, which the harness has for answers that follow "Final Answer:"."""

from lm_eval.tasks.chartqa.utils import RelaxedCorrectness


def process_results(doc: dict, results: list[str]) -> dict[str, float]:
    """Whether a short answer is right; a number may be off by 5%."""
    return {"relaxed_accuracy": float(RelaxedCorrectness().score(results[0].strip(), doc["label"][:1]))}
