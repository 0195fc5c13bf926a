# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Frames of a prompt with images: each shows as one placeholder, in texts, records and drawings."""

import io

import pytest
import torch
from PIL import Image
from rich.console import Console
from support.golden_v import golden_image

from modeling_llada.drawing import LiveDenoising, denoising_svg, pictures_of
from modeling_llada.drawing.animation import denoising_images
from modeling_llada.drawing.layout import lay_out
from modeling_llada.streaming import DenoisingRecord, RecordingStreamer, TokenState


QUESTIONS = ["<image>\nWhat is <image>?", "Hi. <image>"]
SHOWN = ["[image]\nWhat is [image]?", "Hi. [image]"]


@pytest.fixture(scope="module")
def call(llada_v):
    """The inputs of two rows, of which the second is padded, and the record and the output of their call."""
    model, processor = llada_v
    images = [[golden_image("A"), golden_image("B")], [golden_image("C")]]
    inputs = processor(text=QUESTIONS, images=images, return_tensors="pt")
    streamer = RecordingStreamer(
        processor.tokenizer,
        model.config.mask_token_id,
        attention_mask=inputs["attention_mask"],
        eos_token_id=model.generation_config.eos_token_id,
    )
    options = {"max_new_tokens": 4, "return_dict_in_generate": True, "output_trajectory": True}
    return inputs, streamer.record, model.generate(**inputs, streamer=streamer, **options), streamer


@pytest.fixture(scope="module")
def record(call):
    return call[3].record


@pytest.mark.parametrize("row", [0, 1])
def test_texts(record, row):
    assert record.frames[0].text(row, mask="_") == SHOWN[row] + "____"
    assert record.frames[-1].text(row).startswith(SHOWN[row])
    assert record.frames[-1].text(row, skip_special_tokens=False).startswith(SHOWN[row])
    assert "".join(record.frames[0].texts(row)) == SHOWN[row]


def test_only_the_first_token_of_an_image_is_a_given_one(call, record):
    """The tokens stay those of `generate`."""
    inputs, _, output, _ = call
    assert torch.equal(record.frames[-1].tokens, output.sequences)
    is_image = inputs["input_ids"] == 320
    for frame in record.frames:
        states = frame.states[:, : inputs["input_ids"].shape[1]]
        assert (states == TokenState.IMAGE).sum(-1).tolist() == [is_image[0].sum() - 2, is_image[1].sum() - 1]
        assert (states[is_image] == TokenState.GIVEN).sum() == 3
        assert (states[inputs["attention_mask"] == 0] == TokenState.PAD).all()


def test_records_keep_them(call, record, llada_v, tmp_path):
    inputs, _, output, _ = call
    model, processor = llada_v
    record.save(tmp_path / "record.json")
    loaded = DenoisingRecord.load(tmp_path / "record.json", processor.tokenizer)
    made = DenoisingRecord.from_output(
        output, inputs["input_ids"], processor.tokenizer, model.config.mask_token_id, inputs["attention_mask"]
    )
    for other in (loaded, made):
        for frame in (other.frames[0], other.frames[-1]):
            expected = record.frames[0 if frame is other.frames[0] else -1]
            assert torch.equal(frame.states == TokenState.IMAGE, expected.states == TokenState.IMAGE)
            assert frame.text(0) == expected.text(0)


def test_a_drawing_has_one_box_for_an_image(record):
    pictures = pictures_of(record.frames)
    labels = [place.label for place in lay_out(pictures[-1], 68).places]
    assert labels.count("[image]") == 2 and len(labels) < 30
    svg = denoising_svg(record)
    assert svg.count(">[image]</text>") == 2 * svg.count('class="note" x="28"') - 2  # in each line but the caption
    assert "[image]" not in denoising_svg(record, skip_prompt=True)
    image = denoising_images(pictures[:1])[0]
    assert isinstance(image, Image.Image) and image.height < 800


def test_in_a_terminal(llada_v):
    model, processor = llada_v
    inputs = processor(text=QUESTIONS[0], images=[golden_image("A"), golden_image("B")], return_tensors="pt")
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, height=20)
    with LiveDenoising(processor.tokenizer, model.config.mask_token_id, console=screen) as streamer:
        model.generate(**inputs, max_new_tokens=4, streamer=streamer)
    assert streamer.draw_text(0).plain.startswith(SHOWN[0])
    assert screen.file.getvalue().count("[image]") == 2 * screen.file.getvalue().count("step ")


def test_special_tokens_without_a_name_are_no_text(llada_v):
    """EoT, at which answers of LLaDA-V end, and the headers of a chat."""
    model, processor = llada_v
    streamer = RecordingStreamer(processor.tokenizer, model.config.mask_token_id)
    text = "<|start_header_id|>user<|end_header_id|>Hi<|eot_id|>"
    model.generate(**processor(text=text, return_tensors="pt"), max_new_tokens=1, streamer=streamer)
    cells = pictures_of(streamer.record.frames)[0].cells
    assert [cell.text for cell in cells if cell.is_special] == [
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ]


def test_a_text_model_may_have_the_word_in_its_vocabulary(tiny_poet):
    """Only a token that was added to the tokenizer stands for an image."""
    model, tokenizer = tiny_poet
    assert RecordingStreamer(tokenizer, model.config.mask_token_id).reader.placeholders == {}
