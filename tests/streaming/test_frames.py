# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Frames: the states of positions, their texts, and what a callback sees of each step."""

import pytest
import torch
from support.letter_records import DISTINCT_PADS, EOS_PADS, LetterTokenizer, record_of, states_of
from support.mock_model import EOS, MASK, PAD, PROMPT, MockModel, context_script, scripted
from support.word_tokenizer import word_tokenizer
from transformers import StoppingCriteria

from modeling_llada.completion import BROKEN
from modeling_llada.streaming import CanvasFrame, CanvasStreamer, RecordingStreamer, TokenReader, TokenState


GIVEN, MASKED, NEW, COMMITTED, PADDING, IMAGE = TokenState


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
