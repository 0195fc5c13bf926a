# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The golden cases of samplers that edit, under our names of the options."""

import functools

import pytest
import torch
from torch.nn.functional import pad
from transformers import AutoModelForMaskedLM

from support.golden_families import golden_of


# SGLang makes a forward pass more in some blocks, which changes nothing: in those that run out of `max_post_edit_steps`, and with
# DELETE and INSERT in those whose last step changes something.
PASSES_OF_SGLANG = {12: 5, 13: 2, 14: 5, 15: 3, 16: 4, 17: 4}
LONG = (6, 10, 12, 14, 17)


def cases_of(*versions):
    """The cases of some samplers; the long ones are slow tests."""
    return [
        pytest.param(case, marks=pytest.mark.slow if case["case"] in LONG else (), id=str(case["case"]))
        for case in golden_of("llada2").values["cases"]
        if case["version"] in versions
    ]


@functools.cache
def model_of(is_routed_by_blocks: bool):
    """The golden model with the tokens DELETE and INSERT, and with the routing of LLaDA2.2 or without."""
    golden = golden_of("llada2")
    ids = golden.values["special_ids"]
    routing = {"expert_capacity": 6, "block_size": 8} if is_routed_by_blocks else {}
    tokens = {"mask_token_id": ids["mask"], "delete_token_id": ids["delete"], "split_token_id": ids["split_insert"]}
    return AutoModelForMaskedLM.from_pretrained(golden.folder, dtype=torch.float32, **tokens, **routing).eval()


def call_of(case):
    """The model, the prompt and the options of a case."""
    options = {
        "max_new_tokens": case["gen_length"],
        "block_length": case["block_length"],
        "confidence_threshold": case["threshold"],
        "edit_threshold": case.get("editing_threshold", case.get("edit_threshold")),
        "max_post_edit_steps": case.get("max_post_steps", case.get("max_post_edit_steps")),
        "min_commits": case.get("num_to_transfer"),
        "stutter_penalty": case.get("penalty_lambda"),
        "insert_delete": case["version"].endswith("InDel"),
        "stop_at_eos": case.get("eos_early_stop", "sglang" in case["version"]),
        "eos_token_id": case.get("eos_id", golden_of("llada2").values["special_ids"]["eos"]),
    }
    prompt = golden_of("llada2").tensors[f"case{case['case']}.prompt"]
    return model_of("expert_capacity" in case), prompt, options | {"return_dict_in_generate": True}


def check_alone(case, **options):
    """Asserts that a case has the tokens and the forward passes of the public code."""
    model, prompt, own = call_of(case)
    check(case, model.generate(prompt, **own | options))


def check_in_batch(case, **options):
    """The same in a padded batch, with a row that is not finished at the same time."""
    model, prompt, own = call_of(case)
    eos = own["eos_token_id"]
    batch = torch.cat([pad(prompt, (3, 0), value=eos), pad(prompt[:, :-2], (5, 0), value=eos)])
    mask = (torch.arange(batch.shape[1]) >= torch.tensor([[3], [5]])).long()
    check(case, model.generate(batch, attention_mask=mask, **own | options))


def check(case, output):
    """The first row of an output is that of the case."""
    eos, answer = call_of(case)[-1]["eos_token_id"], golden_of("llada2").tensors[f"case{case['case']}.answer"]
    tokens = output.sequences[0, -case["gen_length"] :].tolist()
    assert (tokens[: tokens.index(eos) + 1] if eos in tokens else tokens) == answer[0].tolist()
    passes = output.num_forward_passes[0].item()
    assert passes + PASSES_OF_SGLANG.get(case["case"], 0) == case["forward_passes"]
