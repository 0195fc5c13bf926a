# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Streamers: one call after the other, an iterator, and the streamers of transformers."""

import threading
import time

import pytest
import torch
from support.letter_records import LetterTokenizer
from support.mock_model import MASK, PROMPT, MockModel, context_script, scripted
from transformers import TextDiffusionStreamer, TextIteratorStreamer, TextStreamer

from modeling_llada.models import generation_inputs_llada
from modeling_llada.streaming import CanvasIteratorStreamer, CanvasStreamer, RecordingStreamer


class TestSeveralCalls:
    def test_one_after_the_other(self):
        streamer = RecordingStreamer(LetterTokenizer(), MASK)
        for prompt, length in ((PROMPT, 2), (torch.tensor([[2, MASK], [3, 4]]), 3), (PROMPT, 0)):
            output = MockModel(context_script()).generate(prompt, max_new_tokens=length, streamer=streamer)
            assert torch.equal(streamer.record.frames[-1].tokens, output)
            assert streamer.record.frames[0].step == -1

    def test_a_call_that_did_not_end_is_an_error(self):
        streamer = CanvasStreamer(LetterTokenizer(), MASK)
        streamer.put(PROMPT)
        with pytest.raises(ValueError, match="got the tokens of a new call before the last call ended"):
            scripted([0.9]).generate(PROMPT, max_new_tokens=1, streamer=streamer)
        streamer.reset()
        scripted([0.9]).generate(PROMPT, max_new_tokens=1, streamer=streamer)

    def test_a_call_that_broke_off_between_steps_is_an_error(self):
        def processor(input_ids, scores):
            if (input_ids != MASK).sum() > 3:
                raise KeyError("broken")
            return scores

        streamer = CanvasStreamer(LetterTokenizer(), MASK)
        model = scripted([0.9, 0.8, 0.7, 0.6])
        with pytest.raises(KeyError):
            model.generate(PROMPT, max_new_tokens=4, streamer=streamer, logits_processor=[processor])
        with pytest.raises(ValueError, match=r"call `reset\(\)` after an error"):
            model.generate(PROMPT, max_new_tokens=4, streamer=streamer)

    def test_an_error_of_the_callback_ends_the_call(self):
        def callback(frame):
            if frames and frame.step == 1:
                raise KeyError("enough")
            frames.append(frame)

        frames = []
        streamer = CanvasStreamer(LetterTokenizer(), MASK, callback)
        with pytest.raises(KeyError):
            scripted([0.9, 0.8]).generate(PROMPT, max_new_tokens=2, streamer=streamer)
        frames.clear()
        scripted([0.9]).generate(PROMPT, max_new_tokens=1, streamer=streamer)
        assert frames[-1].is_final


class TestIterator:
    def test_frames_while_generate_runs(self):
        """The model waits at each step until the frame of the step before it has arrived."""
        arrived = threading.Semaphore(2)

        def processor(input_ids, scores):
            assert arrived.acquire(timeout=10)
            return scores

        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=10)
        steps = []
        for frame in streamer.start(
            scripted([0.6, 0.9, 0.8]).generate, input_ids=PROMPT, max_new_tokens=3, logits_processor=[processor]
        ):
            steps.append(frame.step)
            arrived.release()
        assert steps == [-1, 0, 1, 2, 2]
        assert torch.equal(streamer.output, frame.tokens)
        assert list(streamer) == []

    def test_one_frame_at_a_time(self):
        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=10)
        streamer.start(scripted([0.6, 0.9]).generate, input_ids=PROMPT, max_new_tokens=2)
        assert [next(streamer).step, next(streamer).step, *(frame.step for frame in streamer)] == [-1, 0, 1, 1]
        assert next(streamer, None) is None

    def test_a_call_that_is_running_is_an_error(self):
        release = threading.Event()
        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=10).start(
            lambda streamer: release.wait(10) and None
        )
        with pytest.raises(ValueError, match="still running"):
            streamer.start(scripted([0.9]).generate, input_ids=PROMPT)
        release.set()
        assert list(streamer) == []

    def test_errors_reach_the_loop(self):
        """Before the first step and after it."""
        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=10)
        with pytest.raises(ValueError, match="`steps`"):
            list(streamer.start(scripted([0.9]).generate, input_ids=PROMPT, steps=0))

        def script(input_ids):
            if (input_ids != MASK).sum() > 3:
                raise KeyError("broken")
            return torch.zeros(*input_ids.shape, 32)

        frames = []
        with pytest.raises(KeyError, match="broken"):
            frames.extend(streamer.start(MockModel(script).generate, input_ids=PROMPT, max_new_tokens=2))
        # `start` resets the streamer.
        assert len(list(streamer.start(scripted([0.9]).generate, input_ids=PROMPT, max_new_tokens=1))) == 3

    def test_leaving_the_loop_stops_generate(self):
        seen = threading.Event()
        model = scripted([0.9] * 20)

        def processor(input_ids, scores):
            assert len(model.calls) < 3 or seen.wait(10)
            return scores

        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=10)
        for frame in streamer.start(model.generate, input_ids=PROMPT, max_new_tokens=20, logits_processor=[processor]):
            if frame.step == 1:
                break
        seen.set()
        # The next call waits until the first one has stopped.
        assert len(list(streamer.start(scripted([0.9]).generate, input_ids=PROMPT, max_new_tokens=1))) == 3
        assert len(model.calls) == 3

    def test_timeout(self):
        release = threading.Event()
        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=0.05)
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="`timeout=0.05` seconds"):
            list(streamer.start(lambda streamer: release.wait(10)))
        assert time.monotonic() - start < 5
        release.set()

    def test_a_thread_of_ones_own(self):
        """Two calls in threads, as with `TextIteratorStreamer`."""
        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=10)
        for _ in range(2):
            arguments = {"input_ids": PROMPT, "max_new_tokens": 2, "streamer": streamer}
            thread = threading.Thread(target=scripted([0.6, 0.9]).generate, kwargs=arguments)
            thread.start()
            assert [frame.text(mask="_") for frame in streamer] == ["cde__", "cde_l", "cdekl", "cdekl"]
            thread.join()

    def test_leaving_the_loop_lets_a_thread_of_ones_own_go_on(self):
        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK, timeout=10)
        model = scripted([0.9] * 20)
        arguments = {"input_ids": PROMPT, "max_new_tokens": 20, "streamer": streamer}
        thread = threading.Thread(target=model.generate, kwargs=arguments)
        thread.start()
        for _ in streamer:
            break
        thread.join(10)
        assert len(model.calls) == 20

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_an_error_in_a_thread_of_ones_own_ends_the_loop(self):
        def script(input_ids):
            if (input_ids != MASK).sum() > 3:
                raise KeyError("broken")
            return torch.zeros(*input_ids.shape, 32)

        streamer = CanvasIteratorStreamer(LetterTokenizer(), MASK)
        arguments = {"input_ids": PROMPT, "max_new_tokens": 2, "streamer": streamer}
        threading.Thread(target=MockModel(script).generate, kwargs=arguments).start()
        with pytest.raises(RuntimeError, match="ended before the result"):
            list(streamer)


class TestStreamersOfTransformers:
    """They do not know masks, and still get the whole text."""

    @pytest.mark.parametrize("options", [{"num_return_sequences": 2}, {}])
    def test_what_they_cannot_follow_is_refused_before_any_pass(self, options):
        model, streamer = scripted([0.6, 0.9], prompt_length=1), TextDiffusionStreamer(LetterTokenizer())
        if not options:
            streamer._takes_logits = True
        with pytest.raises(ValueError, match="follows one row, but got 2" if options else "`_takes_logits`"):
            model.generate(torch.tensor([[2, MASK, MASK]]), max_new_tokens=0, streamer=streamer, **options)
        assert not model.calls

    def test_a_prompt_whose_masks_are_skipped_warns(self, monkeypatch):
        messages = []
        monkeypatch.setattr(generation_inputs_llada.logger, "warning_once", messages.append)
        for prompt in ([2, 3], [2, MASK]):
            streamer = TextStreamer(LetterTokenizer(), skip_prompt=True)
            scripted([0.6], prompt_length=len(prompt)).generate(
                torch.tensor([prompt]), max_new_tokens=1, streamer=streamer
            )
        assert len(messages) == 1 and "skips the masks inside the prompt" in messages[0]

    CASES = [
        ("床前明月光，", {"max_new_tokens": 19}),
        ("床前明月光，", {"max_new_tokens": 19, "block_length": 6}),
        ("床前明月光，[MASK][MASK][MASK][MASK][MASK]。", {"max_new_tokens": 0}),
        ("床前[MASK]月光，", {"max_new_tokens": 12, "block_length": 6}),
    ]

    def generate(self, tiny_poet, prompt, streamer, options):
        model, tokenizer = tiny_poet
        output = model.generate(**tokenizer(prompt, return_tensors="pt"), streamer=streamer, **options)
        return tokenizer.decode(output[0], skip_special_tokens=True)

    @pytest.mark.parametrize(("prompt", "options"), CASES)
    def test_text_streamer(self, tiny_poet, capsys, prompt, options):
        text = self.generate(tiny_poet, prompt, TextStreamer(tiny_poet[1], skip_special_tokens=True), options)
        assert capsys.readouterr().out == text + "\n"
        assert "MASK" not in text

    @pytest.mark.parametrize(("prompt", "options"), CASES)
    def test_text_iterator_streamer(self, tiny_poet, prompt, options):
        streamer = TextIteratorStreamer(tiny_poet[1], timeout=30, skip_special_tokens=True)
        texts = []
        thread = threading.Thread(target=lambda: texts.append(self.generate(tiny_poet, prompt, streamer, options)))
        thread.start()
        pieces = list(streamer)
        thread.join()
        assert "".join(pieces) == texts[0]

    @pytest.mark.parametrize(("prompt", "options"), CASES)
    def test_text_diffusion_streamer(self, tiny_poet, capsys, prompt, options):
        text = self.generate(tiny_poet, prompt, TextDiffusionStreamer(tiny_poet[1], skip_special_tokens=True), options)
        printed = capsys.readouterr().out
        # What is between the saved cursor and its return is a draft, which is wiped away.
        confirmed = "".join(part.split("\0338\033[J")[-1] for part in printed.split("\0337"))
        assert confirmed == text + "\n"
        assert printed.count("\0337") == printed.count("\0338\033[J") >= 5
