# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""The denoising live in a terminal."""

import io
import math

import pytest
import torch
from rich.console import Console

from modeling_llada.drawing import LiveDenoising, confidence_color


@pytest.mark.parametrize(
    ("prompt", "options"),
    [
        ("床前明月光，", {"max_new_tokens": 6}),
        ("床前明月光，", {"max_new_tokens": 7, "block_length": 3}),
        ("床前[MASK]月[MASK]，", {"max_new_tokens": 0}),
        ("床前[MASK]月[MASK]，", {"max_new_tokens": 5, "block_length": 2}),
        ("床前明月光，", {"max_new_tokens": 6, "num_return_sequences": 3, "temperature": 1.0}),
        ("床前明月光，", {"max_new_tokens": 6, "confidence_threshold": 0.01}),
    ],
)
def test_ends_with_the_result(poet, prompt, options):
    model, tokenizer = poet
    screen = io.StringIO()
    console = Console(force_terminal=True, file=screen, width=100, color_system="truecolor")
    inputs = tokenizer(prompt, return_tensors="pt")
    with LiveDenoising(tokenizer, model.config.mask_token_id, console=console) as streamer:
        output = model.generate(**inputs, **options, streamer=streamer, return_dict_in_generate=True)
    for row, tokens in enumerate(output.sequences):
        assert streamer.draw_text(row).plain == tokenizer.decode(tokens, skip_special_tokens=True)
    assert "step 1" in screen.getvalue()
    assert f"step {output.num_forward_passes.max()}" in screen.getvalue()


def test_a_canvas_that_is_taller_than_the_terminal(poet):
    """The lines around the first mask are seen, and the status."""
    model, tokenizer = poet
    screen = io.StringIO()
    console = Console(force_terminal=True, file=screen, width=60, height=4, color_system=None)
    inputs = tokenizer("床" * 90, return_tensors="pt")
    with LiveDenoising(tokenizer, model.config.mask_token_id, console=console) as streamer:
        model.generate(**inputs, max_new_tokens=30, block_length=10, steps=6, streamer=streamer)
    pictures = screen.getvalue().split("step ")[:-2]  # those with masks
    assert len(pictures) == 5 and all("░" in picture for picture in pictures)


@pytest.fixture
def draw_step(poet):
    """Draws one step after a prompt, and returns the streamer and the screen."""
    _, tokenizer = poet

    def draw(prompt, value, confidence, **options):
        screen = io.StringIO()
        console = Console(force_terminal=True, file=screen, width=100, color_system="truecolor")
        streamer = LiveDenoising(tokenizer, tokenizer.mask_token_id, console=console, **options)
        with streamer:
            streamer.put(tokenizer(prompt, return_tensors="pt").input_ids)
            top_tokens = torch.full((1, len(value), 3), -1)
            streamer.put_draft(
                torch.tensor([value]), step=0, confidence=torch.tensor([confidence]), top_tokens=top_tokens
            )
        return streamer, screen.getvalue()

    return draw


def test_colors_and_masks(poet, draw_step):
    [bright] = poet[1]("明", add_special_tokens=False).input_ids
    streamer, screen = draw_step("床前", [bright, 2, 2], [1.0, math.nan, math.nan])
    text = streamer.draw_text(0)
    assert text.plain == "床前明░░░░"
    assert [str(span.style) for span in text.spans][:2] == ["bold", "bold"]
    assert "2 masks left" in screen
    assert "\x1b[1;37;48;2;24;110;200m明" in screen  # just committed: inverted
    streamer.put_draft(
        torch.tensor([[bright, 2, 2]]), 1, torch.tensor([[1.0, math.nan, math.nan]]), torch.full((1, 3, 3), -1)
    )
    assert str(streamer.draw_text(0).spans[2].style) == confidence_color(1.0)


def test_end_of_text_is_a_dot_while_it_is_drawn(poet, draw_step):
    end = poet[1].eos_token_id
    streamer, screen = draw_step("床", [end, end], [0.9, 0.8])
    assert streamer.draw_text(0).plain == "床··"
    streamer.put(torch.tensor([end, end]))
    streamer.end()
    assert streamer.draw_text(0).plain == "床"


def test_skip_prompt(draw_step):
    streamer, screen = draw_step("床前", [2, 2], [math.nan, math.nan], skip_prompt=True)
    assert streamer.draw_text(0).plain == "░░░░"
    assert "床" not in screen


def test_callback(poet):
    model, tokenizer = poet
    steps = []
    streamer = LiveDenoising(
        tokenizer, 2, console=Console(file=io.StringIO()), callback=lambda frame: steps.append(frame.step)
    )
    model.generate(**tokenizer("床前", return_tensors="pt"), max_new_tokens=2, streamer=streamer)
    assert steps == [-1, 0, 1, 1]


def test_delay_is_measured(poet):
    model, tokenizer = poet
    streamer = LiveDenoising(tokenizer, 2, console=Console(file=io.StringIO()), delay=0.05)
    inputs = tokenizer("床前明月光，", return_tensors="pt")
    model.generate(**inputs, max_new_tokens=4, streamer=streamer)
    assert 0 < streamer.seconds_waited <= 0.15 + 1e-6
