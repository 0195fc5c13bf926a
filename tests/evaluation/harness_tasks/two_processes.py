# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Runs the tasks of this folder, and writes a line of JSON with each answer. For several processes: under torchrun."""

import json
import sys
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from modeling_llada.evaluation import LLaDAHarnessLM


if __name__ == "__main__":
    lm = LLaDAHarnessLM(sys.argv[1], device="cpu", num_samples=4, block_length=4)
    tasks = ["poet_next_line", "poet_next_line_choice"]
    manager = TaskManager(include_path=str(Path(__file__).parent), include_defaults=False)
    results = simple_evaluate(lm, tasks=tasks, task_manager=manager, limit=5, bootstrap_iters=0)
    if lm.rank == 0:
        answers = {
            task: {sample["doc_id"]: [answer for answer, *_ in sample["resps"]] for sample in samples}
            for task, samples in results["samples"].items()
        }
        sys.stdout.write(json.dumps({"processes": lm.world_size, "answers": answers}) + "\n")
