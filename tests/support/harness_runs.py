# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""A small run of lm-evaluation-harness that tests start in processes of their own."""

import json
from pathlib import Path
from unittest import mock

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from modeling_llada.evaluation import LLaDAHarnessLM


TASKS = Path(__file__).parents[1] / "evaluation" / "harness_tasks"


def write_answers(folder, path) -> None:
    """Writes the answers to both tasks: those of five documents, so that two processes have different numbers."""
    lm = LLaDAHarnessLM(str(folder), device="cpu", num_samples=2, max_new_tokens=4)
    tasks = TaskManager(include_path=str(TASKS), include_defaults=False)
    names = ["poet_next_line", "poet_next_line_choice"]
    with mock.patch("lm_eval.evaluator.add_env_info"):
        results = simple_evaluate(lm, tasks=names, task_manager=tasks, limit=5, bootstrap_iters=0)
    if lm.rank == 0:
        answers = {
            name: [
                [answer for answer, *_ in sample["resps"]]
                for sample in sorted(samples, key=lambda sample: sample["doc_id"])
            ]
            for name, samples in results["samples"].items()
        }
        path.write_text(json.dumps({"processes": lm.world_size, **answers}))
