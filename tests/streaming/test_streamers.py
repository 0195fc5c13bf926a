# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Streamers: frames for a callback, an iterator and a record, and the streamers of transformers."""

import copy
import functools
import itertools
import json
import operator
import threading
import time

import pytest
import torch
from support.mock_model import EOS, MASK, PAD, PROMPT, MockModel, context_script, details, scripted
from support.word_tokenizer import word_tokenizer
from transformers import (
    StoppingCriteria,
    TextDiffusionStreamer,
    TextIteratorStreamer,
    TextStreamer,
)

from modeling_llada.completion import BROKEN
from modeling_llada.models import generation_inputs_llada
from modeling_llada.streaming import (
    CanvasFrame,
    CanvasIteratorStreamer,
    CanvasStreamer,
    DenoisingRecord,
    RecordingStreamer,
    TokenReader,
    TokenState,
)


GIVEN, MASKED, NEW, COMMITTED, PADDING, IMAGE = TokenState
DISTINCT_PADS = {"eos_token_id": EOS, "pad_token_id": PAD}
EOS_PADS = {"eos_token_id": EOS, "pad_token_id": EOS}


class LetterTokenizer:
    """Decodes the tokens of the mock model: letters, and names in brackets."""

    def __init__(self, eos_token_id=EOS, pad_token_id=PAD):
        self.eos_token_id = eos_token_id
        self.pad_token_id = pad_token_id
        self.all_special_ids = [EOS, PAD]

    def decode(self, tokens, skip_special_tokens=False):
        names = {MASK: "[MASK]", EOS: "<eos>", PAD: "<pad>"}
        tokens = [int(token) for token in tokens]
        if skip_special_tokens:
            tokens = [token for token in tokens if token not in (EOS, PAD)]
        return "".join(names.get(token, chr(ord("a") + token)) for token in tokens)


def record_of(model, input_ids=PROMPT, tokenizer=None, streamer_options=(), **options):
    """The record of a call, and its output."""
    streamer = RecordingStreamer(tokenizer or LetterTokenizer(), MASK, **dict(streamer_options))
    output = details(model, input_ids, streamer=streamer, **options)
    return streamer.record, output


def places_of(values):
    """The way to each value inside a JSON document."""
    items = values.items() if isinstance(values, dict) else enumerate(values if isinstance(values, list) else ())
    for key, value in items:
        yield (key,)
        for path in places_of(value):
            yield (key, *path)


def states_of(frame, row=0):
    """A letter for each position: Given, Mask, New, Committed, Pad, Image (a further token of one)."""
    return "".join(TokenState(state).name[0] for state in frame.states[row].tolist())


class TestFrames:
    def test_start_steps_and_result(self):
        record, output = record_of(scripted([0.6, 0.9]), max_new_tokens=2)
        assert [states_of(frame) for frame in record.frames] == ["GGGMM", "GGGMN", "GGGNC", "GGGCC"]
        assert [frame.step for frame in record.frames] == [-1, 0, 1, 1]
        assert [frame.is_final for frame in record.frames] == [False, False, False, True]
        assert [frame.text(mask="_") for frame in record.frames] == ["cde__", "cde_l", "cdekl", "cdekl"]
        assert {frame.prompt_length for frame in record.frames} == {3}

    def test_confidences_and_best_tokens(self):
        record, output = record_of(scripted([0.6, 0.9]), max_new_tokens=2)
        start, first, second, final = record.frames
        assert start.confidence.isnan().all()
        assert first.confidence[0, 4] == output.trajectory[1][0, 4]
        assert torch.equal(final.confidence.nan_to_num(), output.trajectory[1].nan_to_num())
        # At the first step both masks have a prediction, at the second only the one that was left.
        assert first.top_tokens[0, :, 0].tolist() == [-1, -1, -1, 10, 11]
        assert second.top_tokens[0, :, 0].tolist() == [-1, -1, -1, 10, -1]
        assert start.top_tokens.max() == final.top_tokens.max() == -1

    def test_the_callback_gets_them_while_they_are_made(self):
        model, calls = scripted([0.6, 0.9, 0.8]), []
        streamer = CanvasStreamer(LetterTokenizer(), MASK, lambda frame: calls.append(len(model.calls)))
        model.generate(PROMPT, max_new_tokens=3, streamer=streamer)
        assert calls == [1, 1, 2, 3, 3]

    @pytest.mark.parametrize("max_new_tokens", [0, 2])
    def test_masks_in_the_prompt(self, max_new_tokens):
        model = scripted([0.6, 0.9, 0.7, 0.5], prompt_length=1)
        prompt = torch.tensor([[2, MASK, MASK]])
        record, _ = record_of(model, prompt, max_new_tokens=max_new_tokens, block_length=2)
        states = [states_of(frame)[:3] for frame in record.frames]
        assert states[:3] == ["GMM", "GMN", "GNC"] and states[-1] == "GCC"
        assert {states_of(frame)[3:] for frame in record.frames[:3]} == {"M" * max_new_tokens}
        assert record.frames[0].prompt_length == 3
        assert record.frames[1].top_tokens[0, :3, 0].tolist() == [-1, 10, 11]

    def test_left_padding_is_no_text(self):
        prompt = torch.tensor([[PAD, 3, 4], [2, 3, MASK]])
        mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
        record, _ = record_of(MockModel(context_script()), prompt, attention_mask=mask, max_new_tokens=2)
        start = record.frames[0]
        assert [states_of(start, row) for row in (0, 1)] == ["PGGMM", "GGMMM"]
        assert start.texts(0) == ["", "d", "e", "", ""]

    @pytest.mark.parametrize("pad", [3, MASK])
    def test_an_attention_mask_tells_padding_from_text(self, pad):
        """The pad token is a letter or the mask token, and there are two rows for each prompt."""
        prompt, mask = torch.tensor([[pad, 3, 4], [3, 3, 4]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
        record, output = record_of(
            MockModel(context_script()),
            prompt,
            streamer_options={"attention_mask": mask},
            attention_mask=mask,
            max_new_tokens=2,
            num_return_sequences=2,
        )
        assert [states_of(record.frames[0], row) for row in range(4)] == ["PGGMM"] * 2 + ["GGGMM"] * 2
        assert torch.equal(record.frames[-1].tokens, output.sequences)

    def test_the_attention_mask_of_another_call_is_an_error(self):
        streamer = CanvasStreamer(LetterTokenizer(), MASK, attention_mask=torch.ones(1, 7))
        with pytest.raises(
            ValueError, match=r"must be that of the call, but got \(1, 7\) for prompts of shape \(1, 3\)"
        ):
            scripted([0.9]).generate(PROMPT, max_new_tokens=1, streamer=streamer)

    @pytest.mark.parametrize("tokens", [DISTINCT_PADS, EOS_PADS], ids=["pad", "eos as pad"])
    @pytest.mark.parametrize("block_length", [None, 3])
    def test_pads_behind_eos(self, tokens, block_length):
        """One of them replaces a committed pad token, and some are in a block that was never decoded."""
        answer = [10, EOS, 12, tokens["pad_token_id"], 14, 15]
        model = scripted([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], answer, **tokens)
        record, output = record_of(
            model, tokenizer=LetterTokenizer(**tokens), max_new_tokens=6, block_length=block_length
        )
        final = record.frames[-1]
        assert states_of(final) == "GGGCCPPPP"
        assert torch.equal(final.tokens, output.sequences)
        assert torch.equal(final.confidence.isnan(), output.trajectory[1].isnan())
        assert final.text() == "cdek" and final.texts() == ["c", "d", "e", "k", "<eos>", "", "", "", ""]

    def test_rows_end_one_by_one(self):
        def script(input_ids):
            logits = torch.zeros(*input_ids.shape, 32)
            logits[:, :, 10] = 3.0
            logits[0, 4, EOS] = 9.0
            return logits if len(input_ids) == 2 else logits[:, :].index_fill(2, torch.tensor([EOS]), -9.0)

        record, output = record_of(
            MockModel(script), torch.tensor([[2, 3, 4], [5, 6, 7]]), max_new_tokens=4, block_length=2
        )
        assert [states_of(record.frames[-1], row) for row in (0, 1)] == ["GGGCCPP", "GGGCCCC"]
        assert torch.equal(record.frames[-1].tokens, output.sequences)
        assert record.frames[3].step == 2 and states_of(record.frames[3], 0) == "GGGCCPP"

    def test_eos_does_not_end_a_row_with_stop_at_eos_false(self):
        model = scripted([0.9, 0.8, 0.7], [10, EOS, EOS], **EOS_PADS)
        tokenizer = LetterTokenizer(**EOS_PADS)
        record, output = record_of(
            model, tokenizer=tokenizer, streamer_options={"eos_token_id": []}, max_new_tokens=3, stop_at_eos=False
        )
        assert states_of(record.frames[-1]) == "GGGCCC"

    def test_stopping_criteria(self):
        class AfterTwoSteps(StoppingCriteria):
            calls = 0

            def __call__(self, input_ids, scores, **kwargs):
                self.calls += 1
                return torch.full((len(input_ids),), self.calls == 2)

        # What is behind a committed EOS stays in a stopped row, even if it is the pad token.
        model = scripted([0.5, 0.9, 0.8, 0.4], [10, EOS, EOS, 13], **EOS_PADS)
        record, output = record_of(
            model, tokenizer=LetterTokenizer(**EOS_PADS), max_new_tokens=4, stopping_criteria=[AfterTwoSteps()]
        )
        final = record.frames[-1]
        assert output.stopped.tolist() == [True]
        assert [states_of(frame)[3:] for frame in record.frames] == ["MMMM", "MNMM", "MCNM", "PCCP"]
        assert torch.equal(final.tokens, output.sequences)
        assert torch.equal(final.confidence.isnan(), output.trajectory[1].isnan())

    def test_a_row_that_stops_before_the_others(self):
        class FirstRow(StoppingCriteria):
            def __call__(self, input_ids, scores, **kwargs):
                return torch.tensor([(input_ids[0] == EOS).any(), False])

        model = scripted([0.5, 0.8, 0.9, 0.7], [10, EOS, EOS, 13], **EOS_PADS)
        record, output = record_of(
            model,
            PROMPT.repeat(2, 1),
            tokenizer=LetterTokenizer(**EOS_PADS),
            max_new_tokens=4,
            steps=2,
            stopping_criteria=[FirstRow()],
        )
        final = record.frames[-1]
        assert [states_of(final, row)[3:] for row in (0, 1)] == ["PCCP", "CCPP"]
        assert torch.equal(final.tokens, output.sequences)
        assert torch.equal(final.confidence.isnan(), output.trajectory[1].isnan())

    def test_nothing_to_generate(self):
        record, output = record_of(scripted([]), max_new_tokens=0)
        assert [(states_of(frame), frame.step, frame.is_final) for frame in record.frames] == [
            ("GGG", -1, False),
            ("GGG", -1, True),
        ]

    @pytest.mark.parametrize("seed", range(12))
    def test_the_last_frame_is_the_result(self, seed):
        """Tokens, confidences and states, for random prompts with masks and padding and for random options."""
        draw = torch.Generator().manual_seed(seed)

        def pick(*values):
            return values[torch.randint(len(values), (), generator=draw)]

        batch, length, repeats = pick(1, 2, 3), pick(1, 4), pick(1, 2)
        pads = torch.randint(0, length, (batch, 1), generator=draw)
        attention_mask = (torch.arange(length) >= pads).long()
        prompt = torch.randint(0, 27, (batch, length), generator=draw)
        prompt[torch.rand(batch, length, generator=draw) < pick(0.0, 0.4)] = MASK
        prompt[attention_mask == 0] = PAD
        tokens = pick(DISTINCT_PADS, EOS_PADS)
        if tokens is EOS_PADS:
            prompt[attention_mask == 0] = EOS
        script = context_script(seed=seed)
        towards_eos = pick(0, 4) * torch.nn.functional.one_hot(torch.tensor(EOS), 32)
        model = MockModel(lambda input_ids: script(input_ids) + towards_eos, **tokens)
        record, output = record_of(
            model,
            prompt,
            tokenizer=LetterTokenizer(**tokens),
            attention_mask=attention_mask,
            num_return_sequences=repeats,
            temperature=1.0,
            generator=draw,
            max_new_tokens=pick(0, 3, 7),
            block_length=pick(None, 2, 3),
            steps=pick(None, 2),
        )
        final = record.frames[-1]
        steps, confidence = output.trajectory
        assert torch.equal(final.tokens, output.sequences)
        assert torch.equal(final.confidence.isnan(), steps < 0)
        assert torch.equal(final.confidence.nan_to_num(), confidence.nan_to_num())
        prompt, attention_mask = (tensor.repeat_interleave(repeats, dim=0) for tensor in (prompt, attention_mask))
        is_given = torch.zeros_like(steps, dtype=torch.bool)
        is_given[:, :length] = (prompt != MASK) & (attention_mask == 1)
        assert torch.equal(final.states == GIVEN, is_given)
        assert torch.equal(final.states == COMMITTED, steps >= 0)
        assert torch.equal(final.states == PADDING, ~is_given & (steps < 0))


@pytest.fixture(scope="module")
def byte_tokenizer():
    """A byte-level tokenizer, so that a Han character is three tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: index for index, piece in enumerate([*alphabet, "<eos>", "<mask>"])}
    tokenizer = Tokenizer(models.BPE(vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", mask_token="<mask>")


class TestTexts:
    def test_a_character_of_several_tokens(self, byte_tokenizer):
        tokens = byte_tokenizer("a月光b").input_ids
        texts = TokenReader(byte_tokenizer, byte_tokenizer.mask_token_id).texts_of(tokens)
        assert texts == ["a", "月", "", "", "光", "", "", "b"]

    def test_a_character_that_is_not_complete_yet(self, byte_tokenizer):
        tokens = [*byte_tokenizer("月").input_ids, None, *byte_tokenizer("光b").input_ids[1:]]
        texts = TokenReader(byte_tokenizer, byte_tokenizer.mask_token_id).texts_of(tokens)
        assert texts[:4] == ["月", "", "", ""] and BROKEN in texts[4] and texts[-1] == "b"

    def test_words_keep_their_spaces(self):
        words = word_tokenizer()
        reader = TokenReader(words, words.mask_token_id)
        tokens = [words.bos_token_id, *words("the cat sat</s>").input_ids]
        assert reader.texts_of(tokens) == ["<s>", "the", " cat", " sat", "</s>"]
        assert reader.texts_of([None, *tokens[2:]]) == ["", "cat", " sat", "</s>"]

    def test_words_behind_a_mask_keep_their_space(self):
        words = word_tokenizer()
        ids = torch.tensor([words("[MASK] cat [MASK] a mat").input_ids])
        reader = TokenReader(words, words.mask_token_id)
        frame = CanvasFrame.start(ids, torch.zeros_like(ids).bool(), ids.shape[1], reader)
        assert frame.text(mask="_") == "_ cat _ a mat"

    def test_texts_of_a_row(self, byte_tokenizer):
        mask = byte_tokenizer.mask_token_id
        tokens = torch.tensor([byte_tokenizer("月a").input_ids + [byte_tokenizer.eos_token_id]])
        streamer = RecordingStreamer(byte_tokenizer, mask)
        streamer.put(tokens[:, :3])
        streamer.put_draft(
            torch.tensor([[mask, tokens[0, 4]]]), 0, torch.tensor([[torch.nan, 0.5]]), torch.full((1, 2, 3), -1)
        )
        streamer.put_draft(tokens[:, 3:], 1, torch.tensor([[0.5, 0.5]]), torch.full((1, 2, 3), -1))
        streamer.put(tokens[0, 3:])
        streamer.end()
        assert [frame.text(mask="_") for frame in streamer.record.frames] == ["月__", "月_", "月a", "月a"]
        assert streamer.record.frames[-1].text(skip_special_tokens=False) == "月a<eos>"
        assert streamer.record.frames[-1].texts() == ["月", "", "", "a", "<eos>"]


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


class TestRecord:
    def equal(self, first, second):
        assert len(first.frames) == len(second.frames)
        for one, other in zip(first.frames, second.frames, strict=True):
            assert (one.step, one.is_final, one.prompt_length) == (other.step, other.is_final, other.prompt_length)
            for name in ("tokens", "states", "top_tokens", "top_probabilities", "confidence"):
                torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True)

    @pytest.mark.parametrize("block_length", [None, 2])
    def test_save_and_load(self, tmp_path, block_length):
        prompt, mask = torch.tensor([[PAD, MASK, 4], [2, 3, 4]]), torch.tensor([[0, 1, 1], [1, 1, 1]])
        record, _ = record_of(
            MockModel(context_script()), prompt, attention_mask=mask, max_new_tokens=4, block_length=block_length
        )
        record.save(tmp_path / "record.json")
        self.equal(DenoisingRecord.load(tmp_path / "record.json", LetterTokenizer()), record)

    def test_save_and_load_pads(self, tmp_path):
        model = scripted([0.5, 0.6, 0.7, 0.8], [10, EOS, EOS, 13], **EOS_PADS)
        record, _ = record_of(model, tokenizer=LetterTokenizer(**EOS_PADS), max_new_tokens=4)
        record.save(tmp_path / "record.json")
        self.equal(DenoisingRecord.load(tmp_path / "record.json", LetterTokenizer()), record)

    def test_a_record_without_probabilities(self):
        """Older files have none."""
        record, _ = record_of(scripted([0.5, 0.6]), max_new_tokens=2)
        values = record.to_dict()
        assert [len(frame.pop("top_probabilities")) for frame in values["frames"]] == [1, 1, 0]
        read = DenoisingRecord.from_dict(values, LetterTokenizer())
        assert read.frames[-1].text() == record.frames[-1].text()
        assert all(frame.top_probabilities.isnan().all() for frame in read.frames)

    def test_an_empty_record_is_an_error(self):
        with pytest.raises(ValueError, match="the record is empty"):
            RecordingStreamer(LetterTokenizer(), MASK).record.to_dict()

    @pytest.mark.parametrize("values", [[], {}, {"version": 2}])
    def test_something_else_is_an_error(self, values):
        with pytest.raises(ValueError, match="must be a denoising record of version 1"):
            DenoisingRecord.from_dict(values, LetterTokenizer())

    def test_a_broken_field_is_named(self):
        """Each place of a record gets values of every wrong kind."""
        record, _ = record_of(MockModel(context_script()), torch.tensor([[2, MASK, 4]]), max_new_tokens=2)
        good = json.loads(json.dumps(record.to_dict()))
        refused = 0
        for path in places_of(good):
            for value in (None, "x", -7, 2**70, 1.5, True, {}, [[]]):
                values = copy.deepcopy(good)
                functools.reduce(operator.getitem, path[:-1], values)[path[-1]] = value
                try:
                    DenoisingRecord.from_dict(values, LetterTokenizer())
                except ValueError as error:
                    name = [key for key in path if isinstance(key, str)][-1]
                    assert name in str(error), (path, value, str(error))
                    refused += 1
        assert refused > 500

    @pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", '{"version": 1}', b"\xff\xfe"])
    def test_a_broken_file_is_named(self, tmp_path, content):
        (tmp_path / "record.json").write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ValueError, match="record.json"):
            DenoisingRecord.load(tmp_path / "record.json", LetterTokenizer())

    @pytest.mark.parametrize(("repeats", "prompt"), list(itertools.product([1, 2], [[2, 3, 4], [2, MASK, 4]])))
    def test_the_trajectory_has_the_same_frames(self, repeats, prompt):
        prompt = torch.tensor([[PAD, *prompt]])
        mask = (prompt != PAD).long()
        streamed, output = record_of(
            MockModel(context_script()),
            prompt,
            attention_mask=mask,
            max_new_tokens=4,
            block_length=2,
            steps=3,
            num_return_sequences=repeats,
        )
        record = DenoisingRecord.from_output(output, prompt, LetterTokenizer(), MASK, attention_mask=mask)
        for frame in streamed.frames:
            frame.top_tokens.fill_(-1)
            frame.top_probabilities.fill_(torch.nan)
        self.equal(record, streamed)

    def test_the_trajectory_after_an_early_stop(self):
        model = scripted([0.9, 0.8, 0.7, 0.6], [10, EOS, 12, 13])
        streamed, output = record_of(model, max_new_tokens=4, block_length=2)
        record = DenoisingRecord.from_output(output, PROMPT, LetterTokenizer(), MASK)
        assert states_of(record.frames[-1]) == states_of(streamed.frames[-1]) == "GGGCCPP"

    def test_an_output_without_trajectory_is_an_error(self):
        output = scripted([0.9]).generate(PROMPT, max_new_tokens=1, return_dict_in_generate=True)
        with pytest.raises(ValueError, match="`output` must have a trajectory: .*output_trajectory=True"):
            DenoisingRecord.from_output(output, PROMPT, LetterTokenizer(), MASK)


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
