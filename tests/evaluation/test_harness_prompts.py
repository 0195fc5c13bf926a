# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Prompts of the harness with pictures: what they are cut to, and how they are sorted into batches."""

import pytest


pytest.importorskip("lm_eval", reason="needs the extra `eval`")

from PIL import Image
from support.golden_v import FOLDER

from modeling_llada import LLaDAVProcessor
from modeling_llada.evaluation.harness_prompts import (
    Prompt,
    add_to_question,
    estimate_length,
    make_prompt,
    with_image_parts,
)


IMAGE = 320  # the token in the golden vocabulary


@pytest.fixture(scope="module")
def processor():
    return LLaDAVProcessor.from_pretrained(FOLDER)


def picture(width, height):
    return Image.new("RGB", (width, height))


def test_text_is_cropped_on_the_left_and_a_prompt_with_images_is_not():
    assert Prompt([5, 6, 7]).crop(2).tokens == [6, 7]
    assert Prompt([5, 6, 7]).crop(0).tokens == []
    assert Prompt([5, IMAGE, 7], [picture(8, 8)]).crop(2).tokens == [5, IMAGE, 7]


def test_prompts_are_sorted_by_their_tiles(processor):
    """Tiles are 70 pixels wide here, with 25 features each."""
    images = [[], [picture(64, 64)], [picture(100, 60)], [picture(200, 130)], [picture(200, 130)] * 2]
    prompts = [Prompt([5, *[IMAGE] * len(one)], one) for one in images]
    assert [estimate_length(prompt, processor) for prompt in prompts] == [1, 2 + 50, 2 + 75, 2 + 175, 3 + 50]


def test_equal_prompts_have_equal_keys(processor):
    keys = {
        make_prompt([5, IMAGE], [image], processor, "task").key
        for image in (picture(8, 8), picture(8, 8), picture(9, 8), picture(8, 9))
    }
    assert len(keys) == 3


def test_a_model_of_text_takes_no_images():
    with pytest.raises(ValueError, match="task has images, but the model has no processor"):
        make_prompt([5], [picture(8, 8)], None, "task")


def test_images_are_parts_of_a_message():
    text, image = {"type": "text", "text": "and"}, {"type": "image"}
    messages = [{"role": "user", "content": "<image>and<image>"}, {"role": "assistant", "content": "no"}]
    assert with_image_parts(messages, "<image>") == [{"role": "user", "content": [image, text, image]}, messages[1]]


def test_a_suffix_follows_the_last_question():
    messages = [{"role": role, "content": role} for role in ("user", "assistant", "user", "assistant")]
    assert [one["content"] for one in add_to_question(messages, " /think")] == [
        "user",
        "assistant",
        "user /think",
        "assistant",
    ]
