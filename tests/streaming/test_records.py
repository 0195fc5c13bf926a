# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""Records: saved, loaded, and refused if they are damaged."""

import copy
import functools
import itertools
import json
import operator

import pytest
import torch
from support.letter_records import EOS_PADS, LetterTokenizer, record_of, states_of
from support.mock_model import EOS, MASK, PAD, PROMPT, MockModel, context_script, scripted

from modeling_llada.streaming import DenoisingRecord, RecordingStreamer


def places_of(values):
    """The way to each value inside a JSON document."""
    items = values.items() if isinstance(values, dict) else enumerate(values if isinstance(values, list) else ())
    for key, value in items:
        yield (key,)
        for path in places_of(value):
            yield (key, *path)


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
