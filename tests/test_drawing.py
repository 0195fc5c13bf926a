# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures of the denoising, in a terminal and as SVG."""

import io
import math
from xml.etree import ElementTree

import pytest
import torch
from rich.console import Console
from tiny_poet import save_tiny_poet
from transformers import AutoTokenizer

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.drawing import LiveDenoising, choose_frames, confidence_color, denoising_svg, write_atomically


@pytest.fixture(scope="module")
def poet(tmp_path_factory):
    """A tiny random model and the tokenizer of the shipped checkpoint."""
    folder = save_tiny_poet(tmp_path_factory.mktemp("checkpoints") / "tiny-poet")
    return LLaDAForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


class TestColor:
    def test_scale(self):
        assert [confidence_color(value) for value in (0.0, 0.5, 1.0)] == ["#d1495b", "#e29534", "#268c80"]
        assert confidence_color(0.25) not in (confidence_color(0.0), confidence_color(0.5))

    def test_out_of_range(self):
        assert confidence_color(-1.0) == confidence_color(0.0)
        assert confidence_color(2.0) == confidence_color(math.nan) == confidence_color(1.0)


class TestLive:
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
    def test_ends_with_the_result(self, poet, prompt, options):
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

    def test_colors_and_masks(self, poet):
        model, tokenizer = poet
        screen = io.StringIO()
        console = Console(force_terminal=True, file=screen, width=100, color_system="truecolor")
        streamer = LiveDenoising(tokenizer, mask_token_id=2, console=console)
        prompt = tokenizer("床前", return_tensors="pt").input_ids
        [bright, dim] = tokenizer("明月", add_special_tokens=False).input_ids
        with streamer:
            streamer.put(prompt)
            value = torch.tensor([[bright, 2, 2]])
            streamer.put_draft(value, step=0, confidence=torch.tensor([[1.0, torch.nan, torch.nan]]), top_tokens=None)
        text = streamer.draw_text(0)
        assert text.plain == "床前明░░░░"
        assert [str(span.style) for span in text.spans][:3] == ["bold", "bold", confidence_color(1.0)]
        assert "2 masks left" in screen.getvalue()
        assert "\x1b[1;37;48;2;38;140;128m明" in screen.getvalue()  # just committed: inverted

    def test_end_of_text_is_a_dot_while_it_is_drawn(self, poet):
        model, tokenizer = poet
        streamer = LiveDenoising(tokenizer, mask_token_id=2, console=Console(file=io.StringIO()))
        streamer.put(tokenizer("床", return_tensors="pt").input_ids)
        end = tokenizer.eos_token_id
        streamer.put_draft(
            torch.tensor([[end, end]]), step=0, confidence=torch.tensor([[0.9, torch.nan]]), top_tokens=None
        )
        assert streamer.draw_text(0, is_fresh=torch.zeros(1, 3, dtype=torch.bool)).plain == "床·"
        assert streamer.draw_text(0).plain == "床"

    def test_delay_is_measured(self, poet):
        model, tokenizer = poet
        streamer = LiveDenoising(tokenizer, 2, console=Console(file=io.StringIO()), delay=0.02)
        inputs = tokenizer("床前明月光，", return_tensors="pt")
        model.generate(**inputs, max_new_tokens=4, streamer=streamer)
        assert 0 < streamer.seconds_waited <= 0.06 + 1e-6


class TestPicture:
    def draw(self, poet, prompt="床前明月光，", **options):
        model, tokenizer = poet
        inputs = tokenizer(prompt, return_tensors="pt")
        output = model.generate(**inputs, return_dict_in_generate=True, output_trajectory=True, **options)
        steps, confidence = output.trajectory
        svg = denoising_svg(output.sequences[0], steps[0], confidence[0], tokenizer, caption="a < b & c")
        return ElementTree.fromstring(svg), output

    @staticmethod
    def count(picture, kind):
        return sum(element.get("class", "").split(" ").count(kind) for element in picture.iter())

    def test_frames(self, poet):
        picture, _ = self.draw(poet, max_new_tokens=4, stop_at_eos=False)
        assert self.count(picture, "mask") == 4 + 3 + 2 + 1
        assert self.count(picture, "fresh") == 4
        assert self.count(picture, "known") == 1 + 2 + 3
        assert self.count(picture, "given") == 5 * 6
        assert any(element.text == "a < b & c" for element in picture.iter())

    def test_infilling_keeps_what_follows(self, poet):
        picture, _ = self.draw(poet, prompt="床前[MASK]月光，", max_new_tokens=0)
        assert self.count(picture, "given") == 2 * 5

    def test_pads_are_left_out(self, poet):
        _, tokenizer = poet
        tokens = torch.tensor(tokenizer("床前").input_ids + [tokenizer.eos_token_id] * 3)
        steps = torch.tensor([-1, 0, 1, -1, -1])
        picture = ElementTree.fromstring(denoising_svg(tokens, steps, torch.rand(5), tokenizer))
        assert self.count(picture, "mask") == 2 + 1
        assert self.count(picture, "special") == 1

    def test_many_steps_are_thinned_out(self, poet):
        picture, _ = self.draw(poet, max_new_tokens=40, stop_at_eos=False)
        assert self.count(picture, "fresh") == 40
        assert self.count(picture, "given") == 11 * 6

    def test_no_masks(self, poet):
        picture, _ = self.draw(poet, max_new_tokens=0)
        assert self.count(picture, "given") == 6

    def test_choose_frames(self):
        assert choose_frames(-1, 10) == [-1]
        assert choose_frames(2, 10) == [-1, 0, 1, 2]
        frames = choose_frames(99, 10)
        assert len(frames) == 11 and frames[-1] == 99 and frames == sorted(set(frames))

    def test_write_atomically(self, tmp_path):
        path = tmp_path / "file.svg"
        write_atomically(path, "月")
        write_atomically(path, "光")
        assert path.read_text(encoding="utf-8") == "光"
        assert list(tmp_path.iterdir()) == [path]
