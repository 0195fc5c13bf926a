# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Pictures of the denoising, in a terminal and as SVG."""

import io
import math
import os
from xml.etree import ElementTree

import pytest
import torch
from rich.console import Console
from support.tiny_poet import SHIPPED_CHECKPOINT, save_tiny_poet
from transformers import AutoTokenizer

from modeling_llada import LLaDAForMaskedLM
from modeling_llada.drawing import LiveDenoising, denoising_svg, write_atomically
from modeling_llada.drawing.colors import confidence_color
from modeling_llada.drawing.svg import choose_frames
from modeling_llada.streaming.streamers import CanvasFrame, DenoisingRecord, RecordingStreamer, TokenReader


@pytest.fixture(scope="module")
def poet(tmp_path_factory):
    """A tiny random model and the tokenizer of the shipped checkpoint."""
    folder = save_tiny_poet(tmp_path_factory.mktemp("checkpoints") / "tiny-poet")
    return LLaDAForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


class TestColor:
    def test_scale(self):
        assert [confidence_color(value) for value in (0.0, 0.5, 1.0)] == ["#c45612", "#9e617e", "#186ec8"]
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

    @pytest.fixture
    def draw_step(self, poet):
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

    def test_colors_and_masks(self, poet, draw_step):
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

    def test_end_of_text_is_a_dot_while_it_is_drawn(self, poet, draw_step):
        end = poet[1].eos_token_id
        streamer, screen = draw_step("床", [end, end], [0.9, 0.8])
        assert streamer.draw_text(0).plain == "床··"
        streamer.put(torch.tensor([end, end]))
        streamer.end()
        assert streamer.draw_text(0).plain == "床"

    def test_skip_prompt(self, draw_step):
        streamer, screen = draw_step("床前", [2, 2], [math.nan, math.nan], skip_prompt=True)
        assert streamer.draw_text(0).plain == "░░░░"
        assert "床" not in screen

    def test_callback(self, poet):
        model, tokenizer = poet
        steps = []
        streamer = LiveDenoising(
            tokenizer, 2, console=Console(file=io.StringIO()), callback=lambda frame: steps.append(frame.step)
        )
        model.generate(**tokenizer("床前", return_tensors="pt"), max_new_tokens=2, streamer=streamer)
        assert steps == [-1, 0, 1, 1]

    def test_delay_is_measured(self, poet):
        model, tokenizer = poet
        streamer = LiveDenoising(tokenizer, 2, console=Console(file=io.StringIO()), delay=0.2)
        inputs = tokenizer("床前明月光，", return_tensors="pt")
        model.generate(**inputs, max_new_tokens=4, streamer=streamer)
        assert 0 < streamer.seconds_waited <= 0.6 + 1e-6


class TestPicture:
    def draw(self, poet, prompt="床前明月光，", **options):
        model, tokenizer = poet
        inputs = tokenizer(prompt, return_tensors="pt")
        output = model.generate(**inputs, return_dict_in_generate=True, output_trajectory=True, **options)
        record = DenoisingRecord.from_output(output, inputs["input_ids"], tokenizer, model.config.mask_token_id)
        return ElementTree.fromstring(denoising_svg(record, caption="a < b & c")), output

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

    def test_pads_are_left_out(self):
        tokenizer = AutoTokenizer.from_pretrained(SHIPPED_CHECKPOINT)
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
            assert self.count(picture, "given") == 2 * length
            assert self.count(picture, "mask") == self.count(picture, "special") == 1

    @pytest.mark.parametrize(
        ("prompt", "options"),
        [
            ("床前明月光，", {"max_new_tokens": 6}),
            ("床前[MASK]月光，", {"max_new_tokens": 7, "block_length": 3}),
            ("床前明月光，", {"max_new_tokens": 20, "confidence_threshold": 0.02}),
        ],
    )
    def test_of_a_streamer_and_of_a_trajectory(self, poet, prompt, options):
        model, tokenizer = poet
        streamer = RecordingStreamer(tokenizer, model.config.mask_token_id)
        inputs = tokenizer(prompt, return_tensors="pt")
        options = options | {"return_dict_in_generate": True, "output_trajectory": True}
        output = model.generate(**inputs, streamer=streamer, **options)
        record = DenoisingRecord.from_output(output, inputs["input_ids"], tokenizer, model.config.mask_token_id)
        assert denoising_svg(record) == denoising_svg(streamer.record)

    def test_a_record_that_is_not_whole_is_an_error(self, poet):
        model, tokenizer = poet
        with pytest.raises(ValueError, match="`record` is not whole"):
            denoising_svg(DenoisingRecord([]))
        streamer = RecordingStreamer(tokenizer, 2)
        model.generate(**tokenizer("床", return_tensors="pt"), max_new_tokens=0, streamer=streamer)
        with pytest.raises(ValueError, match="`row` must be one of the 1 rows of the record, but got 1"):
            denoising_svg(streamer.record, row=1)

    def test_many_steps_are_thinned_out(self, poet):
        picture, _ = self.draw(poet, max_new_tokens=40, stop_at_eos=False)
        assert self.count(picture, "fresh") == 40
        assert self.count(picture, "given") == 11 * 6

    def test_control_characters(self, poet):
        """XML knows no way to write them."""
        _, tokenizer = poet
        reader = TokenReader(tokenizer, tokenizer.mask_token_id)
        reader._known[9] = "\x1b"
        frame = CanvasFrame.start(torch.tensor([[9]]), torch.tensor([[False]]), 1, reader)
        record = DenoisingRecord([frame, frame.advance(-1, frame.tokens, frame.confidence, is_final=True)])
        picture = ElementTree.fromstring(denoising_svg(record))
        assert any(element.text == "\N{REPLACEMENT CHARACTER}" for element in picture.iter())

    def test_no_masks(self, poet):
        picture, _ = self.draw(poet, max_new_tokens=0)
        assert self.count(picture, "given") == 6

    def test_choose_frames(self):
        assert choose_frames(["start"], 10) == ["start"]
        assert choose_frames(list(range(4)), 10) == [0, 1, 2, 3]
        frames = choose_frames(list(range(101)), 10)
        assert len(frames) == 11 and (frames[0], frames[-1]) == (0, 100) and frames == sorted(set(frames))

    def test_write_atomically(self, tmp_path):
        path = tmp_path / "file.svg"
        write_atomically(path, "月")
        write_atomically(path, "光")
        assert path.read_text(encoding="utf-8") == "光"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_link_stays_a_link(self, tmp_path):
        file, link = tmp_path / "file.svg", tmp_path / "link.svg"
        file.write_text("")
        link.symlink_to(file)
        write_atomically(link, "月")
        assert link.is_symlink() and file.read_text(encoding="utf-8") == "月"

    def test_a_pipe_is_written_into(self, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        write_atomically(path, "月")
        assert os.read(reader, 100).decode() == "月" and path.is_fifo()
        os.close(reader)


# Viénot, Brettel and Mollon 1999, on linear red, green and blue: what is left of a colour without one kind of cones.
BLINDNESS = {
    "protanopia": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deuteranopia": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
}


def lab_of(linear):
    """CIELAB of linear red, green and blue (D65)."""
    x, y, z = (
        sum(weight * part for weight, part in zip(row, linear, strict=True)) / white
        for row, white in (
            ((0.4124, 0.3576, 0.1805), 0.9505),
            ((0.2126, 0.7152, 0.0722), 1.0),
            ((0.0193, 0.1192, 0.9505), 1.089),
        )
    )
    x, y, z = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def linear_of(color):
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (c / 255 for c in color)]


@pytest.mark.parametrize("blindness", [None, *BLINDNESS])
def test_colors_of_confidences_differ_for_the_colour_blind(blindness):
    """Anchors and the shades between them differ by several times what an eye just notices (2.3)."""
    from modeling_llada.drawing.colors import mix_confidence

    places = []
    for confidence in (0.0, 0.25, 0.5, 0.75, 1.0):
        linear = linear_of(mix_confidence(confidence))
        if blindness:
            rows = BLINDNESS[blindness]
            linear = [max(sum(w * part for w, part in zip(row, linear, strict=True)), 0.0) for row in rows]
        places.append(lab_of(linear))
    assert min(math.dist(*pair) for pair in zip(places, places[1:], strict=False)) > 18
    assert min(math.dist(*pair) for pair in zip(places[::2], places[2::2], strict=False)) > 40
    assert math.dist(places[0], places[-1]) > 90
