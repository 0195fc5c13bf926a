# Copyright 2026 The modeling_llada authors.
# Licensed under the Apache License, Version 2.0 (the "License"); see the LICENSE file.
"""INSERT and DELETE: committed tokens that move and vanish."""

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.generate_calls import letters
from support.golden_families import golden_of
from support.mock_model import (
    EOS,
    MASK,
    PAD,
    PROMPT,
    VOCAB_SIZE,
    MockModel,
    context_script,
    details,
    of_canvas,
    peaked,
    steps_of,
)

from modeling_llada.drawing import denoising_svg
from modeling_llada.models.blocks_llada import BlockGeometry
from modeling_llada.streaming import DenoisingRecord, RecordingStreamer


DELETE, INSERT = 25, 26
MOVING = {"edit_threshold": 0.5, "insert_delete": True, "stop_at_eos": False}


def with_tokens(model):
    """Names the tokens in the config, as that of LLaDA2.2 does."""
    model.config.delete_token_id, model.config.split_token_id = DELETE, INSERT
    return model


def moving(answers):
    return with_tokens(of_canvas(answers))


def delete_once(tokens):
    """10, 11, 12, 13; then the 11 goes, and 14 comes behind the rest."""
    if tokens == [10, 11, 12, 13]:
        return [10, DELETE, 12, 13]
    return [10, 12, 13, 14] if tokens[1] == 12 else [10, 11, 12, 13]


def insert_once(tokens):
    """10, 12, 13, 14; then 11 comes in front of the 12, and the 14 is lost."""
    if tokens == [10, 12, 13, 14]:
        return [10, INSERT, 13, 14]
    return [10, 11, 12, 13] if tokens[2] == 12 else [10, 12, 13, 14]


class TestMoves:
    def test_delete(self):
        output = details(moving(delete_once), max_new_tokens=4, **MOVING)
        assert output.sequences[0, 3:].tolist() == [10, 12, 13, 14]
        # One token a step, then DELETE, then the mask at the end.
        assert steps_of(output) == [0, 2, 3, 5], "a token keeps its step where it moves"
        assert output.num_forward_passes.item() == 7, "the last one changes nothing"

    def test_insert(self):
        output = details(moving(insert_once), max_new_tokens=4, **MOVING)
        assert output.sequences[0, 3:].tolist() == [10, 11, 12, 13]
        assert steps_of(output) == [0, 5, 1, 2]

    def test_at_a_mask(self):
        """DELETE takes the mask away, and INSERT puts another one in front of it."""

        def answers(tokens):
            return [DELETE, 11, INSERT, 13] if tokens == [MASK] * 4 else [11, 21, 22, 13]

        output = details(moving(answers), max_new_tokens=4, min_commits=4, **MOVING)
        assert output.sequences[0, 3:].tolist() == [11, 21, 22, 13]
        assert steps_of(output) == [0, 1, 1, 0]

    def test_given_tokens_may_have_these_ids(self):
        prompt = torch.tensor([[2, DELETE, INSERT]])
        output = with_tokens(MockModel(context_script())).generate(prompt, max_new_tokens=8, block_length=4, **MOVING)
        assert torch.equal(output[:, :3], prompt)

    def test_only_the_active_block_moves(self):
        def answers(tokens):
            """The second block deletes at its start, once."""
            return [10, 11, DELETE if tokens[2:] == [12, 13] else 14 if tokens[2] == 13 else 12, 13]

        output = details(moving(answers), max_new_tokens=4, block_length=2, **MOVING)
        assert output.sequences[0, 3:5].tolist() == [10, 11]

    def test_a_short_block_gets_nothing_from_outside(self):
        """The second row has one mask, and the block of the first one is longer: behind a DELETE there is a mask again."""

        def script(input_ids):
            token = DELETE if len(model.calls) == 1 else 10
            return peaked([token] * 5, [0.9] * 5).expand(2, -1, -1)

        model = with_tokens(MockModel(script))
        model.block_geometry = BlockGeometry("absolute")
        prompt = torch.tensor([[PAD, PAD, 2, MASK, MASK], [2, 3, 4, 5, MASK]])
        mask = (torch.arange(5) >= torch.tensor([[2], [0]])).long()
        options = {"max_new_tokens": 0, "block_length": 4, "attention_mask": mask, **MOVING}
        output = model.generate(prompt, **options)
        assert model.calls[1].input_ids[1].tolist() == [2, 3, 4, 5, MASK]
        assert output.tolist() == [[PAD, PAD, 2, 10, 10], [2, 3, 4, 5, 10]]

    def test_off_they_are_tokens_like_others(self):
        options = MOVING | {"insert_delete": False}
        output = moving(lambda tokens: [DELETE, INSERT]).generate(PROMPT, max_new_tokens=2, **options)
        assert output[0, 3:].tolist() == [DELETE, INSERT]


class TestTheEnd:
    @pytest.mark.parametrize("token", [DELETE, INSERT, MASK])
    @pytest.mark.parametrize("max_post_edit_steps", [0, 3, 16])
    def test_a_model_that_proposes_nothing_else(self, token, max_post_edit_steps):
        model, options = moving(lambda tokens: [token] * 4), MOVING | {"max_post_edit_steps": max_post_edit_steps}
        output = details(model, max_new_tokens=4, **options)
        assert not torch.isin(output.sequences, torch.tensor([MASK, DELETE, INSERT])).any()
        assert output.num_forward_passes.item() <= 4 + max_post_edit_steps + 1

    def test_the_confidence_is_that_of_the_token_that_is_written(self):
        """The last step writes another token than DELETE, which has a probability of 0.9."""
        output = details(moving(lambda tokens: [DELETE]), max_new_tokens=1, **MOVING | {"max_post_edit_steps": 0})
        assert output.trajectory[1][0, 3].item() == pytest.approx(0.1 / (VOCAB_SIZE - 1))

    def test_a_block_that_was_there_before_gets_another_token(self):
        """11 and 12 take turns, until a third token, 0, breaks the circle."""

        def answers(tokens):
            return [{11: 12, 12: 11}.get(tokens[0], 11)] if tokens[0] != 0 else [0]

        output = details(moving(answers), max_new_tokens=1, **MOVING)
        assert output.sequences[0, 3:].tolist() == [0]
        assert output.num_forward_passes.item() == 5

    @hypothesis.settings(max_examples=25)
    @given(
        st.integers(0, 999),
        st.lists(st.floats(0, 4), min_size=3, max_size=3),
        st.integers(0, 4),
        st.sampled_from([0.0, 0.3]),
        st.sampled_from([None, 3]),
    )
    def test_random_models(self, seed, more, max_post_edit_steps, edit_threshold, block_length):
        """No block takes more passes than it may, and nothing is left of the tokens."""
        script = context_script(seed=seed)

        def with_moves(input_ids):
            logits = script(input_ids)
            logits[..., [MASK, DELETE, INSERT]] += torch.tensor(more)
            return logits

        output = details(
            with_tokens(MockModel(with_moves)),
            max_new_tokens=6,
            block_length=block_length,
            confidence_threshold=0.4,
            **MOVING | {"edit_threshold": edit_threshold, "max_post_edit_steps": max_post_edit_steps},
        )
        assert not (output.sequences == MASK).any()
        assert (output.trajectory[0][:, 3:] >= 0).all()
        blocks = 1 if block_length is None else 2
        assert output.num_forward_passes.item() <= 6 + blocks * (max_post_edit_steps + 1)


class TestWatching:
    def record(self, answers):
        streamer = RecordingStreamer(letters(), MASK, eos_token_id=[])
        output = details(moving(answers), max_new_tokens=4, streamer=streamer, **MOVING)
        return streamer.record, output

    @pytest.mark.parametrize("answers", [delete_once, insert_once])
    def test_frames_and_records(self, answers, tmp_path):
        record, output = self.record(answers)
        assert torch.equal(record.frames[-1].tokens, output.sequences)
        record.save(tmp_path / "record.json")
        loaded = DenoisingRecord.load(tmp_path / "record.json", letters())
        assert [frame.tokens.tolist() for frame in loaded.frames] == [frame.tokens.tolist() for frame in record.frames]
        assert denoising_svg(record)
        from_output = DenoisingRecord.from_output(output, PROMPT, letters(), MASK)
        assert torch.equal(from_output.frames[-1].tokens, output.sequences)

    def test_a_frame_after_a_move(self):
        record, _ = self.record(delete_once)
        frame = record.frames[5]
        assert frame.tokens[0, 3:].tolist() == [10, 12, 13, MASK]
        assert frame.top_probabilities[0, 3:].isnan().all(), "no token was predicted where it stands now"

    def test_the_end_of_a_row_moves(self):
        """EOS is the last token of the first block; behind a DELETE it is one position earlier."""

        def answers(tokens):
            if tokens[:4] == [10, 11, 12, EOS]:
                return [10, DELETE, 12, EOS, 20, 20]
            return [10, 12, EOS, 14, 20, 20] if tokens[1] == 12 else [10, 11, 12, EOS, 20, 20]

        options = {"max_new_tokens": 6, "block_length": 4, "edit_threshold": 0.5, "insert_delete": True}
        for skip_after_eos in (False, True):
            output = details(moving(answers), **options, skip_after_eos=skip_after_eos)
            assert output.sequences[0, 3:].tolist() == [10, 12, EOS, PAD, PAD, PAD]


class TestBadInput:
    def refuses(self, model, match, prompt=PROMPT, **options):
        with pytest.raises(ValueError, match=match):
            model.generate(prompt, max_new_tokens=4, **MOVING | options)

    def test_without_edits(self):
        self.refuses(moving(delete_once), "`insert_delete` refines `edit_threshold`", edit_threshold=None)

    def test_a_model_without_the_tokens(self):
        self.refuses(of_canvas(delete_once), "needs a `delete_token_id` in the model's config")
        self.refuses(golden_of("llada2").model, "needs a `delete_token_id` in the model's config")

    @pytest.mark.parametrize(("delete", "insert"), [(99, 3), (3, 99), (MASK, 3), (3, None), (3, 3)])
    def test_tokens_that_cannot_be(self, delete, insert):
        model = of_canvas(delete_once)
        model.config.delete_token_id, model.config.split_token_id = delete, insert
        self.refuses(model, "`insert_delete=True` needs")
        assert not model.calls

    def test_tokens_behind_a_mask(self):
        model = moving(delete_once)
        self.refuses(model, "`input_ids` has some", prompt=torch.tensor([[2, MASK, 3]]))
        assert not model.calls
        moving(lambda tokens: []).generate(torch.tensor([[2, 3, MASK]]), max_new_tokens=0, **MOVING)
