# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Labels, noise and losses of rows with images equal those of the reference code (tests/golden/llada-v)."""

import pytest
import torch


pytest.importorskip("trl", reason="TRL is not part of this environment")

from datasets import Dataset
from support.golden_v import LOSSES, golden_image, golden_tensors
from support.vision_runs import vision_trainer

from modeling_llada.training.masking.noise import RowNoise
from modeling_llada.training.masking.row_order import RowKey


STAGE_1 = {
    "plain_captions": True,
    "image_aspect_ratio": "square",
    "patch_merge_type": "flat",
    "eos_fill": "longest",
}
DIALOGUE = [
    {"role": "system", "content": "hi"},
    {"role": "user", "content": "<image>\nWhat is it?"},
    {"role": "assistant", "content": "A square."},
    {"role": "user", "content": "Which colour?"},
    {"role": "assistant", "content": "Red."},
]
TEXT_ONLY = [
    {"role": "system", "content": "hi"},
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Good day."},
]


def caption(image, text):
    talk = [{"from": "human", "value": "Describe it.\n<image>"}, {"from": "gpt", "value": text}]
    return {"conversations": talk, "image": golden_image(image)}


# The rows and the settings of each case.
CASES = {
    "stage1_plain": ([caption("A", "a red square on blue"), caption("B", "noise")], STAGE_1),
    "sft_two_turns": ([{"messages": DIALOGUE, "image": golden_image("A")}], {}),
    "sft_two_turns_conversation_mask": (
        [{"messages": DIALOGUE, "image": golden_image("A")}],
        {"dialogue_mask": True},
    ),
    "sft_text_only": ([{"messages": TEXT_ONLY, "images": []}], {}),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """The name of a case, its trainer, and its batches with every label masked and with none."""
    rows, settings = CASES[request.param]
    trainer = vision_trainer(
        tmp_path_factory.mktemp("run"),
        Dataset.from_list(rows),
        reference_labels=True,
        loss_normalization="sequence",
        **settings,
    )
    numbered = trainer.numbered_rows(trainer.train_dataset, RowNoise(0, "train"))
    rows = [numbered[RowKey(0, index, index)] for index in range(len(numbered))]
    whole, clean = (trainer.data_collator([row._replace(rate=rate) for row in rows]) for rate in (2.0, 0.0))
    return request.param, trainer, whole, clean


def test_labels(case):
    name, _, whole, _ = case
    assert torch.equal(whole["labels"], golden_tensors()[f"loss.{name}.merged_labels"])
    assert whole["response_lengths"].tolist() == LOSSES[name]["answer_tokens"]


def test_the_loss_of_the_recorded_noise(case):
    name, trainer, _, clean = case
    masked, rates = (golden_tensors()[f"loss.{name}.{part}"] for part in ("masked", "p_mask"))
    batch = clean | {
        "input_ids": clean["input_ids"].masked_fill(masked, trainer.model.config.mask_token_id),
        "labels": clean["input_ids"].masked_fill(~masked, -100),
        "masked_positions": masked.flatten().nonzero().flatten(),
        "rates": rates,
    }
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, batch)
    assert loss.item() == pytest.approx(LOSSES[name]["loss"], abs=2e-5)


def test_turns_of_the_dialogue_mask(case):
    name, _, _, clean = case
    if name != "sft_two_turns_conversation_mask":
        assert clean["attention_mask"].ndim == 2
        return
    turns = golden_tensors()[f"loss.{name}.conversation_ids"][0]
    assert torch.equal(clean["attention_mask"][0, 0], turns[None, :] <= turns[:, None])


def test_tokens(case):
    """With the image token once for each feature, in the place of the placeholder of the reference."""
    name, trainer, _, clean = case
    image = trainer.model.config.image_token_id
    found = [[token for token in row if token != image] for row in clean["input_ids"].tolist()]
    expected = [[token for token in row if token >= 0] for row in golden_tensors()[f"loss.{name}.input_ids"].tolist()]
    assert found == expected
