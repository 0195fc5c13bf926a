# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising as an SVG picture."""

import math
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch

from modeling_llada.drawing import denoising_svg
from modeling_llada.drawing.timing import thin_out
from modeling_llada.streaming import CanvasFrame, DenoisingRecord, RecordingStreamer, TokenReader


def draw(poet, prompt="床前明月光，", **options):
    model, tokenizer = poet
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**inputs, return_dict_in_generate=True, output_trajectory=True, **options)
    record = DenoisingRecord.from_output(output, inputs["input_ids"], tokenizer, model.config.mask_token_id)
    return ElementTree.fromstring(denoising_svg(record, caption="a < b & c")), output


def count(picture, kind):
    return sum(element.get("class", "").split(" ").count(kind) for element in picture.iter())


def test_frames(poet):
    picture, _ = draw(poet, max_new_tokens=4, stop_at_eos=False)
    assert count(picture, "mask") == 4 + 3 + 2 + 1
    assert count(picture, "fresh") == 4
    assert count(picture, "known") == 1 + 2 + 3
    assert count(picture, "given") == 5 * 6
    assert any(element.text == "a < b & c" for element in picture.iter())


def test_infilling_keeps_what_follows(poet):
    picture, _ = draw(poet, prompt="床前[MASK]月光，", max_new_tokens=0)
    assert count(picture, "given") == 2 * 5


def test_pads_are_left_out(poet):
    tokenizer = poet[1]
    streamer = RecordingStreamer(tokenizer, 2)
    prompt = tokenizer(["床前", "床前明"], padding=True, return_tensors="pt").input_ids
    end = tokenizer.eos_token_id
    streamer.put(prompt)
    for step, confidence in enumerate([[0.9, math.nan], [0.9, 0.8]]):
        value = torch.tensor([[end, 2 if step == 0 else end]] * 2)
        streamer.put_draft(value, step, torch.tensor([confidence] * 2), torch.full((2, 2, 3), -1))
    streamer.put(torch.tensor([[end, end]] * 2))
    streamer.end()
    for row, length in ((0, 2), (1, 3)):
        picture = ElementTree.fromstring(denoising_svg(streamer.record, row=row))
        # The second step wrote what became a pad: it is not drawn.
        assert count(picture, "given") == 2 * length
        assert count(picture, "mask") == count(picture, "special") == 1


@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        ("床前明月光，", {"max_new_tokens": 6}),
        ("床前[MASK]月光，", {"max_new_tokens": 7, "block_length": 3}),
        ("床前明月光，", {"max_new_tokens": 20, "confidence_threshold": 0.02}),
    ],
)
def test_of_a_streamer_and_of_a_trajectory(poet, prompt, options):
    model, tokenizer = poet
    streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
    inputs = tokenizer(prompt, return_tensors="pt")
    options = options | {"return_dict_in_generate": True, "output_trajectory": True}
    output = model.generate(**inputs, streamer=streamer, **options)
    record = DenoisingRecord.from_output(output, inputs["input_ids"], tokenizer, model.config.mask_token_id)
    assert denoising_svg(record) == denoising_svg(streamer.record)


def test_bad_arguments(poet):
    model, tokenizer = poet
    with pytest.raises(ValueError, match="`record` is not complete"):
        denoising_svg(DenoisingRecord([]))
    streamer = RecordingStreamer(tokenizer, 2)
    model.generate(**tokenizer("床", return_tensors="pt"), max_new_tokens=0, streamer=streamer)
    with pytest.raises(ValueError, match="`row` must be one of the 1 rows of the record, but got 1"):
        denoising_svg(streamer.record, row=1)
    with pytest.raises(ValueError, match="`max_frames` must be at least 1, but got 0"):
        denoising_svg(streamer.record, max_frames=0)


def test_many_steps_are_thinned_out(poet):
    picture, _ = draw(poet, max_new_tokens=40, stop_at_eos=False)
    assert count(picture, "fresh") == 40
    assert count(picture, "given") == 11 * 6


def test_control_characters():
    """XML has no way to write them."""
    tokenizer = SimpleNamespace(decode=lambda tokens, **_: "\x1b", all_special_ids=[], eos_token_id=None)
    reader = TokenReader(tokenizer, mask_token_id=2)
    frame = CanvasFrame.start(torch.tensor([[9]]), torch.tensor([[False]]), 1, reader)
    record = DenoisingRecord([frame, frame.advance(-1, frame.tokens, frame.confidence, is_final=True)])
    picture = ElementTree.fromstring(denoising_svg(record))
    assert any(element.text == "\N{REPLACEMENT CHARACTER}" for element in picture.iter())


def test_no_masks(poet):
    picture, _ = draw(poet, max_new_tokens=0)
    assert count(picture, "given") == 6


def test_thin_out():
    assert thin_out(["start"], 11) == ["start"]
    assert thin_out([*range(4)], 11) == [0, 1, 2, 3]
    assert thin_out([*range(101)], 11) == [*range(0, 101, 10)]
